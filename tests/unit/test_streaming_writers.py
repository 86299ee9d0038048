"""Which writer schemas are read at all: a producer's schema cannot hurt a worker, or mislead it."""

import copy
import json
from typing import Any

import pytest

import schemas
from ledger.domain.refusal import Reason, Refused
from ledger.streaming.writers import MAX_HEIGHT, readable, readable_or_error, schema_in


def with_fields(*extra: Any, name: str = "Transaction", **instead: Any) -> dict[str, Any]:
    """Our schema with fields more, and types exchanged."""
    schema = copy.deepcopy(schemas.load("Transaction"))
    for each in schema["fields"]:
        each["type"] = instead.get(each["name"], each["type"])
    # Without defaults, which fastavro holds against their types; the registry has seen to those.
    schema["fields"] += [{"name": f"extra_{n}", "type": kind} for n, kind in enumerate(extra)]
    return schema | {"name": name}


def record(name: str, *kinds: Any, kind: str = "record") -> dict[str, Any]:
    fields = [{"name": f"f{index}", "type": each} for index, each in enumerate(kinds)]
    return {"type": kind, "name": name, "fields": fields}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def logical(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "logicalType": name, **more}


def nested(levels: int) -> Any:
    return array(nested(levels - 1)) if levels else "string"


ITSELF = record("N", ["null", "N"])
DOUBLED = [
    record("L0", "null", "null"),
    *(record(f"L{level}", f"L{level - 1}", f"L{level - 1}") for level in range(1, 50)),
]
HURTS = [
    (with_fields(["null", ITSELF]), "contains itself"),
    (with_fields(["null", "Transaction"]), "contains itself"),
    (with_fields(["null", "ledger.Transaction"]), "contains itself"),
    (with_fields(["null", "ledger.Transaction"], name="ledger.Transaction"), "contains itself"),
    (with_fields(["null", record("other.N", ["null", "other.N"])]), "contains itself"),
    (with_fields(["null", record("A", record("B", ["null", "A"]))]), "contains itself"),
    (with_fields(["null", array("null")]), "list of nothing"),
    (with_fields(["null", array(record("E"))]), "list of nothing"),
    (with_fields(["null", array(record("E", kind="error"))]), "list of nothing"),
    (with_fields(["null", record("E")], array("E")), "list of nothing"),
    (with_fields(["null", record("E")], array("ledger.E")), "list of nothing"),
    (with_fields(["null", record("E")], array(record("F", "E", "null"))), "list of nothing"),
    (with_fields(array({"type": "fixed", "name": "F", "size": 0})), "list of nothing"),
    (with_fields({"type": "fixed", "name": "F", "size": 0}, array("F")), "list of nothing"),
    (with_fields(array(array("null"))), "list of nothing"),
    (with_fields({"type": "map", "values": array("null")}), "list of nothing"),
    (with_fields(*DOUBLED), "parts that take no bytes"),
    (with_fields(nested(MAX_HEIGHT + 1)), f"more than {MAX_HEIGHT} levels"),
    (with_fields(nested(500)), "cannot be read"),
    (with_fields("nonsense"), "cannot be read"),
    (None, "cannot be read"),
    ({"type": "record"}, "cannot be read"),
]
MISLEADS = [
    ("string", "cannot be read"),
    (["string", "int"], "cannot be read"),
    (with_fields(effective_at=logical("long", "timestamp-millis")), "times in another unit"),
    (with_fields(effective_at=logical("long", "timestamp-nanos")), "times in another unit"),
    (with_fields(effective_at=logical("long", "local-timestamp-micros")), "times in another unit"),
    (with_fields(effective_at=logical("int", "date")), "times in another unit"),
    (with_fields(created_at=logical("int", "time-millis")), "times in another unit"),
    (with_fields(kind=logical("bytes", "decimal", precision=9)), "another kind of number"),
    (
        with_fields(
            record("Leg", logical("bytes", "decimal", precision=9)),
            metadata={"type": "map", "values": "ledger.Leg"},
        ),
        "cannot be read",
    ),
]


@pytest.mark.parametrize(("schema", "why"), [*HURTS, *MISLEADS])
def test_a_schema_that_could_hurt_or_mislead_is_refused(schema: Any, why: str) -> None:
    refused = readable(schema, 7, read_as="Transaction")
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.FOREIGN_SCHEMA
    assert refused.sentence.startswith("Schema 7 ")
    assert why in refused.sentence


@pytest.mark.parametrize("schema", [schema for schema, _ in HURTS])
def test_whatever_it_is_to_be_read_as(schema: Any) -> None:
    with pytest.raises(ValueError, match="Schema 7"):
        readable_or_error(schema, 7)


@pytest.mark.parametrize(
    "schema",
    [
        with_fields(),
        with_fields(name="ledger.Transaction"),
        with_fields(["null", "string"]),
        with_fields(["null", array("Entry")]),
        with_fields(["null", {"type": "map", "values": "null"}]),
        with_fields(["null", logical("long", "timestamp-micros")]),
        # Of a field that nobody here reads.
        with_fields(["null", logical("int", "date")]),
        with_fields(["null", logical("bytes", "decimal", precision=9)]),
        with_fields(transaction_id=logical("string", "uuid")),
        with_fields(effective_at="long"),
        with_fields(nested(MAX_HEIGHT - 10)),
    ],
)
def test_a_compatible_version_is_read(schema: Any) -> None:
    assert not isinstance(readable(schema, 7, read_as="Transaction"), Refused)


def test_a_registrys_answer_without_a_schema_is_no_schema() -> None:
    assert schema_in({"schema": '"string"'}) == "string"
    assert schema_in({"schema": "syntax = 'proto3';"}) == "syntax = 'proto3';"
    deep = "[" * 100_000
    assert schema_in({"schema": deep}) == deep
    for answer in ({}, None, [], {"schema": None}, {"schema": {"type": "string"}}, "x" * 9_999):
        with pytest.raises(ValueError, match="has no schema") as raised:
            schema_in(json.loads(json.dumps(answer)))
        assert len(str(raised.value)) < 200

"""Which writer schemas are read at all: a producer's schema cannot hurt the worker."""

import copy
from typing import Any

import pytest

import schemas
from ledger.domain.refusal import Reason, Refused
from ledger.streaming.registry import Codec, _readable


def with_field(kind: Any) -> dict[str, Any]:
    schema = copy.deepcopy(schemas.load("Transaction"))
    schema["fields"].append({"name": "extra", "type": kind, "default": None})
    return schema


ITSELF = {
    "type": "record",
    "name": "N",
    "fields": [{"name": "next", "type": ["null", "N"], "default": None}],
}


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (["null", ITSELF], "contains itself"),
        (["null", "ledger.Transaction"], "contains itself"),
        (["null", {"type": "array", "items": "null"}], "list of nothing"),
        (
            ["null", {"type": "array", "items": {"type": "record", "name": "E", "fields": []}}],
            "list of nothing",
        ),
        (
            ["null", {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}],
            "list of nothing",
        ),
        (["null", {"type": "long", "logicalType": "timestamp-millis"}], "another unit"),
        ("nonsense", "cannot be read"),
    ],
)
def test_a_schema_that_could_hurt_is_refused(kind: Any, why: str) -> None:
    refused = _readable(with_field(kind), 7)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.FOREIGN_SCHEMA
    assert "Schema 7" in refused.sentence
    assert why in refused.sentence


@pytest.mark.parametrize(
    "kind",
    [
        ["null", "string"],
        ["null", {"type": "array", "items": "Entry"}],
        ["null", {"type": "map", "values": "null"}],
        ["null", {"type": "long", "logicalType": "timestamp-micros"}],
    ],
)
def test_a_compatible_addition_is_read(kind: Any) -> None:
    assert not isinstance(_readable(with_field(kind), 7), Refused)


def test_a_codec_reads_what_another_version_wrote() -> None:
    """An id that is not this version's is looked up once."""
    asked = []

    def look_up(schema_id: int) -> Any:
        asked.append(schema_id)
        readable = _readable(schemas.load("Progress"), schema_id)
        assert not isinstance(readable, Refused)
        return readable

    row = {
        "shard": 3,
        "end": 9,
        "decisions_offset": 4,
        "digest": bytes(32),
        "recorded_until": 5,
        "open_breaks": 0,
    }
    value = Codec({"Progress": 1}).encode("Progress", row)
    newer = Codec({"Progress": 2}, look_up)
    assert newer.decode("Progress", value) == newer.decode("Progress", value) == row
    assert asked == [1]
    with pytest.raises(ValueError, match="not this version's"):
        Codec({"Progress": 2}).decode("Progress", value)

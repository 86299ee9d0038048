"""The registry guards the contract: what is compatible is taken, what is not is refused.

Trying out is done on throwaway subjects, or only asked; the running ledger's own keep what they
have. That the service reads what other versions wrote is among the cases of bad_input.py.
"""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import fastavro
import pytest
from fastavro.schema import to_parsing_canonical_form

import schemas
from ledger.domain.avro import decode_as, without_logical_types
from ledger.errors import LedgerError
from ledger.streaming.registry import known_ids, register_all
from tests import builders
from tests.conftest import Stack
from tests.registry import Registry
from tests.wire import present

Schema = dict[str, Any]
Change = Callable[[Schema], None]

RECORDS = {
    "transactions": "Transaction",
    "decisions": "Decision",
    "posted": "Posted",
    "stripes": "Stripe",
    "balances": "Balance",
    "breaks": "Break",
    "rejects": "Reject",
    "progress": "Progress",
    "coverage": "Coverage",
    "reference": "Reference",
    "access": "BearerToken",
    "audit-log": "AuditRecord",
    "statements": "Statement",
}
"""By topic; the subject is the topic's name and `-value`."""
LEVEL = "FULL_TRANSITIVE"
HTTP_OK, CONFLICT = 200, 409


@pytest.fixture(scope="module")
def registry(stack: Stack) -> Iterator[Registry]:
    with Registry(stack.settings.registry_url) as opened:
        yield opened


@pytest.fixture
def throwaway(registry: Registry, new_id: Callable[..., str]) -> Iterator[str]:
    """A subject like that of the transactions, gone after the test."""
    subject = f"{new_id('throwaway')}-value"
    registry.register(subject, json.dumps(schemas.load("Transaction")))
    assert registry.put(f"/config/{subject}", {"compatibility": LEVEL})[0] == HTTP_OK
    yield subject
    registry.delete(f"/subjects/{subject}")


def field(schema: Schema, name: str) -> Schema:
    return next(each for each in schema["fields"] if each["name"] == name)


def entry(schema: Schema) -> Schema:
    found: Schema = field(schema, "entries")["type"]["items"]
    return found


def without(schema: Schema, name: str) -> None:
    schema["fields"].remove(field(schema, name))


def add(schema: Schema, **named: Any) -> None:
    schema["fields"].append({"name": "channel", "type": "string"} | named)


def drop_symbol(schema: Schema) -> None:
    field(entry(schema), "side")["type"]["symbols"].pop()


COMPATIBLE: dict[str, Change] = {
    "a new field with a default": lambda s: add(s, default=""),
    "a new field that may be null": lambda s: add(s, type=["null", "long"], default=None),
    "a field with a default is gone": lambda s: without(s, "metadata"),
    "a new field with a default in an entry": lambda s: add(entry(s), default=""),
}
INCOMPATIBLE: dict[str, Change] = {
    "a field is gone": lambda s: without(s, "kind"),
    "a field has another name": lambda s: field(s, "kind").update(name="sort"),
    "a new field without a default": add,
    "another type": lambda s: field(s, "kind").update(type="long"),
    "a wider type, which old readers cannot read": (
        lambda s: field(s, "effective_at").update(type="double")
    ),
    "a field that may be null now": lambda s: field(s, "kind").update(type=["null", "string"]),
    "an entry without its currency": lambda s: without(entry(s), "currency"),
    "a side less": drop_symbol,
}


def changed(change: Change) -> str:
    schema = copy.deepcopy(schemas.load("Transaction"))
    change(schema)
    return json.dumps(schema)


def test_every_subject_is_there_with_its_level(stack: Stack, registry: Registry) -> None:
    for topic, record in RECORDS.items():
        subject = f"{stack.settings.prefix}.{topic}-value"
        assert registry.get(f"/config/{subject}") == (HTTP_OK, {"compatibilityLevel": LEVEL})
        ours = {"schema": json.dumps(schemas.load(record))}
        status, found = registry.post(f"/subjects/{subject}", ours)
        assert status == HTTP_OK
        assert to_parsing_canonical_form(json.loads(found["schema"])) == (
            to_parsing_canonical_form(schemas.load(record))
        )


def test_registering_again_changes_nothing(stack: Stack, registry: Registry) -> None:
    before = known_ids(stack.settings)
    assert set(before) == set(RECORDS.values())
    versions = registry.get(f"/subjects/{stack.settings.prefix}.transactions-value/versions")
    assert register_all(stack.settings) == before
    assert versions == registry.get(
        f"/subjects/{stack.settings.prefix}.transactions-value/versions"
    )


@pytest.mark.parametrize("name", COMPATIBLE)
def test_a_compatible_change_is_taken(registry: Registry, throwaway: str, name: str) -> None:
    schema = {"schema": changed(COMPATIBLE[name])}
    status, answer = registry.post(f"/subjects/{throwaway}/versions", schema)
    assert status == HTTP_OK, answer
    assert registry.get(f"/subjects/{throwaway}/versions") == (HTTP_OK, [1, 2])


def test_a_text_for_people_is_no_other_schema(registry: Registry, throwaway: str) -> None:
    said_otherwise = schemas.load("Transaction") | {"doc": "Said otherwise."}
    registry.register(throwaway, json.dumps(said_otherwise))
    assert registry.get(f"/subjects/{throwaway}/versions") == (HTTP_OK, [1])


@pytest.mark.parametrize("name", INCOMPATIBLE)
def test_an_incompatible_change_is_refused(registry: Registry, throwaway: str, name: str) -> None:
    schema = {"schema": changed(INCOMPATIBLE[name])}
    status, answer = registry.post(f"/subjects/{throwaway}/versions", schema)
    assert status == CONFLICT, answer
    assert registry.get(f"/subjects/{throwaway}/versions") == (HTTP_OK, [1])


def test_it_is_compared_with_every_version(registry: Registry, throwaway: str) -> None:
    """A field that went, with its default, cannot come back as another type."""
    versions = f"/subjects/{throwaway}/versions"
    gone = changed(COMPATIBLE["a field with a default is gone"])
    assert registry.post(versions, {"schema": gone})[0] == HTTP_OK
    back = json.loads(gone)
    back["fields"].append({"name": "metadata", "type": "string", "default": ""})
    assert registry.post(versions, {"schema": json.dumps(back)})[0] == CONFLICT


@pytest.mark.parametrize("topic", RECORDS)
def test_the_ledgers_own_subjects_are_guarded_alike(
    stack: Stack, registry: Registry, topic: str
) -> None:
    """Asked only: nothing is registered."""
    ask = f"/compatibility/subjects/{stack.settings.prefix}.{topic}-value/versions/latest"

    def is_compatible(change: Change) -> bool:
        schema = copy.deepcopy(schemas.load(RECORDS[topic]))
        change(schema)
        status, answer = registry.post(ask, {"schema": json.dumps(schema)})
        assert status == HTTP_OK, answer
        return bool(answer["is_compatible"])

    assert is_compatible(lambda schema: add(schema, name="another", default=""))
    assert not is_compatible(lambda schema: add(schema, name="another"))
    assert not is_compatible(lambda schema: schema["fields"].pop(0))


@pytest.mark.parametrize("name", COMPATIBLE)
def test_both_sides_read_across_a_compatible_change(name: str) -> None:
    """What the level promises, seen: new readers read old records, and old readers new ones."""
    old = fastavro.parse_schema(without_logical_types(schemas.load("Transaction")))
    new = fastavro.parse_schema(without_logical_types(json.loads(changed(COMPATIBLE[name]))))
    draft = dict(builders.draft(at=present()))
    for writer, reader in ((old, new), (new, old)):
        value = encoded(writer, draft)
        read = decode_as(writer, value, reader=reader)
        assert {key: draft[key] for key in read.keys() & draft.keys()} == drafted(read, draft)


def encoded(schema: Any, row: Any) -> bytes:
    import io

    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, row)
    return out.getvalue()


def drafted(read: Any, draft: Any) -> Any:
    """The fields that both have; an entry's new field is left out."""
    legs = [{name: leg[name] for name in draft["entries"][0]} for leg in read["entries"]]
    return {key: read[key] for key in read.keys() & draft.keys()} | {"entries": legs}


def test_our_own_registration_says_when_it_is_refused(
    stack: Stack, registry: Registry, new_id: Callable[..., str]
) -> None:
    """Somebody registered something else under the name first."""
    settings = stack.settings.model_copy(update={"prefix": new_id("p")})
    subject = f"{settings.prefix}.transactions-value"
    registry.register(subject, changed(INCOMPATIBLE["a field is gone"]))
    try:
        with pytest.raises(LedgerError, match=rf"refuses schema Transaction under {subject}"):
            register_all(settings)
        with pytest.raises(LedgerError, match=r"not registered under .* `faust-ledger up`"):
            known_ids(settings)
    finally:
        registry.delete(f"/subjects/{subject}")

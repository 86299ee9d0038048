"""A JSON line becomes a draft exactly, or is refused with the right code and field."""

import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.client import lines
from ledger.client.drafts import microseconds, rfc3339
from ledger.domain.refusal import Reason, Refused

CREATED = 1_700_000_000_000_000


def entry(**changes):
    fields = {"account": "assets:cash", "side": "debit", "amount": "12.34", "currency": "CAD"}
    return {**fields, **changes}


def fields(**changes):
    found = {
        "transaction_id": "t1",
        "kind": "deposit",
        "effective_at": "2024-05-01T14:00:00Z",
        "entries": [entry(), entry(account="liabilities:d:1", side="credit")],
    }
    return {**found, **changes}


def without(found, name):
    return {key: value for key, value in found.items() if key != name}


def read(found):
    return lines.read(json.dumps(found), created_at=CREATED)


def test_every_field_of_a_line_is_read():
    draft = read(
        fields(
            description="Salary",
            ordering_key="client-1",
            created_at="2024-05-01T10:00:00.5-04:00",
            reverses="t0",
            metadata={"branch": "7"},
        )
    )
    assert draft == {
        "transaction_id": "t1",
        "kind": "deposit",
        "description": "Salary",
        "effective_at": microseconds(datetime(2024, 5, 1, 14, tzinfo=UTC)),
        "created_at": microseconds(datetime(2024, 5, 1, 14, 0, 0, 500_000, tzinfo=UTC)),
        "ordering_key": "client-1",
        "reverses": "t0",
        "entries": [entry(), entry(account="liabilities:d:1", side="credit")],
        "metadata": {"branch": "7"},
    }


def test_optional_fields_may_be_absent_or_null():
    optional = dict.fromkeys(lines.OPTIONAL)
    assert read(fields()) == read(fields(**optional))
    draft = read(fields())
    assert draft["description"] == ""
    assert draft["created_at"] == CREATED
    assert draft["ordering_key"] is None
    assert draft["reverses"] is None
    assert draft["metadata"] == {}


@pytest.mark.parametrize("name", lines.REQUIRED)
@pytest.mark.parametrize("null", [False, True])
def test_a_missing_field_is_refused(name, null):
    refused = read(fields(**{name: None}) if null else without(fields(), name))
    assert (refused.reason, refused.field) == (Reason.FIELD_MISSING, name)


@pytest.mark.parametrize("name", lines.ENTRY)
def test_a_missing_field_of_an_entry_is_refused(name):
    refused = read(fields(entries=[entry(), without(entry(), name)]))
    assert (refused.reason, refused.field) == (Reason.FIELD_MISSING, f"entries[1].{name}")


def test_a_missing_created_at_without_a_default_is_refused():
    refused = lines.draft_of(fields(), created_at=None)
    assert (refused.reason, refused.field) == (Reason.FIELD_MISSING, "created_at")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"transaction_id": 7}, "transaction_id"),
        ({"kind": ["deposit"]}, "kind"),
        ({"description": {}}, "description"),
        ({"effective_at": 1_714_572_000}, "effective_at"),
        ({"created_at": True}, "created_at"),
        ({"ordering_key": 7}, "ordering_key"),
        ({"reverses": 7}, "reverses"),
        ({"entries": {}}, "entries"),
        ({"entries": "both"}, "entries"),
        ({"entries": [entry(), "credit"]}, "entries[1]"),
        ({"entries": [entry(account=1)]}, "entries[0].account"),
        ({"entries": [entry(currency=124)]}, "entries[0].currency"),
        ({"entries": [entry(side="Debit")]}, "entries[0].side"),
        ({"entries": [entry(side=1)]}, "entries[0].side"),
        ({"entries": [entry(memo="x")]}, "entries[0].memo"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"n": 1}}, "metadata.n"),
        ({"descripton": "typo"}, "descripton"),
    ],
)
def test_a_malformed_field_is_refused(changes, field):
    refused = read(fields(**changes))
    assert (refused.reason, refused.field) == (Reason.FIELD_MALFORMED, field)


@pytest.mark.parametrize("amount", [12.34, 12, 0, True])
def test_a_number_is_never_money(amount):
    refused = read(fields(entries=[entry(amount=amount), entry(side="credit")]))
    assert (refused.reason, refused.field) == (Reason.FIELD_MALFORMED, "entries[0].amount")
    assert "string" in refused.sentence


@pytest.mark.parametrize(
    "line",
    ["", "nope", "{", "[]", '"text"', "12", "null", "[" * 100_000, b"\xff\xfe{}", "1" * 5_000],
)
def test_a_line_without_a_json_object_is_refused(line):
    refused = lines.read(line, created_at=CREATED)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.UNREADABLE


def test_a_line_that_is_too_long_is_refused():
    refused = lines.read(b" " * (lines.MAX_LINE + 1), created_at=CREATED)
    assert refused.reason is Reason.TOO_LARGE


def test_a_name_twice_is_refused():
    line = json.dumps(fields()).replace('"amount": "12.34"', '"amount": "1", "amount": "2"', 1)
    refused = lines.read(line, created_at=CREATED)
    assert (refused.reason, refused.field) == (Reason.FIELD_MALFORMED, "amount")


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01",
        "2024-05-01T14:00:00",
        "2024-05-01T14:00Z",
        "2024-05-01T14:00:00.Z",
        "2024-05-01T14:00:00.1234567Z",
        "2024-05-01T14:00:00+0200",
        "2024-05-01T14:00:00+24:00",
        "2024-05-01T24:00:00Z",
        "2024-05-01T23:59:60Z",
        "2024-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "20240501T140000Z",
        "٢٠٢٤-05-01T14:00:00Z",
        " 2024-05-01T14:00:00Z",
        "",
    ],
)
def test_a_time_that_is_not_rfc_3339_is_refused(text):
    refused = read(fields(effective_at=text))
    assert (refused.reason, refused.field) == (Reason.FIELD_MALFORMED, "effective_at")


def test_the_first_and_last_years_are_times():
    assert lines.parse_time("1970-01-01T00:00:00Z") == 0
    assert lines.parse_time("1970-01-01t00:00:00.000001z") == 1
    assert lines.parse_time("1970-01-01T01:00:00+01:00") == 0
    assert lines.parse_time("1969-12-31T23:00:00-01:00") == 0
    # Year 0 and the far end of 9999 are times, which the ledger's own check refuses by its code.
    year = 366 * 86_400_000_000
    first = lines.parse_time("0001-01-01T00:00:00Z")
    assert lines.parse_time("0000-01-01T00:00:00Z") == first - year
    assert lines.parse_time("9999-12-31T23:59:59-12:00") > lines.parse_time("9999-12-31T23:59:59Z")


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_survives_printing_and_parsing(time):
    assert lines.parse_time(rfc3339(microseconds(time))) == microseconds(time)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from([*lines.REQUIRED, *lines.OPTIONAL, *lines.ENTRY]) | st.text(), inner
            )
        ),
    )
)
def test_any_json_is_a_draft_or_refused(found):
    outcome = lines.read(json.dumps(found), created_at=CREATED)
    assert isinstance(outcome, dict | Refused)


@given(st.binary())
def test_any_bytes_are_a_draft_or_refused(line):
    assert isinstance(lines.read(line, created_at=CREATED), dict | Refused)


def test_a_long_line_of_many_names_is_refused_soon():
    names = "".join(f'"n{each}": 1, ' for each in range(200_000))
    began = time.monotonic()
    found = lines.read(f'{{{names}"n199999": 2}}', created_at=CREATED)
    assert (found.reason, found.field) == (Reason.FIELD_MALFORMED, "n199999")
    assert time.monotonic() - began < 5


def test_a_message_cuts_a_long_name():
    found = lines.read(
        json.dumps({"x" * 1_000_000: 1} | dict.fromkeys(lines.REQUIRED, "a")), created_at=CREATED
    )
    assert len(found.sentence) < 500

"""What a client may send: query parameters, paths and JSON bodies, all read strictly."""

import json
from typing import Annotated, Any

import pytest
from fastapi import Query
from pydantic import TypeAdapter, ValidationError

from ledger.api.app import invalid
from ledger.api.parameters import (
    ENCODED_SLASH,
    MAX_DEPTH,
    check_query,
    decoded_path,
    limit_query,
    microseconds,
    parse_json,
    with_slashes,
)
from ledger.api.problems import PROBLEMS, Problem, refusal
from ledger.api.routes.balances import MOST_ACCOUNTS, AccountsAsked
from ledger.client.drafts import rfc3339
from ledger.domain.refusal import Reason, Refused

KNOWN = {"limit": False, "kind": True}


def code_of(call) -> str:
    with pytest.raises(Problem) as caught:
        call()
    return caught.value.code


def test_known_parameters_pass_and_lists_may_repeat() -> None:
    check_query(b"limit=3&kind=a&kind=b", KNOWN)
    check_query(b"limit=%E2%82%AC", KNOWN)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (b"limti=3", "UNKNOWN_PARAMETER"),
        (b"limit=3&limit=4", "DUPLICATE_PARAMETER"),
        (b"limit=%ff", "INVALID_PARAMETER"),
        (b"limit=a%00b", "INVALID_PARAMETER"),
        (b"limit=\xff", "INVALID_PARAMETER"),
        (b"&".join([b"kind=a"] * 101), "INVALID_PARAMETER"),
        (b"kind=" + b"a" * 40_000, "INVALID_PARAMETER"),
    ],
)
def test_a_query_that_is_not_meant_is_refused(query: bytes, code: str) -> None:
    assert code_of(lambda: check_query(query, KNOWN)) == code


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'[{"b": {"a": 1, "a": 2}}]',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b"1" * 5_000,
        b'{"a": 1} x',
    ],
)
def test_a_body_that_is_not_plain_json_is_refused(body: bytes) -> None:
    assert code_of(lambda: parse_json(body)) == "MALFORMED_BODY"


def test_a_body_is_read_as_it_is() -> None:
    value = {"a": ["[" * 100, '"{', 1, None, True, "€", "1.10"], "b": {"c": []}}
    assert parse_json(json.dumps(value).encode()) == value
    wide = [{"a": [1]}] * 1_000
    assert parse_json(json.dumps(wide).encode()) == wide


def test_paths_are_decoded_by_segment() -> None:
    assert decoded_path(b"/v1/a%3Ab/%E2%82%AC") == "/v1/a:b/€"
    assert decoded_path(b"/v1/a%2fb") == f"/v1/a{ENCODED_SLASH}b"
    assert with_slashes(f"a{ENCODED_SLASH}b") == "a/b"
    for raw in (b"/v1/%ff", b"/v1/%00", b"/v1/%c3"):
        assert code_of(lambda raw=raw: decoded_path(raw)) == "MALFORMED_PATH"


def test_a_problem_names_its_code_status_and_field() -> None:
    problem = Problem("NOT_YET", "Not within 1 s.", complete_to={"0": 5})
    assert json.loads(problem.body("/v1/x")) == {
        "type": "urn:faust-ledger:problem:NOT_YET",
        "title": "Not within the time that was given",
        "status": 504,
        "detail": "Not within 1 s.",
        "instance": "/v1/x",
        "code": "NOT_YET",
        "complete_to": {"0": 5},
    }
    refused = refusal(Refused(Reason.NOT_BALANCED, "CAD: debits 1.00.", "entries"))
    assert (refused.status, refused.code) == (422, "NOT_BALANCED")
    assert json.loads(refused.body(""))["field"] == "entries"


def test_whoever_is_to_wait_is_told_how_long() -> None:
    for code, kind in PROBLEMS.items():
        headers = Problem(code, "x").headers
        assert ("Retry-After" in headers) == (kind.status in (429, 503)), code
    assert Problem("OVERLOADED", "x", retry_after=0.2).headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "accounts: it is missing."),
        ({"accounts": []}, "accounts: it has fewer than 1."),
        ([], "The body: it is no JSON object."),
        ({"accounts": ["assets:a"] * 1_001}, f"accounts: it has more than {MOST_ACCOUNTS}."),
        ({"accounts": ["assets:a"], "account": 1}, "account: it is no field of this body."),
    ],
)
def test_what_a_body_lacks_is_said_in_the_words_of_the_ledger(body: object, detail: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AccountsAsked.model_validate(body)
    error = caught.value.errors()[0]
    assert invalid({**error, "loc": ("body", *error["loc"])}).detail == detail


@pytest.mark.parametrize(
    ("annotated", "value", "detail"),
    [
        (limit_query(100, 1_000), "2000", "limit: it is more than 1000."),
        (limit_query(100, 1_000), "abc", "limit: it is no whole number."),
        (Query(ge=0, le=60.0), "61", "limit: it is more than 60."),
    ],
)
def test_what_a_parameter_cannot_be_is_said_in_the_words_of_the_ledger(
    annotated: Any, value: str, detail: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Annotated[int, annotated]).validate_python(value)
    assert invalid({**caught.value.errors()[0], "loc": ("query", "limit")}).detail == detail


@pytest.mark.parametrize(
    ("given", "rest"), [("NOT_BALANCE", " Did you mean NOT_BALANCED?"), ("?", "")]
)
def test_of_many_values_the_nearest_is_named(given: str, rest: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Reason).validate_python(given)
    found = invalid({**caught.value.errors()[0], "loc": ("query", "code")})
    listed = f"code: it is none of the {len(Reason)} values that /openapi.json lists."
    assert found.detail == listed + rest


def test_a_time_whose_plus_is_a_blank_is_told_so() -> None:
    with pytest.raises(ValueError, match="write it %2B"):
        microseconds("2026-11-21T00:00:00 02:00")


@pytest.mark.parametrize(
    "time",
    [
        "0000-01-01T00:00:00Z",
        "0000-12-31T23:59:59.999999Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59.999999-00:01",
    ],
)
def test_a_time_that_no_answer_could_name_is_refused(time: str) -> None:
    with pytest.raises(ValueError, match="1 to 9999"):
        microseconds(time)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_the_first_and_the_last_time_can_be_named(time: str) -> None:
    assert rfc3339(microseconds(time)) == time

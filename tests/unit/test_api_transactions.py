"""The transactions' routes over HTTP, on a ledger in memory: statuses, headers and bodies."""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from ledger.api.access.access import Access
from ledger.api.app import build_app
from ledger.api.traffic import Traffic
from ledger.api.wiring import Services
from ledger.client.rejects import line_of
from ledger.domain.refusal import Reason
from tests.builders import draft
from tests.unit.api_ledger import ApiLedger
from tests.unit.test_api_access import Kept
from tests.wire import present

AT = present()
WAIT = {"Prefer": "wait=reconciled"}
PATH = "/v1/transactions"
Client = httpx.AsyncClient


def over_http(test: Callable[[ApiLedger, Client], Awaitable[None]]) -> Callable[[], None]:
    """A test of a ledger in memory behind the whole application."""

    async def run() -> None:
        kept, ledger = Kept(), ApiLedger()
        nothing: dict[str, Any] = {each.name: None for each in dataclasses.fields(Services)}
        services = Services(**{
            **nothing, "access": Access(kept, per_second=10**6), "traffic": Traffic(100),
            "transactions": ledger.services,
        })  # fmt: skip
        token, _ = kept.make("admin")
        try:
            async with Client(
                transport=httpx.ASGITransport(app=build_app(services)), base_url="http://ledger",
                headers={"Authorization": f"Bearer {token}"},
            ) as client:  # fmt: skip
                await test(ledger, client)
        finally:
            ledger.close()

    def started() -> None:
        asyncio.run(run())

    started.__name__ = test.__name__
    return started


def body(name: str = "t-1", **changes: Any) -> dict[str, Any]:
    return line_of(draft(name, at=AT, **changes))


@over_http
async def test_statuses_say_how_far_it_is(ledger: ApiLedger, client: Client) -> None:
    published = await client.post(PATH, json=body("a/ é"))
    assert (published.status_code, published.json()["status"]) == (202, "published")
    assert published.headers["Location"] == f"{PATH}/a%2F%20%C3%A9"
    reconciled = await client.post(PATH, json=body("b"), headers=WAIT)
    assert (reconciled.status_code, reconciled.json()["status"]) == (201, "reconciled")
    assert reconciled.headers["Preference-Applied"] == "wait=reconciled"
    again = await client.post(PATH, json=body("b"), headers=WAIT)
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    ledger.shard.posts = False
    late = await client.post(PATH, json=body("c"), headers=WAIT, params={"timeout": "0.01"})
    assert (late.status_code, late.json()["status"]) == (202, "decided")
    assert "Preference-Applied" not in late.headers
    shown = await client.get(f"{PATH}/a%2F%20%C3%A9")
    assert shown.json()["transactions"][0]["transaction_id"] == "a/ é"


@over_http
async def test_an_id_with_a_slash_may_have_it_as_it_is(ledger: ApiLedger, client: Client) -> None:
    """Many proxies refuse %2F, and the id of a reversal has a slash."""
    await client.post(PATH, json=body("t-1"), headers=WAIT)
    back = await client.post(f"{PATH}/t-1/reverse", json={}, headers=WAIT)
    assert back.json()["transaction_id"] == "reversal-of/t-1"
    for form in ("reversal-of/t-1", "reversal-of%2Ft-1"):
        shown = await client.get(f"{PATH}/{form}")
        assert shown.json()["transaction_id"] == "reversal-of/t-1"
        again = await client.post(f"{PATH}/{form}/reverse", json={}, headers=WAIT)
        assert again.json()["transaction_id"] == "reversal-of/reversal-of/t-1"
    assert again.json()["status"] == "duplicate"
    assert (await client.get(f"{PATH}/")).status_code == 404
    await client.post(PATH, json=body("x/reverse"), headers=WAIT)
    assert (await client.get(f"{PATH}/x/reverse")).json()["transaction_id"] == "x/reverse"


@over_http
async def test_a_refusal_is_a_problem(ledger: ApiLedger, client: Client) -> None:
    answer = await client.post(PATH, json=body(amount="1.234"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json")
    problem = answer.json()
    assert {**problem, "detail": ""} == {
        "type": "urn:faust-ledger:problem:TOO_MANY_DECIMALS", "title": "Too many decimals",
        "status": 422, "detail": "", "instance": PATH, "code": Reason.TOO_MANY_DECIMALS,
        "field": "entries[0].amount",
    }  # fmt: skip


BAD = {
    "twice": b'{"transaction_id": "a", "transaction_id": "b"}',
    "NaN": b'{"transaction_id": NaN}',
    "deep": b"[" * 10_000 + b"]" * 10_000,
    "a surrogate": b'{"transaction_id": "\\ud800"}',
    "no JSON": b"hello",
    "no UTF-8": b'"\xff"',
}


@pytest.mark.parametrize("sent", BAD.values(), ids=BAD)
@pytest.mark.parametrize("path", [PATH, f"{PATH}/bulk", f"{PATH}/x/reverse"])
def test_what_is_no_json_is_malformed(sent: bytes, path: str) -> None:
    @over_http
    async def run(ledger: ApiLedger, client: Client) -> None:
        answer = await client.post(path, content=sent, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED_BODY")
        assert ledger.shard.sent == []

    run()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (12.34, "FIELD_MALFORMED"), (None, "FIELD_MALFORMED"), (True, "FIELD_MALFORMED"),
        ({}, "FIELD_MALFORMED"), ("12,34", "AMOUNT_MALFORMED"), (10**400, "FIELD_MALFORMED"),
    ],
    ids=str,
)  # fmt: skip
def test_an_amount_is_text(given: Any, code: str) -> None:
    @over_http
    async def run(ledger: ApiLedger, client: Client) -> None:
        made = body()
        made["entries"][0]["amount"] = given
        content = json.dumps(made).encode()
        answer = await client.post(
            PATH, content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] in (code, "FIELD_MISSING")
        assert answer.json()["field"] == "entries[0].amount"
        assert ledger.shard.sent == []

    run()


@over_http
async def test_the_key_of_the_header_is_the_id(ledger: ApiLedger, client: Client) -> None:
    made = {name: each for name, each in body().items() if name != "transaction_id"}
    answer = await client.post(PATH, json=made, headers={"Idempotency-Key": "k-1", **WAIT})
    assert (answer.status_code, answer.json()["transaction_id"]) == (201, "k-1")
    other = await client.post(PATH, json=body(), headers={"Idempotency-Key": "k-1"})
    assert (other.status_code, other.json()["code"]) == (422, "IDEMPOTENCY_KEY_MISMATCH")


@over_http
async def test_a_dry_run_writes_nothing(ledger: ApiLedger, client: Client) -> None:
    answer = await client.post(PATH, json=body(), params={"dry_run": "true"})
    assert (answer.status_code, answer.json()["outcome"]) == (200, "accepted")
    assert ledger.shard.sent == []


@over_http
async def test_taking_back_needs_no_body(ledger: ApiLedger, client: Client) -> None:
    await client.post(PATH, json=body(), headers=WAIT)
    back = await client.post(f"{PATH}/t-1/reverse", headers=WAIT)
    assert (back.status_code, back.json()["transaction_id"]) == (201, "reversal-of/t-1")
    assert (await client.post(f"{PATH}/t-1/reverse", json={})).status_code == 202
    other = await client.post(f"{PATH}/t-1/reverse", json={"transaction_id": "mine"})
    assert (other.status_code, other.json()["code"]) == (409, "NOT_REVERSIBLE")
    wrong = await client.post(f"{PATH}/t-1/reverse", json={"transaction_id": 5})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "FIELD_MALFORMED")


@over_http
async def test_a_bulk_is_answered_one_by_one(ledger: ApiLedger, client: Client) -> None:
    sent = {"transactions": [body("a"), body("b", amount="0")]}
    answer = await client.post(f"{PATH}/bulk", json=sent, headers=WAIT)
    assert answer.status_code == 200
    assert [each["status"] for each in answer.json()["results"]] == ["reconciled", "refused"]
    unknown = await client.post(f"{PATH}/bulk", json=sent, params={"dry_run": "true"})
    assert (unknown.status_code, unknown.json()["code"]) == (400, "UNKNOWN_PARAMETER")


@over_http
async def test_without_kafka_and_without_the_database(ledger: ApiLedger, client: Client) -> None:
    ledger.database_away()
    undated = {name: each for name, each in body().items() if name != "created_at"}
    answers = [await client.post(PATH, json=each) for each in (undated, body(amount="0"))]
    assert [each.json()["code"] for each in answers] == ["DATABASE_UNAVAILABLE"] * 2
    assert (await client.post(PATH, json=body("dated"))).status_code == 202
    ledger.publishing._publisher, ledger.publishing._why = None, "Kafka does not answer."
    answers += [await client.post(PATH, json=body())]
    answers += [await client.post(f"{PATH}/bulk", json=[body(), body("b")])]
    assert [each.json()["code"] for each in answers[2:]] == ["KAFKA_UNAVAILABLE"] * 2
    assert {each.status_code for each in answers} == {503}
    assert all(int(each.headers["Retry-After"]) > 0 for each in answers)

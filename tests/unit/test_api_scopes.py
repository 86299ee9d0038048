"""Every route of the OpenAPI document names its scope, and nobody without it comes in."""

import asyncio
import dataclasses
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.api import openapi
from ledger.api.access.access import Access
from ledger.api.app import build_app
from ledger.api.parameters import MAX_BODY
from ledger.api.traffic import Traffic
from ledger.api.wiring import Services
from ledger.domain.access import INCLUDED, Scope
from ledger.domain.account import well_formed
from tests.unit.test_api_access import Kept

METHODS = ("get", "post", "put", "patch", "delete")
UNREACHED = {
    "id": "pay-1", "transaction_id": "pay-1", "account": "assets:cash", "name": "balance-sheet",
}  # fmt: skip
"""For parameters of paths."""
WHOLE_LEDGER = {"/v1/audit-log", "/v1/trial-balance", "/v1/rejects", "/v1/reports/{name}"}
"""Paths that are about all accounts: a restricted token may not ask, whatever its scope."""


class Operation(NamedTuple):
    method: str
    path: str
    described: dict[str, Any]

    @property
    def scope(self) -> str:
        return str(self.described["x-scope"])

    def url(self, **given_: str) -> str:
        return self.path.format(**{**UNREACHED, **given_})

    def names(self, parameter: str) -> bool:
        return any(each["name"] == parameter for each in self.described.get("parameters", ()))

    def __str__(self) -> str:
        return f"{self.method.upper()} {self.path}"


KEPT = Kept()


def without_services() -> Services:
    """A process in which nothing answers: who comes as far as that gets a fault, status 500."""
    nothing: dict[str, Any] = {each.name: None for each in dataclasses.fields(Services)}
    access = Access(KEPT, per_second=10**6)
    return Services(**{**nothing, "access": access, "traffic": Traffic(100)})


APP = build_app(without_services())
DOCUMENT = openapi.document(APP.app)
OPERATIONS = [
    Operation(method, path, described)
    for path, methods in DOCUMENT["paths"].items()
    for method, described in methods.items()
    if method in METHODS
]


def sent(operation: Operation, url: str, token: str | None = None, **more: Any) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def scenario() -> httpx.Response:
        transport = httpx.ASGITransport(app=APP, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ledger") as client:
            return await client.request(operation.method, url, headers=headers, **more)

    # Failures of an address are counted, and here all come from one.
    return asyncio.run(scenario())


@pytest.fixture(autouse=True)
def _no_failures_before() -> Iterator[None]:
    APP.app.state.services.access._failures._full_at.clear()
    yield


def test_there_are_operations() -> None:
    assert {str(each) for each in OPERATIONS} >= {"GET /v1/status", "GET /v1/audit-log"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_it_names_its_scope_and_answers(operation: Operation) -> None:
    assert operation.scope in set(Scope)
    assert operation.described["security"] == [{"bearer": [operation.scope]}]
    assert {"401", "403", "429", "503"} <= operation.described["responses"].keys()
    assert operation.path.startswith("/v1/")


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_without_a_token_it_is_401(operation: Operation) -> None:
    for token in (None, "flt_x", "a.b.c"):
        found = sent(operation, operation.url(), token)
        assert (found.status_code, found.json()["code"]) == (401, "UNAUTHENTICATED")
        assert found.headers["www-authenticate"].startswith('Bearer realm="faust-ledger"')
        assert found.headers["content-type"] == "application/problem+json"
    # Who calls comes before everything else: a stranger learns of no parameter and sends no body.
    assert sent(operation, f"{operation.url()}?nowhere=1").status_code == 401
    assert sent(operation, operation.url(), content=b"{").status_code == 401


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_with_all_other_scopes_it_is_403(operation: Operation) -> None:
    enough = {
        scope for scope in Scope
        if scope == operation.scope or operation.scope in INCLUDED.get(scope, ())
    }  # fmt: skip
    token, _ = KEPT.make(*(set(Scope) - enough))
    found = sent(operation, operation.url(), token)
    assert (found.status_code, found.json()["code"]) == (403, "FORBIDDEN")
    assert f'scope="{operation.scope}"' in found.headers["www-authenticate"]
    none, _ = KEPT.make()
    assert sent(operation, operation.url(), none).status_code == 403


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_a_token_with_the_scope_comes_in(operation: Operation) -> None:
    token, _ = KEPT.make(operation.scope)
    assert sent(operation, operation.url(), token).status_code not in (401, 403, 429)


def of_accounts() -> list[Operation]:
    return [each for each in OPERATIONS if "{account}" in each.path or each.names("under")]


@pytest.mark.parametrize("operation", of_accounts(), ids=str)
@pytest.mark.parametrize("path", ["assets:cash", "assets:cash:till:7", "income"])
def test_a_restricted_token_is_for_its_accounts(operation: Operation, path: str) -> None:
    token, _ = KEPT.make(operation.scope, accounts=(path,))
    for other in ("assets:other", "assets:cashier", f"{path}ier", "liabilities:deposits:1"):
        url = operation.url(account=other)
        found = sent(
            operation, url if "{account}" in operation.path else f"{url}?under={other}", token
        )
        answer = (found.status_code, found.json()["code"])
        # What is no account is that for everybody.
        malformed = {(400, "INVALID_PARAMETER")} if not well_formed(other) else set()
        assert answer in {(403, "FORBIDDEN")} | malformed, other


NAMED = [
    ("POST /v1/balances/query", "", {"accounts": ["assets:cash", "assets:other"]}),
    ("GET /v1/live", "?accounts=assets:cash&accounts=assets:other", None),
    ("GET /v1/live", "?under=assets:other&sort=account", None),
    ("GET /v1/balances/{account}", "?currency=EUR", None),
    ("GET /v1/accounts", "?under=assets:other&declared=true", None),
    ("GET /v1/balances", "?under=assets:other&currency=EUR", None),
    ("GET /v1/accounts/{account}/lines", "?counterpart=assets:cash", None),
]  # fmt: skip
"""Accounts that are named elsewhere than in the path, or beside other parameters."""


@pytest.mark.parametrize(("name", "query", "body"), NAMED)
def test_accounts_in_a_body_or_a_query_are_those_of_a_restricted_token(
    name: str, query: str, body: Any
) -> None:
    operation = next((each for each in OPERATIONS if str(each) == name), None)
    assert operation is not None, name
    token, _ = KEPT.make(operation.scope, accounts=("assets:cash",))
    url = operation.url(account="assets:other") + query
    found = sent(operation, url, token, **({} if body is None else {"json": body}))
    assert (found.status_code, found.json()["code"]) == (403, "FORBIDDEN")


def test_lines_are_not_searched_for_accounts_that_a_restricted_token_may_not_see() -> None:
    lines = next(each for each in OPERATIONS if each.path == "/v1/accounts/{account}/lines")
    token, _ = KEPT.make("read", accounts=("assets:cash",))
    found = sent(lines, f"{lines.url()}?counterpart=income:fees", token)
    assert (found.status_code, found.json()["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.path in WHOLE_LEDGER], ids=str
)
def test_what_is_about_all_accounts_is_not_for_a_restricted_token(operation: Operation) -> None:
    token, _ = KEPT.make("admin", accounts=("assets",))
    assert sent(operation, operation.url(), token).status_code == 403


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="latin-1"), max_size=100))
def test_whatever_is_in_the_header_it_is_401(header: str) -> None:
    APP.app.state.services.access._failures._full_at.clear()
    operation = OPERATIONS[0]

    async def scenario() -> tuple[int, bytes]:
        answered: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            answered.append(dict(message))

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        path = operation.url()
        scope = {
            "type": "http", "http_version": "1.1", "method": operation.method.upper(),
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
            "scheme": "http", "headers": [(b"authorization", header.encode("latin-1"))],
            "client": ("192.0.2.1", 1), "server": ("ledger", 80),
        }  # fmt: skip
        await APP(scope, receive, send)  # type: ignore[arg-type]
        return answered[0]["status"], answered[1]["body"]

    status, body = asyncio.run(scenario())
    assert (status, json.loads(body)["code"]) == (401, "UNAUTHENTICATED")


def test_a_fault_of_the_short_way_is_answered_like_any_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    operation = next(each for each in OPERATIONS if str(each) == "GET /v1/balances/{account}")
    token, _ = KEPT.make("read")
    found = sent(operation, operation.url(), token)
    assert (found.status_code, found.json()["code"]) == (500, "FAULT"), "there is no view here"
    assert found.headers["content-type"] == "application/problem+json"
    assert found.json()["fault"] in caplog.text


def test_a_body_has_its_limit_in_the_document() -> None:
    limits = {
        str(each): each.described["requestBody"]["x-max-bytes"]
        for each in OPERATIONS
        if "requestBody" in each.described
    }
    assert limits["POST /v1/transactions"] == MAX_BODY
    assert limits["POST /v1/transactions/bulk"] > MAX_BODY
    for each in OPERATIONS:
        if "requestBody" in each.described:
            assert {"408", "413", "415"} <= each.described["responses"].keys()


def test_a_generated_client_has_the_types_of_what_is_sent() -> None:
    ids = [each.described["operationId"] for each in OPERATIONS]
    assert len(set(ids)) == len(ids)
    for each in OPERATIONS:
        assert "_" in each.described["operationId"], "a verb and a noun"
        for parameter in each.described.get("parameters", ()):
            assert {"type": "null"} not in parameter["schema"].get("anyOf", ()), parameter
            if parameter["name"] in ("as_of", "effective_from", "recorded_before", "from", "to"):
                assert parameter["schema"]["type"] == "string", "microseconds are the API's own"
                assert parameter["schema"]["format"] == "date-time"
        if "requestBody" in each.described:
            assert "$ref" in each.described["requestBody"]["content"]["application/json"]["schema"]
        for found in each.described["responses"].values():
            assert found["description"] != "Successful Response"


def test_a_method_that_a_path_does_not_take_names_those_that_it_takes() -> None:
    found = sent(Operation("put", "/v1/transactions", {}), "/v1/transactions", json={})
    assert found.json()["detail"] == "This path takes POST and not PUT."

"""Bearer tokens and the audit log, from the command line to two API processes."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.conftest import Finished
from tests.integration.api_ledger import ApiLedger, bearer
from tests.waiting import until

Cli = Callable[..., Finished]
Api = httpx.Client


@pytest.fixture(scope="module")
def apis(api_ledger: ApiLedger) -> Iterator[list[Api]]:
    """Clients of both processes, without a token."""
    with ExitStack() as opened:
        yield [
            opened.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=60))
            for url in api_ledger.urls
        ]


def made(cli: Cli, *words: str) -> Any:
    return cli("tokens", "create", *words, "--json").json


def status(api: Api, token: str, path: str = "/v1/status") -> int:
    return api.get(path, headers=bearer(token)).status_code


def test_a_new_token_counts_at_once_and_a_revoked_one_no_more(cli: Cli, apis: list[Api]) -> None:
    token = made(cli, "--scope", "read", "--note", "for two processes")
    assert set(token) >= {"token", "id", "scopes"}
    for api in apis:
        assert status(api, token["token"]) == 200
        assert status(api, token["token"], "/v1/audit-log") == 403
    begun = time.monotonic()
    assert cli("tokens", "revoke", token["id"], "--json").json["state"] == "revoked"
    for api in apis:
        until(lambda api=api: status(api, token["token"]) == 401, "it is revoked", 5)
    assert time.monotonic() - begun < 15
    detail = apis[0].get("/v1/status", headers=bearer(token["token"])).json()["detail"]
    assert detail == "This bearer token is revoked."
    again = cli("tokens", "revoke", token["token"], "--json").json
    rows = {each["id"]: each for each in cli("tokens", "list", "--json").rows}
    assert rows[token["id"]] == again
    assert token["token"] not in str(rows)


def test_a_token_may_have_an_end(cli: Cli, apis: list[Api]) -> None:
    token = made(cli, "--scope", "read", "--expires", "2190-01-01")
    assert (token["expires_at"], token["state"]) == ("2190-01-01T00:00:00Z", "active")
    assert status(apis[0], token["token"]) == 200
    assert cli("tokens", "list", "--json").rows[-1]["expires_at"] == token["expires_at"]


def test_what_the_command_refuses(cli: Cli) -> None:
    for words in (
        ("--scope", "reed"),
        ("--scope", "read", "--accounts", "assets:"),
        ("--scope", "read", "--accounts", "cash"),
        ("--scope", "read", "--expires", "2020-01-01"),
        ("--scope", "read", "--note", "x" * 201),
        (),
    ):
        assert cli("tokens", "create", *words, code=2).out == ""
    assert "Did you mean read?" in cli("tokens", "create", "--scope", "reed", code=2).err
    assert "There is no token nowhere" in cli("tokens", "revoke", "nowhere", code=1).err


def test_the_audit_log_is_read_by_command_and_by_finance(cli: Cli, apis: list[Api]) -> None:
    finance = made(cli, "--scope", "finance")
    token = made(cli, "--scope", "read", "--accounts", "assets:cash", "--accounts", "income")
    cli("tokens", "revoke", token["id"])
    rows = cli("audit-log", "--target", token["id"], "--json").rows
    assert [(each["action"], each["outcome"]) for each in rows] == [
        ("tokens.create", "begun"), ("tokens.create", "done"),
        ("tokens.revoke", "begun"), ("tokens.revoke", "done"),
    ]  # fmt: skip
    assert rows[0]["request"] == rows[1]["request"] != rows[2]["request"]
    assert rows[0]["who"].startswith("command:")
    assert rows[0]["detail"] == "read for assets:cash, income"
    assert rows[0]["source"]
    table = cli("audit-log", "--action", "tokens.revoke", "--limit", 1).out
    assert token["id"] in table
    assert "begun" not in table
    api = apis[1]
    found = api.get(
        "/v1/audit-log", params={"target": token["id"]}, headers=bearer(finance["token"])
    ).json()
    assert found == {"records": rows, "next": None}
    restricted = made(cli, "--scope", "admin", "--accounts", "assets")
    assert status(api, restricted["token"], "/v1/audit-log") == 403


def test_pages_of_the_audit_log(cli: Cli, apis: list[Api]) -> None:
    finance = made(cli, "--scope", "finance")
    api, headers = apis[0], bearer(finance["token"])
    everything = cli("audit-log", "--json").rows
    seen, cursor = [], None
    while True:
        given = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = apis[len(seen) % 2].get("/v1/audit-log", params=given, headers=headers).json()
        seen += page["records"]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == everything
    assert [each["offset"] for each in seen] == sorted({each["offset"] for each in seen})
    first = api.get("/v1/audit-log", params={"limit": 1}, headers=headers).json()["next"]
    for wrong in ({"cursor": first[:-2] + "AA"}, {"cursor": first, "who": "x"}, {"cursor": ""}):
        assert api.get("/v1/audit-log", params=wrong, headers=headers).status_code == 400
    middle = everything[len(everything) // 2]["at"]
    for name, params in (("--from", {"from": middle}), ("--to", {"to": middle})):
        part = api.get("/v1/audit-log", params={**params, "limit": 1000}, headers=headers).json()
        assert part["records"] == cli("audit-log", name, middle, "--json").rows
        assert part["records"]
    nothing = {"from": "2199-01-01T00:00:00Z"}
    assert api.get("/v1/audit-log", params=nothing, headers=headers).json() == {
        "records": [], "next": None
    }  # fmt: skip
    assert api.get("/v1/audit-log", params={"form": "x"}, headers=headers).status_code == 400


def transaction(name: str, *accounts: str) -> dict[str, Any]:
    from ledger.client.drafts import rfc3339
    from ledger.clock import now

    sides = ("debit", "credit")
    return {
        "transaction_id": name, "kind": "test", "effective_at": rfc3339(now()),
        "created_at": rfc3339(now()),
        "entries": [
            {"account": account, "side": side, "amount": "1.00", "currency": "EUR"}
            for account, side in zip(accounts, sides, strict=True)
        ],
    }  # fmt: skip


def test_writes_are_in_the_audit_log_and_refused_ones_are_not(
    cli: Cli, apis: list[Api], new_id: Callable[..., str]
) -> None:
    mine, other = f"assets:{new_id()}", f"income:{new_id()}"
    writer = made(cli, "--scope", "publish", "--scope", "read")
    restricted = made(cli, "--scope", "publish", "--scope", "read", "--accounts", mine)
    first, second = apis
    names = [new_id("pay") for _ in range(5)]
    both = transaction(names[0], mine, other)

    def sent(api: Api, path: str, token: Any, body: Any) -> httpx.Response:
        return api.post(f"/v1/{path}", json=body, headers=bearer(token["token"]), timeout=60)

    assert sent(first, "transactions", restricted, both).status_code == 403
    assert cli("audit-log", "--target", names[0], "--json").rows == []
    assert sent(first, "transactions", writer, both).status_code == 202
    bulk = [transaction(name, mine, f"{mine}:x") for name in names[1:3]]
    bulk.append(transaction(names[3], mine, f"{mine}x"))
    answered = sent(second, "transactions/bulk", restricted, bulk).json()["results"]
    assert [each["status"] for each in answered[:2]] == ["published"] * 2
    assert answered[2]["code"] == "FORBIDDEN"
    until(
        lambda: second.get(
            f"/v1/transactions/{names[0]}", headers=bearer(writer["token"])
        ).status_code == 200,
        "it can be read",
    )  # fmt: skip
    path = f"transactions/{names[0]}"
    assert second.get(f"/v1/{path}", headers=bearer(restricted["token"])).status_code == 403
    assert sent(second, f"{path}/reverse", restricted, {}).status_code == 403
    assert sent(second, f"{path}/reverse", writer, {}).status_code == 202

    found = [
        (each["action"], each["outcome"], len(each["targets"]))
        for each in cli("audit-log", "--json").rows
        if each["who"] in (f"token:{writer['id']}", f"token:{restricted['id']}")
        and each["source"] == "127.0.0.1"
    ]
    assert found == [
        ("transactions.publish", "begun", 1), ("transactions.publish", "published", 1),
        ("transactions.publish", "begun", 2), ("transactions.publish", "published", 2),
        ("transactions.reverse", "begun", 1), ("transactions.reverse", "published", 1),
    ]  # fmt: skip


ACCOUNT = re.compile(r"(?:assets|expenses|liabilities|equity|income):[A-Za-z0-9:._-]*[A-Za-z0-9]")


def test_no_answer_to_a_restricted_token_names_other_accounts(
    cli: Cli, apis: list[Api], new_id: Callable[..., str]
) -> None:
    """Every operation of the document that answers, asked for what the token may see and for all."""
    mine, other = f"assets:{new_id()}", f"income:{new_id()}"
    writer = made(cli, "--scope", "publish", "--scope", "read")
    restricted = made(cli, "--scope", "admin", "--accounts", mine)
    api, name = apis[0], new_id("pay")
    bulk = [transaction(name, mine, f"{mine}:x"), transaction(new_id("pay"), mine, other)]
    sent = api.post(
        "/v1/transactions/bulk", json=bulk, timeout=90,
        headers={**bearer(writer["token"]), "Prefer": "wait=reconciled"},
    )  # fmt: skip
    assert [each["status"] for each in sent.json()["results"]] == ["reconciled"] * 2
    token = sent.json()["token"]
    seen = 0
    for path, methods in api.get("/openapi.json").json()["paths"].items():
        if "get" not in methods or path == "/v1/live":
            continue
        names = {each["name"] for each in methods["get"].get("parameters", ())}
        url = path.format(account=mine, transaction_id=name, name="trial-balance")
        for given in ({}, {"under": mine}, {"under": "assets"}, {"under": other}):
            if set(given) <= names:
                after = {"after": token} if "after" in names else {}
                found = api.get(url, params=given | after, headers=bearer(restricted["token"]))
                assert found.status_code < 500, (url, given, found.text)
                named = set(ACCOUNT.findall(found.text)) if found.is_success else set()
                seen += len(named)
                beyond = {
                    each for each in named if each != mine and not each.startswith(f"{mine}:")
                }
                assert not beyond, (url, given)
    asked = {"accounts": [mine, f"{mine}:x"]}
    found = api.post("/v1/balances/query", json=asked, headers=bearer(restricted["token"]))
    assert set(ACCOUNT.findall(found.text)) == {mine, f"{mine}:x"}
    assert seen, "some answers named its accounts"


def test_a_restricted_token_is_told_nothing_that_others_wrote(
    cli: Cli, apis: list[Api], new_id: Callable[..., str]
) -> None:
    """Every operation of the document, where others' accounts and texts have a name in them."""
    secret = new_id("Zebulon")
    mine, other = f"assets:{new_id()}", f"income:{secret}"
    mixed, theirs, refused = (new_id("pay") for _ in range(3))
    about = {
        "description": f"for {secret}", "metadata": {"producer": secret, "customer": secret},
        "ordering_key": secret,
    }  # fmt: skip
    writer = made(cli, "--scope", "publish", "--scope", "read")
    restricted = made(cli, "--scope", "admin", "--accounts", mine)
    api, written = apis[0], []
    for name, debit in ((mixed, mine), (theirs, f"assets:{secret}"), (refused, mine)):
        written.append(transaction(name, debit, other) | about)
    written.append(written[1] | {"kind": secret})
    sent = api.post(
        "/v1/transactions/bulk", json=written, timeout=90,
        headers={**bearer(writer["token"]), "Prefer": "wait=reconciled"},
    )  # fmt: skip
    statuses = [each["status"] for each in sent.json()["results"]]
    assert statuses == ["reconciled"] * 3 + ["refused"]
    token, headers = sent.json()["token"], bearer(restricted["token"])
    own = transaction(new_id("pay"), mine, f"{mine}:x")
    bodies: dict[str, list[Any]] = {
        "/v1/transactions": [own | {"reverses": each, "ordering_key": secret}
                             for each in (mixed, theirs)],
        "/v1/transactions/bulk": [[own, own | {"reverses": theirs, "ordering_key": secret}]],
        "/v1/transactions/{transaction_id}/reverse": [{}],
        "/v1/balances/query": [{"accounts": [mine]}],
        "/v1/live/tickets": [{}],
    }  # fmt: skip
    answers = []
    for path, methods in api.get("/openapi.json").json()["paths"].items():
        for method, described in methods.items():
            names = {each["name"] for each in described.get("parameters", ())}
            queries: list[dict[str, str]] = [{}, {"under": mine}, {"after": token},
                {"after": theirs, "timeout": "0"}, {"metadata": f"customer={secret}"},
                {"metadata": "customer=nobody"}, {"dry_run": "true"}]  # fmt: skip
            if path == "/v1/live":
                continue
            for query in queries:
                if not set(query) <= names:
                    continue
                for name in (mixed, theirs, refused):
                    url = path.format(account=mine, transaction_id=name, name="statement")
                    for body in bodies.get(path, [None]) if method == "post" else [None]:
                        found = api.request(
                            method, url, params=query, headers=headers, timeout=60,
                            **({} if body is None else {"json": body}),
                        )  # fmt: skip
                        answers.append((f"{method} {url} {query}", found))
                    if "{transaction_id}" not in path:
                        break
    again = own | {"transaction_id": theirs, "ordering_key": secret}
    taken = api.post("/v1/transactions?dry_run=true", json=again, headers=headers)
    assert taken.json()["code"] == "ID_REUSED"
    with api.stream("GET", f"/v1/live?under={mine}", headers=headers) as live:
        assert secret not in next(live.iter_text())
    for what, found in [*answers, ("a taken id", taken)]:
        assert found.status_code < 500 or found.json()["code"] == "NOT_YET", (what, found.text)
        assert secret not in found.text, (what, found.text)
    shown = [found for what, found in answers if what.startswith(f"get /v1/accounts/{mine}/lines")]
    assert shown[0].json()["lines"][0]["redacted"] is True
    assert shown[0].json()["lines"][0]["transaction_id"] == mixed
    for name, status in ((mixed, 403), (theirs, 404), (refused, 403)):
        assert api.get(f"/v1/transactions/{name}", headers=headers).status_code == status


def test_a_stranger_is_told_nothing(apis: list[Api]) -> None:
    found = apis[0].get("/v1/status?nowhere=1")
    assert (found.status_code, found.json()["code"]) == (401, "UNAUTHENTICATED")
    assert found.headers["content-type"] == "application/problem+json"
    assert apis[0].get("/openapi.json").status_code == 200
    assert apis[0].get("/live").status_code == 200

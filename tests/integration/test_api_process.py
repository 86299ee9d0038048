"""API processes of a stack: what status, metrics and lists say, and what a crash of one costs."""

import os
import re
import signal
from collections.abc import Callable
from typing import Any

import psutil

from ledger.stack import api, files
from ledger.stack.record import load_record
from tests.conftest import Finished, Stack
from tests.integration.api_ledger import ApiLedger
from tests.waiting import until


def published(cli: Callable[..., Finished], *transactions: dict[str, Any]) -> None:
    import json

    lines = "".join(json.dumps(each) + "\n" for each in transactions)
    cli("publish", "-", "--wait", stdin=lines)


def transfer(id_: str, debit: str, credit: str) -> dict[str, Any]:
    entries = [{"account": account, "side": side, "amount": "1.00", "currency": "CAD"}
               for account, side in ((debit, "debit"), (credit, "credit"))]  # fmt: skip
    return {
        "transaction_id": id_,
        "kind": "test",
        "effective_at": "2026-01-01T00:00:00Z",
        "entries": entries,
    }


def test_status_reaches_the_end_of_the_log_and_says_so(
    api_ledger: ApiLedger, cli: Callable[..., Finished], new_id: Callable[..., str]
) -> None:
    published(cli, transfer(new_id(), "assets:cash", f"income:{new_id()}"))
    for process in range(2):
        client = api_ledger.client("read", process=process)
        found = until(
            lambda client=client: whole(client.get("/v1/status").json()), "everything is reconciled"
        )
        for shard in found["shards"]:
            assert shard["log_end"] == shard["reconciled"]["offset"] == shard["decided"]["offset"]
            assert shard["waiting"] == 0
        assert any(shard["decided"]["at"] for shard in found["shards"])
        until(lambda client=client: in_history(client.get("/v1/status").json()), "history has it")


def in_history(status: dict[str, Any]) -> bool:
    return all(
        shard["history"]["offset"] >= shard["reconciled"]["offset"] for shard in status["shards"]
    )


def whole(status: dict[str, Any]) -> dict[str, Any] | None:
    return status if status["whole"] else None


def test_accounts_are_listed_page_by_page_by_any_process(
    api_ledger: ApiLedger, cli: Callable[..., Finished], new_id: Callable[..., str]
) -> None:
    top = f"assets:{new_id('list')}"
    accounts = [f"{top}:{name}" for name in ("a", "a:b", "a-b", "c")]
    published(cli, *(transfer(new_id(), account, "income:fees") for account in accounts))
    clients = [api_ledger.client("read", process=process) for process in range(2)]
    for client in clients:
        until(
            lambda client=client: len(listed(client, under=top)) == 4,
            "the balances are in the view",
        )
    first = clients[0].get("/v1/accounts", params={"under": top, "limit": 3}).json()
    assert [row["account"] for row in first["accounts"]] == accounts[:3]
    assert all(row["in_use"] and not row["declared"] for row in first["accounts"])
    rest = (
        clients[1]
        .get("/v1/accounts", params={"under": top, "limit": 3, "cursor": first["next"]})
        .json()
    )
    assert [row["account"] for row in rest["accounts"]] == accounts[3:]
    assert rest["next"] is None
    altered = first["next"][:-2] + ("AA" if first["next"][-2:] != "AA" else "BB")
    refused = clients[0].get("/v1/accounts", params={"under": top, "cursor": altered})
    assert (refused.status_code, refused.json()["code"]) == (400, "CURSOR_INVALID")
    other = clients[0].get("/v1/accounts", params={"under": "income", "cursor": first["next"]})
    assert (other.status_code, other.json()["field"]) == (400, "cursor")
    one = clients[0].get(f"/v1/accounts/{accounts[0]}").json()
    assert one == first["accounts"][0]
    restricted = api_ledger.client("read", accounts=f"{top}:a")
    assert listed(restricted) == accounts[:2]
    assert restricted.get(f"/v1/accounts/{accounts[3]}").status_code == 403


def listed(client: Any, **params: str) -> list[str]:
    return [row["account"] for row in client.get("/v1/accounts", params=params).json()["accounts"]]


def test_assets_have_names_and_decimals_and_nothing_is_broken(api_ledger: ApiLedger) -> None:
    client = api_ledger.client("finance")
    found = client.get("/v1/assets", params={"limit": 1000}).json()
    assert {"code": "JPY", "scale": 0, "name": "Yen", "source": "ISO 4217"} in found["assets"]
    breaks = client.get("/v1/breaks")
    assert breaks.json() == {"breaks": [], "next": None}
    assert api_ledger.client("read").get("/v1/breaks").status_code == 403


def test_status_and_doctor_and_metrics_know_the_processes(
    api_ledger: ApiLedger, cli: Callable[..., Finished]
) -> None:
    found = cli("status", "--json", code=None).json
    for number, url in enumerate(api_ledger.urls, 1):
        name = f"api-{number}"
        assert found["api"][name]["ready"], found["api"]
        assert found["addresses"][name] == url
        assert found["parts"][name]["port"] == int(url.rpartition(":")[2])
    names = {each["name"]: each for each in cli("doctor", "--json", code=None).json["findings"]}
    assert names["api-1"]["well"] and names["api-2"]["well"]
    text = api_ledger.client().get("/metrics").text
    assert "faust_ledger_api_ready 1.0" in text
    assert 'faust_ledger_api_part_ready{part="view"} 1.0' in text


def test_a_process_that_is_killed_comes_back_and_refuses_nobody(
    api_ledger: ApiLedger, stack: Stack, cli: Callable[..., Finished]
) -> None:
    place = files.layout(stack.data_dir)
    record = load_record(place)
    assert record is not None
    supervisor = psutil.Process(record.api[0].pid)
    child = supervisor.children()[0]
    child.send_signal(signal.SIGKILL)
    # It waits in the socket's queue, and is answered by the next one.
    assert api_ledger.client().get("/live").status_code == 200
    assert [each.pid for each in supervisor.children()] != [child.pid]
    [again] = supervisor.children()
    os.kill(supervisor.pid, signal.SIGKILL)
    until(
        lambda: not again.is_running() or again.status() == "zombie",
        "it does not outlive its supervisor",
    )
    until(
        lambda: not psutil.pid_exists(supervisor.pid) or supervisor.status() == "zombie",
        "it has ended",
    )
    found = cli("status", "--json", code=1).json
    assert not found["parts"]["api-1"]["running"]
    started = cli("up", "--json").json
    assert started["api"] == list(api_ledger.urls)
    assert api_ledger.client().get("/ready").status_code == 200
    assert api.urls(place, load_record(place)) == list(api_ledger.urls)


def test_logs_have_what_an_operator_reads_and_nothing_else(
    api_ledger: ApiLedger, stack: Stack
) -> None:
    """Each line has a time and a level; of libraries there are none but what is wrong."""
    assert api_ledger.client("read").get("/v1/status").status_code == 200
    logs = {part: stack.data_dir / "log" / f"{part}.log" for part in ("worker-1", "api-1")}
    lines = {part: log.read_text().splitlines() for part, log in logs.items()}
    assert any("ledger-stream has ledger.posted" in line for line in lines["worker-1"])
    assert any("answers at http" in line for line in lines["api-1"])
    for part, some in lines.items():
        for line in some:
            assert not re.search(r" INFO (httpx|faust|mode|aiokafka|uvicorn)\b|\[\^|\x1b", line), (
                part, line,
            )  # fmt: skip

"""Live updates of the session's ledger: a write is seen, and a crash of a process is no gap."""

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ledger.stack import files
from ledger.stack.record import load_record
from tests.conftest import Stack
from tests.integration.api_ledger import ApiLedger, bearer
from tests.live_client import State
from tests.waiting import until

SECONDS = 60


def transfer(id_: str, account: str, amount: str) -> dict[str, Any]:
    entries = [
        {"account": account, "side": "debit", "amount": amount, "currency": "CAD"},
        {"account": "income:live", "side": "credit", "amount": amount, "currency": "CAD"},
    ]
    return {
        "transaction_id": id_,
        "kind": "test",
        "effective_at": "2026-01-01T00:00:00Z",
        "entries": entries,
    }


class Watcher:
    """A client of process number `process`, whose state outlives its connections."""

    def __init__(self, ledger: ApiLedger, account: str) -> None:
        self.ledger, self.account, self.state = ledger, account, State()

    def connect(self, process: int) -> connect:
        url = self.ledger.urls[process].replace("http", "ws", 1)
        headers = bearer(self.ledger.token("read"))
        return connect(f"{url}/v1/live", additional_headers=headers, proxy=None, compression=None)

    async def subscribe(self, client: ClientConnection) -> None:
        message = {"type": "subscribe", "id": "x", "accounts": [self.account]}
        if token := self.state.tokens.get("x"):
            message["after"] = token
        await client.send(json.dumps(message))

    async def until(self, client: ClientConnection, posted: str) -> None:
        while self.posted != posted or "x" not in self.state.tokens:
            self.state.take(await client.recv())

    @property
    def posted(self) -> str | None:
        row = self.state.balances.get("x", {}).get((self.account, "CAD"))
        return None if row is None else row["posted"]


def post(ledger: ApiLedger, process: int, transaction: dict[str, Any]) -> None:
    client = ledger.client("publish", "read", process=process)
    answer = client.post(
        "/v1/transactions", json=transaction, headers={"Prefer": "wait=reconciled"}
    )
    assert answer.status_code in (200, 201, 202), answer.text


def test_a_write_is_in_a_frame_and_a_killed_process_is_no_gap(
    api_ledger: ApiLedger, stack: Stack, new_id: Callable[..., str]
) -> None:
    account = f"assets:{new_id('live')}"
    watcher = Watcher(api_ledger, account)

    async def watch() -> None:
        async with watcher.connect(0) as client:
            await watcher.subscribe(client)
            for amount, sum_ in (("1.00", "1.00"), ("2.50", "3.50")):
                await asyncio.to_thread(post, api_ledger, 1, transfer(new_id(), account, amount))
                await watcher.until(client, sum_)
            assert watcher.state.kinds[0] == "snapshot subscribed"
            kill_one_of(stack)
            with pytest.raises(ConnectionClosed):
                while True:
                    watcher.state.take(await client.recv())
        await asyncio.to_thread(post, api_ledger, 1, transfer(new_id(), account, "4.00"))
        async with watcher.connect(1) as client:
            await watcher.subscribe(client)
            await watcher.until(client, "7.50")
            assert "resumed" in watcher.state.kinds
            assert watcher.state.kinds.count("snapshot subscribed") == 1
        # The one that was killed is there again, and begins where this client left the other.
        await asyncio.to_thread(knows_tokens, api_ledger, 0)
        async with watcher.connect(0) as client:
            await watcher.subscribe(client)
            await asyncio.to_thread(post, api_ledger, 0, transfer(new_id(), account, "0.50"))
            await watcher.until(client, "8.00")

    asyncio.run(bounded(watch()))
    row = api_ledger.client("read").get(f"/v1/balances/{account}").json()["balances"][0]
    assert row["posted"] == watcher.posted


def knows_tokens(ledger: ApiLedger, process: int) -> None:
    """A process that has just started answers 503 before it has read the bearer tokens."""
    client = ledger.client("read", process=process)
    until(lambda: client.get("/v1/status").status_code == 200, "the process knows tokens")


async def bounded(what: Any) -> None:
    async with asyncio.timeout(SECONDS):
        await what


def kill_one_of(stack: Stack) -> None:
    record = load_record(files.layout(stack.data_dir))
    assert record is not None
    psutil.Process(record.api[0].pid).children()[0].send_signal(signal.SIGKILL)


def test_a_stream_of_events_has_what_is_published(
    api_ledger: ApiLedger, new_id: Callable[..., str]
) -> None:
    account = f"assets:{new_id('live')}:a"
    for process in range(2):
        knows_tokens(api_ledger, process)
    ticket = api_ledger.client("read").post("/v1/live/tickets").json()["ticket"]
    parameters = {"under": account.rpartition(":")[0], "ticket": ticket}
    state = State()
    with httpx.stream(
        "GET", f"{api_ledger.urls[1]}/v1/live", params=parameters, trust_env=False, timeout=SECONDS
    ) as response:
        assert response.status_code == 200
        published = False
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if name != "data":
                continue
            state.take(value)
            if not published and state.token:
                published = True
                post(api_ledger, 0, transfer(new_id(), account, "9.00"))
            if state.balances["live"]:
                break
    [row] = state.balances["live"].values()
    assert (row["account"], row["posted"]) == (account, "9.00")
    metrics = api_ledger.client(process=1).get("/metrics").text
    assert "faust_ledger_api_live_frames_total" in metrics

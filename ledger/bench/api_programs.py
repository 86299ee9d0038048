"""What the bench of the API runs beside the ledger: comparator, clients and load."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psutil

from ledger.bench.child import BenchProgram, Row
from ledger.bench.cpu import of_tree
from ledger.bench.run import LOAD_SEED, BenchFailed
from ledger.client.audit_log import Actor
from ledger.client.tokens import TokenGrant, Tokens
from ledger.settings import Settings
from ledger.stack import api, parts
from ledger.stack.files import Layout
from ledger.stack.record import Record
from ledger.streaming.registry import codec_of
from ledger.streaming.topics import topics

CONSTANT_RATE = 2_000
SETTLED_SECONDS = WARM_UP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ApiWanted:
    """What to measure; `background`: transactions a second that the ledger takes meanwhile."""

    rounds: int = 5
    seconds: float = 10.0
    accounts: int = 10_000
    background: int = 500
    connections: int = 128
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests of one kind: to whom, how many a second, what, and the status of a right answer.

    `order`: what the clients are ordered to send, beside rate and seconds.
    """

    clients: BenchProgram
    process: psutil.Process
    rate: float
    order: Mapping[str, Any]
    status: int = 200


@dataclass(frozen=True, slots=True)
class Programs:
    """The comparator, clients of it and of the API, and the load on the ledger."""

    wanted: ApiWanted
    token: str
    constant: BenchProgram
    constant_clients: BenchProgram
    clients: BenchProgram
    served: psutil.Process
    load: BenchProgram

    async def constant_row(self) -> Row:
        """The comparator's figures, now."""
        process = psutil.Process(self.constant.pid)
        asked = Asked(self.constant_clients, process, CONSTANT_RATE, {"what": "constant"})
        return await self.measured("constant", asked)

    async def measured(self, name: str, asked: Asked) -> Row:
        """Delays, and CPU a request without what the process takes while nobody asks.

        Raises BenchFailed where an answer is not as it should be.
        """
        seconds, rate = self.wanted.seconds, asked.rate
        async with self._under_load(seconds + SETTLED_SECONDS + WARM_UP_SECONDS):
            # Connections and code of this kind, in the server and in Kafka, are warm then.
            await asked.clients.order({**asked.order, "rate": rate, "seconds": WARM_UP_SECONDS})
            idle = await _cores(asked.process, SETTLED_SECONDS)
            before, began = of_tree(asked.process), time.monotonic()
            row = await asked.clients.order({**asked.order, "rate": rate, "seconds": seconds})
            spent = of_tree(asked.process) - before - idle * (time.monotonic() - began)
        _require_answered(name, row, asked.status)
        return row | {
            "cpu_us": round(1e6 * spent / row["requests"], 1),
            "idle_cores": round(idle, 4),
        }

    @asynccontextmanager
    async def _under_load(self, seconds: float) -> AsyncIterator[None]:
        """The ledger takes transactions for as long as a case and its pause last."""
        rate = self.wanted.background
        order = {"count": int(rate * seconds), "rate": rate, "fill": False}
        loading = asyncio.create_task(self.load.order(order))
        try:
            yield
        finally:
            await loading


def _require_answered(name: str, row: Row, status: int) -> None:
    examples = row.pop("examples")
    wrong = [body for found, body in examples.items() if found != str(status)]
    if row["unanswered"] or wrong:
        raise BenchFailed(
            f"{name}: {row['unanswered']} requests unanswered, answers {row['statuses']}. {wrong}"
        )


async def _cores(process: psutil.Process, seconds: float) -> float:
    """How much of a core it uses while nobody asks."""
    before, began = of_tree(process), time.monotonic()
    await asyncio.sleep(seconds)
    return (of_tree(process) - before) / (time.monotonic() - began)


@asynccontextmanager
async def programs(
    record: Record, settings: Settings, wanted: ApiWanted
) -> AsyncIterator[Programs]:
    """All of them, running."""
    async with Tokens(settings, Actor("bench", "this machine")) as tokens:
        token, _ = await tokens.create(TokenGrant(["admin"], note="bench"))
    (url,) = api.urls(Layout(record.data_dir), record)
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        constant = await enter(BenchProgram("ledger.bench.constant", {}))
        port = (await constant.order({}))["port"]
        yield Programs(
            wanted,
            token,
            constant,
            await enter(clients_of(wanted, token, f"http://127.0.0.1:{port}")),
            await enter(clients_of(wanted, token, url)),
            process_of(record.api[0]),
            await enter(BenchProgram("ledger.bench.load", await _load_of(settings, wanted))),
        )


async def _load_of(settings: Settings, wanted: ApiWanted) -> Row:
    codec = await asyncio.to_thread(codec_of, settings)
    return {
        "bootstrap_servers": settings.bootstrap_servers,
        "topic": topics(settings).transactions.name,
        "schema_id": codec.ids["Transaction"], "shards": settings.shards,
        "accounts": wanted.accounts, "fees": False, "seed": LOAD_SEED,
        "label": f"bench-{time.time_ns()}",
    }  # fmt: skip


def clients_of(wanted: ApiWanted, token: str, url: str) -> BenchProgram:
    """Clients of the server at an address."""
    address = urlsplit(url)
    return BenchProgram("ledger.bench.api_clients", {
        "host": address.hostname, "port": address.port, "token": token,
        "accounts": wanted.accounts, "connections": wanted.connections,
        "label": f"bench-api-{time.time_ns()}",
    })  # fmt: skip


def process_of(part: parts.Part) -> psutil.Process:
    """The supervisor of an API process, with all below it. Raises BenchFailed if it has exited."""
    found = parts.process_of(part)
    if found is None:
        raise BenchFailed(f"The API process {part.name} has exited. See its log {part.log}.")
    return found

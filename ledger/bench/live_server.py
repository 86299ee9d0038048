"""The server of the bench of live connections: the API's, over a view that is fed by a socket."""

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import uvicorn
import uvloop
from fastapi import FastAPI

from ledger.api.access.access import Access
from ledger.api.edge import Edge
from ledger.api.listening import allow_connections, listen
from ledger.api.live.live import Live
from ledger.api.live.opening import LiveParts
from ledger.api.live.places import Places
from ledger.api.live.source import Key, Listener
from ledger.api.live.websocket import LiveSockets
from ledger.api.routes import live as route
from ledger.api.server import config_of
from ledger.api.signing import Signer
from ledger.api.traffic import Traffic
from ledger.api.view.copy import BalanceCopy
from ledger.api.view.following import GATHER_SECONDS
from ledger.api.view.kept import Place
from ledger.api.view.taking import Decoding, Foreign
from ledger.bench.child import Row, parameters, serve_orders
from ledger.bench.live import CODEC, PARTITIONS, RECORD
from ledger.domain.access import BearerToken, hash_of, token_of
from ledger.domain.balance import Balance
from ledger.settings import Settings

TOKEN = token_of("0123456789", 1)
"""The bearer token of every client."""
CORE = 0
SLICE = 200


class _Record(NamedTuple):
    partition: int
    key: bytes
    value: bytes


class Tokens:
    """One bearer token that may read."""

    def __init__(self) -> None:
        made = BearerToken(TOKEN[4:14], hash_of(TOKEN), ("read",), (), "", 0, "bench")
        self.known = {made.id: made}

    def problem(self) -> str | None:
        """None: it is known."""
        return None

    async def catch_up(self) -> None:
        """Nothing: there are no others."""


class Feed:
    """The balance view without Kafka: what a socket brings is decoded and taken as it does."""

    origin, is_ready = "bench", True

    def __init__(self, folder: Path) -> None:
        self._copy = BalanceCopy(folder)
        self._copy.begin(self.origin, dict.fromkeys(range(PARTITIONS), 0))
        records: Any = SimpleNamespace(codec=CODEC)
        self._decoding = Decoding(records, PARTITIONS)
        self._ends = [0] * PARTITIONS
        self._listeners: list[Listener] = []
        self._taken = asyncio.Condition()
        self.balances, self.under = self._copy.balances, self._under

    def positions(self) -> Sequence[int]:
        """By partition, how many records were taken."""
        return list(self._ends)

    def _under(self, path: str, *, after: Key | None = None, limit: int) -> list[Balance]:
        return self._copy.under(path, after, limit)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """As the view does."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take what comes, as it comes."""
        held = b""
        while received := await reader.read(1 << 20):
            held = await self._take_whole(held + received)

    async def _take_whole(self, held: bytes) -> bytes:
        found: list[list[_Record]] = [[] for _ in range(PARTITIONS)]
        at = 0
        while at + RECORD.size <= len(held):
            partition, key, value = RECORD.unpack_from(held, at)
            start = at + RECORD.size
            if start + key + value > len(held):
                break
            at = start + key + value
            found[partition].append(
                _Record(partition, held[start : start + key], held[start + key : at])
            )
        for partition, some in enumerate(found):
            for start in range(0, len(some), SLICE):
                self._take(partition, some[start : start + SLICE])
                await asyncio.sleep(0)
        async with self._taken:
            self._taken.notify_all()
        await asyncio.sleep(GATHER_SECONDS)
        return held[at:]

    async def has_taken(self, count: int) -> None:
        """Return once so many records were taken."""
        async with self._taken:
            await self._taken.wait_for(lambda: sum(self._ends) >= count)

    def _take(self, partition: int, some: Sequence[Any]) -> None:
        changes = [self._decoding.change_in(each) for each in some]
        end = self._ends[partition] + len(some)
        known = [each for each in changes if not isinstance(each, Foreign)]
        assert len(known) == len(changes), changes
        changed = self._copy.take(partition, known, Place(0, end))
        for listener in self._listeners:
            listener(partition, end, changed)
        self._ends[partition] = end


async def _main(wanted: Row) -> None:
    folder = Path(wanted["folder"])
    feed, signer = Feed(folder / "view"), Signer(b"b" * 32)
    settings = Settings(data_dir=folder)
    access = Access(Tokens(), per_second=1_000_000)
    app = FastAPI()
    app.state.services = SimpleNamespace(access=access)
    feeding = await asyncio.start_unix_server(feed.read, wanted["feed"], limit=1 << 20)
    async with feeding, Live(feed, signer) as live:
        parts = LiveParts(live, Places(100_000, 100_000), None)
        app.router.routes.extend(route.router(parts, access, signer).routes)
        listening = listen(settings)
        edge = Edge(app, Traffic(100_000), sockets={"/v1/live": LiveSockets(parts, access)})
        server = uvicorn.Server(config_of(settings, edge, None))
        serving = asyncio.create_task(server.serve([listening]))

        async def carry_out(order: Row) -> Row:
            if order["do"] == "wait":
                await feed.has_taken(order["accounts"])
            return {"port": listening.getsockname()[1]}

        await serve_orders(carry_out)
        live.stop()
        server.should_exit = server.force_exit = True
        await serving


if __name__ == "__main__":
    os.sched_setaffinity(0, {CORE})
    allow_connections(10_000)
    uvloop.run(_main(parameters()))

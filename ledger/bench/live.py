"""Live connections: how long from a changed balance to the frame that has it, and what one costs.

Three processes: the API's server with a balance view on disk, pinned to a core; the clients, real
WebSockets or streams of events; and this one, which sends the server records of `ledger.balances`
as Kafka has them, at a fixed rate whatever happens. A balance's version is the time of its change,
so that each client reads the delay off each frame.
"""

import asyncio
import json
import random
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import psutil

from ledger.bench.child import BenchProgram, Row
from ledger.domain import money
from ledger.domain.balance import Balance
from ledger.domain.codecs import encoder
from ledger.domain.partition import partition_of
from ledger.domain.portions import portions
from ledger.streaming.registry import Codec
from schemas import load as load_schema

PARTITIONS = 8
CODEC = Codec({"Balance": 1})
_HEAD, _encode = CODEC.head("Balance"), encoder(load_schema("Balance"), Balance)
SECONDS_A_BATCH = 0.005
RECORD = struct.Struct(">BHH")
"""Before each record: partition, length of key, length of value."""


@dataclass(frozen=True)
class LiveBench:
    """What to measure. `watched`: accounts of a connection; each has balances in one currency."""

    kind: Literal["websocket", "events"] = "websocket"
    connections: int = 1_000
    accounts: int = 10_000
    watched: int = 20
    rate: int = 5_000
    seconds: float = 20
    warm_up: float = 5
    mixed: bool = False


class Used(NamedTuple):
    """What the server took of its core, and for how much it was ready to run and did not.

    Other programs on that core make delays of which the second one is the sign.
    """

    cpu: float
    waited: float


async def measure(bench: LiveBench, folder: Path) -> Row:
    """Delays in milliseconds, CPU of the server in cores, memory in bytes a connection."""
    path = str(folder / "feed")
    parameters = asdict(bench) | {"feed": path, "folder": str(folder)}
    async with BenchProgram("ledger.bench.live_server", parameters) as server:
        parameters["port"] = (await server.order({"do": "port"}))["port"]
        process = psutil.Process(server.pid)
        feed = Feeding(bench, (await asyncio.open_unix_connection(path))[1])
        await feed.fill()
        await server.order({"do": "wait", "accounts": bench.accounts})
        async with BenchProgram("ledger.bench.live_clients", parameters) as clients:
            # What is kept once, however many are connected, is there before the others come.
            await clients.order({"do": "connect", "count": 1})
            quiet = await feed.load(process, bench.warm_up)
            before = process.memory_info().rss
            await clients.order({"do": "connect", "count": bench.connections})
            connected = process.memory_info().rss
            await feed.load(process, bench.warm_up)
            await clients.order({"do": "reset"})
            used = await feed.load(process, bench.seconds)
            loaded = process.memory_info().rss
            found = await clients.order({"do": "report"})
        await feed.close()
    count = bench.connections
    return {
        **asdict(bench),
        **found,
        "server": used._asdict(),
        "server_with_one_connection": quiet._asdict(),
        "bytes_a_connection": {
            "connected": (connected - before) // count,
            "loaded": (loaded - before) // count,
        },
        "rss_mib": {"before": before >> 20, "connected": connected >> 20, "loaded": loaded >> 20},
    }


class Feeding:
    """Sends records to the server."""

    def __init__(self, bench: LiveBench, writer: asyncio.StreamWriter) -> None:
        self._rate, self._writer = bench.rate, writer
        self._names = [f"assets:live:{each // 100}:{each}" for each in range(bench.accounts)]
        self._chance = random.Random(7)  # noqa: S311 - no secret

    async def close(self) -> None:
        """The server reads to the end, and stops by itself."""
        self._writer.close()
        await self._writer.wait_closed()

    async def fill(self) -> None:
        """A balance for every account."""
        for some in portions(self._names, count=1_000):
            self._writer.write(b"".join(record(name, 1) for name in some))
            await self._writer.drain()

    async def load(self, process: psutil.Process, seconds: float) -> Used:
        """Change balances at the rate for so long."""
        began, sent, before = time.monotonic(), 0, _used(process)
        while (elapsed := time.monotonic() - began) < seconds:
            # What is due by now, whether or not the server keeps up.
            due = int(elapsed * self._rate) - sent
            sent += due
            some = (record(self._chance.choice(self._names), due) for _ in range(due))
            self._writer.write(b"".join(some))
            await asyncio.sleep(SECONDS_A_BATCH)
        after, elapsed = _used(process), time.monotonic() - began
        return Used(*(round((b - a) / elapsed, 3) for a, b in zip(before, after, strict=True)))


def _used(process: psutil.Process) -> Used:
    """In seconds, as far as the system says so."""
    waited = Path(f"/proc/{process.pid}/schedstat")
    nanoseconds = int(waited.read_text().split()[1]) if waited.exists() else 0
    return Used(sum(process.cpu_times()[:2]), nanoseconds / 1e9)


def record(account: str, entries: int) -> bytes:
    """A balance that has changed now, as a record of the topic."""
    version = time.monotonic_ns() // 1_000
    text = money.show(version, 2)
    row = Balance(account, "CAD", 2, text, "0.00", text, "0.00", entries, "reconciled", version)
    key, value = f"{account} CAD".encode(), _HEAD + _encode(row)
    partition = partition_of(account.encode(), PARTITIONS)
    return RECORD.pack(partition, len(key), len(value)) + key + value


def run(bench: LiveBench) -> Row:
    """Measure in a folder that is removed afterwards."""
    with TemporaryDirectory(prefix="faust-ledger-live-") as folder:
        return asyncio.run(measure(bench, Path(folder)))


def main(arguments: list[str]) -> None:
    """`python -m ledger.bench.live [NAME=VALUE ...]`, names of `LiveBench`."""
    types: dict[str, Callable[[str], Any]] = {
        "kind": str, "seconds": float, "warm_up": float, "mixed": lambda text: text == "true",
    }  # fmt: skip

    def given() -> Iterator[tuple[str, Any]]:
        for each in arguments:
            name, _, value = each.partition("=")
            yield name, types.get(name, int)(value)

    sys.stdout.write(f"{json.dumps(run(LiveBench(**dict(given()))))}\n")


if __name__ == "__main__":
    main(sys.argv[1:])

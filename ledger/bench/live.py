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
from typing import Any, Literal

import psutil

from ledger.bench.child import BenchProgram, Row
from ledger.domain import money
from ledger.domain.balance import Balance
from ledger.domain.codecs import encoder
from ledger.domain.partition import partition_of
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


async def measure(bench: LiveBench, folder: Path) -> Row:
    """Delays in milliseconds, CPU of the server in cores, memory in bytes a connection."""
    path = str(folder / "feed")
    parameters = asdict(bench) | {"feed": path, "folder": str(folder)}
    async with BenchProgram("ledger.bench.live_server", parameters) as server:
        port = (await server.order({"do": "port"}))["port"]
        process = psutil.Process(server.pid)
        feed = await asyncio.open_unix_connection(path)
        # The view has every account before anybody connects, and its files are warm.
        writer = feed[1]
        names = [f"assets:live:{number // 100}:{number}" for number in range(bench.accounts)]
        for at in range(0, len(names), 1_000):
            writer.write(b"".join(record(name, 1) for name in names[at : at + 1_000]))
            await writer.drain()
        await server.order({"do": "wait", "accounts": bench.accounts})
        quiet = await _load(bench, names, writer, process, bench.warm_up)
        before = process.memory_info().rss
        async with BenchProgram(
            "ledger.bench.live_clients", parameters | {"port": port}
        ) as clients:
            await clients.order({"do": "connect"})
            connected = process.memory_info().rss
            await _load(bench, names, writer, process, bench.warm_up)
            await clients.order({"do": "reset"})
            cpu = await _load(bench, names, writer, process, bench.seconds)
            loaded = process.memory_info().rss
            found = await clients.order({"do": "report"})
        writer.close()
    count = bench.connections
    return {
        **asdict(bench),
        **found,
        "cpu": round(cpu, 3),
        "cpu_without_connections": round(quiet, 3),
        "bytes_a_connection": {
            "connected": (connected - before) // count,
            "loaded": (loaded - before) // count,
        },
        "rss_mib": {"before": before >> 20, "connected": connected >> 20, "loaded": loaded >> 20},
    }


async def _load(
    bench: LiveBench,
    names: list[str],
    writer: asyncio.StreamWriter,
    process: psutil.Process,
    seconds: float,
) -> float:
    """Change balances at the rate for so long; the cores that the server used."""
    chance, began, sent = random.Random(7), time.monotonic(), 0  # noqa: S311 - no secret
    used = sum(process.cpu_times()[:2])
    while (elapsed := time.monotonic() - began) < seconds:
        # What is due by now, whether or not the server keeps up.
        due = int(elapsed * bench.rate) - sent
        sent += due
        writer.write(b"".join(record(chance.choice(names), due) for _ in range(due)))
        await asyncio.sleep(SECONDS_A_BATCH)
    return float(sum(process.cpu_times()[:2]) - used) / (time.monotonic() - began)


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

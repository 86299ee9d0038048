"""Live connections in rounds: WebSockets and server-sent events in turns, after the comparator."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Literal

from ledger.bench.api_programs import Programs
from ledger.bench.api_requests import median_delays
from ledger.bench.child import Row
from ledger.bench.live import LiveBench, measure
from ledger.bench.run import BenchFailed

Kind = Literal["websocket", "events"]
KINDS: tuple[Kind, ...] = ("websocket", "events")


async def live_round(programs: Programs, kinds: Sequence[Kind]) -> Row:
    """The comparator, and each of these kinds once."""
    found: Row = {"constant": await programs.constant_row()}
    for kind in kinds:
        bench = LiveBench(
            kind=kind,
            watched=50,
            accounts=5_000,
            seconds=programs.wanted.seconds,
        )
        with TemporaryDirectory(prefix="faust-ledger-live-") as folder:
            found[kind] = await measure(bench, Path(folder))
        if closed := found[kind]["closed"]:
            raise BenchFailed(f"live, {kind}: {closed} connections were closed meanwhile.")
    return found


def live_medians(rounds: Sequence[Row]) -> Row:
    """By kind, the medians of delays, of the server's cores and of bytes a connection."""
    found: Row = {}
    for kind in [each for each in rounds[0] if each != "constant"]:
        rows = [each[kind] for each in rounds]
        found[kind] = {
            "connections": rows[0]["connections"],
            "rate": rows[0]["rate"],
            "delay_ms": median_delays([row["delay_ms"] for row in rows]),
            "cores": round(median(row["server"]["cpu"] for row in rows), 3),
            "bytes_a_connection": int(
                median(max(row["bytes_a_connection"].values()) for row in rows)
            ),
        }
    return found

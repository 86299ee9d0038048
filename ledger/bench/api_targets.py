"""The targets of the bench of the API, and whether what was measured meets them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from ledger.bench.child import Row

REFERENCE_FLOOR = 40_000
"""Transactions a second of the floor, on the machine that the targets are for."""
PER_KILOBYTE = 1_000


class Target(NamedTuple):
    """At most `limit`; `measured` finds the figure in what the bench found."""

    part: str
    name: str
    limit: float
    unit: str
    measured: Callable[[Row], float]


def _delay(case: str, percentile: str) -> Callable[[Row], float]:
    return lambda found: float(found["cases"][case]["delay_ms"][percentile])


def _live(kind: str) -> Iterator[Target]:
    title = "WebSocket" if kind == "websocket" else "server-sent events"
    yield Target(
        "live", f"{title}, p99 of change to frame", 250, "ms",
        lambda found: float(found["live"][kind]["delay_ms"]["p99"]),
    )  # fmt: skip
    yield Target(
        "live", f"{title}, a connection", 50, "KB",
        lambda found: found["live"][kind]["bytes_a_connection"] / PER_KILOBYTE,
    )  # fmt: skip


def _past(part: str, title: str, delay: float, ratio: float) -> Iterator[Target]:
    def worst(figure: str) -> Callable[[Row], float]:
        return lambda found: float(found["past"][part]["worst"][figure])

    yield Target(part, f"{title}, median", delay, "ms", worst("delay_ms"))
    yield Target(part, f"{title}, to few entries", ratio, "ratio", worst("ratio"))


TARGETS = (
    Target("requests", "a balance, p99", 5, "ms", _delay("balance", "p99")),
    Target(
        "requests", "a balance, CPU to the constant's", 2, "ratio",
        lambda found: float(found["cases"]["balance"]["ratio"]),
    ),
    Target("requests", "100 balances, p99", 15, "ms", _delay("hundred", "p99")),
    Target("requests", "a write, reconciled, p50", 60, "ms", _delay("write", "p50")),
    *_live("websocket"),
    *_live("events"),
    *_past("as-of", "as-of over 1,000,000 entries", 20, 2),
    *_past("trial-balance", "trial balance over 5,000,000 entries", 500, 1.5),
)  # fmt: skip


def judged(found: Row) -> Sequence[Row]:
    """A row for each target of which there is a figure.

    `limit_here`: that of times grows as the floor of this machine is below REFERENCE_FLOOR.
    """
    factor = max(1.0, REFERENCE_FLOOR / found["floor"]["throughput"])
    rows = []
    for each in TARGETS:
        with suppress(KeyError):
            measured = round(each.measured(found), 2)
            here = round(each.limit * factor, 1) if each.unit == "ms" else each.limit
            rows.append({
                "part": each.part, "target": each.name, "unit": each.unit, "measured": measured,
                "limit": each.limit, "limit_here": here, "met": measured <= each.limit,
                "met_here": measured <= here,
            })  # fmt: skip
    return rows

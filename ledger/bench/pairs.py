"""Comparison of two cases, each on its own ledger, measured in turns.

A machine's speed varies, and turns make it vary alike for both: the result is the ratio of the
medians. A ledger is stopped while the other one is measured, and warmed up at each turn.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ledger.bench.child import Row
from ledger.bench.run import (
    Bench,
    Check,
    Report,
    Wanted,
    cpu_of_system,
    full_speed_phase,
    machine,
    require_clean,
)
from ledger.domain.portions import portions
from ledger.settings import Settings
from ledger.stack import stack
from ledger.stack.record import Record

FIXED_RATE = 5_000
FILL_PHASE = 500_000

EQUAL_RUN = 400
"""Most transactions of a run, where both cases are to have equal runs."""

Start = Callable[[Path, Mapping[str, str]], AbstractContextManager[Record]]
"""A running stack in a directory, of a ledger with these settings, without workers."""


@dataclass(frozen=True, slots=True)
class Case:
    """A ledger and its load. `filled`: all accounts exist; `entries`: posted before the load.

    `run`: most transactions of a run. `history`: whether workers fold it.
    """

    name: str
    accounts: int = 10_000
    shards: int = 8
    workers: int = 1
    fees: bool = False
    filled: bool = False
    entries: int = 0
    run: int = 10_000
    history: str = "off"

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings by name that differ between cases."""
        return {
            "shards": str(self.shards),
            "max_run_records": str(self.run),
            "history": self.history,
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """A transaction in `other` is to take at most `limit` times the CPU of one in `base`."""

    base: Case
    other: Case
    limit: str


PAIRS = {
    "accounts": Pair(
        Case("10,000 accounts"), Case("1,000,000 accounts", accounts=1_000_000, filled=True), "1.3"
    ),
    "fees": Pair(Case("uniform"), Case("one account in all", fees=True), "1.1"),
    "workers": Pair(Case("1 worker"), Case("2 workers", workers=2), "1.15"),
    "shards": Pair(
        Case("8 shards", run=EQUAL_RUN), Case("32 shards", shards=32, run=EQUAL_RUN), "1.2"
    ),
    "history": Pair(Case("without history"), Case("with history", history="on"), "1.3"),
    "journal": Pair(Case("empty journal"), Case("20 million entries", entries=20_000_000), "1.2"),
}


@dataclass(frozen=True, slots=True)
class Rounds:
    """The number of rounds, and the least seconds of load at full speed and at the fixed rate."""

    count: int = 5
    warm_up_seconds: float = 15.0
    seconds: float = 15.0
    paced_seconds: float = 10.0


def compare_cases(
    pair: Pair, rounds: Rounds, place: Path, start: Start, check: Check, report: Report
) -> Row:
    """Medians of both cases and their ratio. Raises BenchFailed if a ledger does not reconcile."""
    cases = {"base": pair.base, "other": pair.other}
    found: dict[str, list[Row]] = {name: [] for name in cases}
    for number in range(rounds.count):
        for name, case in cases.items():
            report(f"round {number + 1} of {rounds.count}: {case.name}")
            with start(place / name, case.settings) as record:
                running = stack.up(record.data_dir, worker_count=case.workers)
                settings = stack.settings_of(running)
                found[name].append(
                    asyncio.run(_turn(running, settings, case, rounds, number, report))
                )
                if number + 1 == rounds.count:
                    report("a full audit")
                    require_clean(asyncio.run(check(settings)))
    both = {name: _medians(cases[name], rows) for name, rows in found.items()}
    return both | {
        "ratio": {
            load: round(both["other"][load]["cpu"] / both["base"][load]["cpu"], 3)
            for load in ("saturated", "paced")
        },
        "limit": pair.limit,
        "rounds": found,
        "machine": machine(),
    }


async def _turn(
    record: Record, settings: Settings, case: Case, rounds: Rounds, number: int, report: Report
) -> Row:
    wanted = Wanted(accounts=case.accounts, fees=case.fees)
    async with Bench(record, settings, wanted) as bench:
        if not number:
            for count in _to_fill(case):
                report(f"filling: {count:,} transactions")
                await bench.phase(count, None, fill=case.filled)
        usual = await bench.warm_up(rounds.warm_up_seconds)
        loaded = await full_speed_phase(bench, usual, rounds.seconds, report)
        paced = await bench.phase(int(FIXED_RATE * rounds.paced_seconds), FIXED_RATE)
        bench.require_well()
        return {"saturated": bench.found(loaded), "paced": bench.found(paced)}


def _to_fill(case: Case) -> Iterator[int]:
    count = (case.accounts if case.filled else case.entries) // 2
    return map(len, portions(range(count), count=FILL_PHASE))


def _medians(case: Case, rows: Sequence[Row]) -> Row:
    return {"name": case.name} | {
        load: {
            "cpu": round(median(cpu_of_system(row[load]) for row in rows), 1),
            "throughput": round(median(row[load]["throughput"] for row in rows), 1),
            "mean_run": round(median(row[load]["work"]["mean_run"] for row in rows), 1),
        }
        for load in ("saturated", "paced")
    }

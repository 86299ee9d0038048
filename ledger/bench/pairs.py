"""Scale as a ratio: two cases, each on a ledger of its own, measured in turns.

Of the machine's moods both get the same, and what counts is the ratio of the medians. A ledger is
stopped while the other one is measured, and warmed up whenever its turn comes.
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
    Say,
    Wanted,
    as_fast_as_they_go,
    chunks,
    cpu_of_system,
    machine,
    require_clean,
)
from ledger.settings import Settings
from ledger.stack import stack
from ledger.stack.record import Record

FIXED_RATE = 5_000
FILLED_AT_ONCE = 500_000

EQUAL_RUN = 400
"""Transactions decided at once, where runs are to be equal."""

Start = Callable[[Path, Mapping[str, str]], AbstractContextManager[Record]]
"""A running stack in a directory, of a ledger with these settings, without workers."""


@dataclass(frozen=True, slots=True)
class Case:
    """A ledger and its load. `filled`: all accounts exist; `entries`: so many are posted before.

    `run`: transactions decided at once, at most.
    """

    name: str
    accounts: int = 10_000
    shards: int = 8
    workers: int = 1
    fees: bool = False
    filled: bool = False
    entries: int = 0
    run: int = 10_000

    @property
    def settings(self) -> Mapping[str, str]:
        """By name, those that differ from case to case."""
        return {"shards": str(self.shards), "max_run_records": str(self.run)}


@dataclass(frozen=True, slots=True)
class Pair:
    """`other` is to cost at most `limit` times the CPU of `base`, a transaction."""

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
    "journal": Pair(Case("empty journal"), Case("20 million entries", entries=20_000_000), "1.2"),
}


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often, and how long each case is loaded at least, and then paced, in seconds."""

    count: int = 5
    warm_up_seconds: float = 15.0
    seconds: float = 15.0
    paced_seconds: float = 10.0


def compare(pair: Pair, rounds: Rounds, place: Path, start: Start, check: Check, say: Say) -> Row:
    """Medians of both cases and their ratio. Raises BenchFailed for what does not reconcile."""
    cases = {"base": pair.base, "other": pair.other}
    found: dict[str, list[Row]] = {name: [] for name in cases}
    for number in range(rounds.count):
        for name, case in cases.items():
            say(f"round {number + 1} of {rounds.count}: {case.name}")
            with start(place / name, case.settings) as record:
                running = stack.up(record.data_dir, worker_count=case.workers)
                settings = stack.settings_of(running)
                found[name].append(asyncio.run(_turn(running, settings, case, rounds, number, say)))
                if number + 1 == rounds.count:
                    say("an audit of all of it")
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
    record: Record, settings: Settings, case: Case, rounds: Rounds, number: int, say: Say
) -> Row:
    wanted = Wanted(accounts=case.accounts, fees=case.fees)
    async with Bench(record, settings, wanted) as bench:
        if not number:
            for count in _to_fill(case):
                say(f"filling: {count:,} transactions")
                await bench.phase(count, None, fill=case.filled)
        usual = await bench.warm_up(rounds.warm_up_seconds)
        loaded = await as_fast_as_they_go(bench, usual, rounds.seconds, say)
        paced = await bench.phase(int(FIXED_RATE * rounds.paced_seconds), FIXED_RATE)
        bench.require_well()
        return {"saturated": bench.found(loaded), "paced": bench.found(paced)}


def _to_fill(case: Case) -> Iterator[int]:
    return chunks((case.accounts if case.filled else case.entries) // 2, FILLED_AT_ONCE)


def _medians(case: Case, rows: Sequence[Row]) -> Row:
    return {"name": case.name} | {
        load: {
            "cpu": round(median(cpu_of_system(row[load]) for row in rows), 1),
            "throughput": round(median(row[load]["throughput"] for row in rows), 1),
            "mean_run": round(median(row[load]["work"]["mean_run"] for row in rows), 1),
        }
        for load in ("saturated", "paced")
    }

"""The bench: it loads a stack, observes the results, and compares them with the comparators."""

import asyncio
import platform
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import psutil
from aiokafka import TopicPartition

from ledger.bench import comparators
from ledger.bench.child import BenchProgram, Row
from ledger.bench.cpu import CpuClock, between
from ledger.bench.watch import HistoryWatch, Watch
from ledger.client.resource import AsyncResource
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.stack import stack
from ledger.stack.record import Record
from ledger.streaming.reader import Reader
from ledger.streaming.registry import codec_of
from ledger.streaming.topics import topics

LOAD_SEED = 1494
FIRST = 10_000
"""Transactions of the first load of the warm-up; each later one is twice as long."""
PACED_WARM_UP_SECONDS = 10
"""At each rate, or as long as the warm-up where that is shorter."""
MARGIN = 1.5
"""Factor on the transactions that the warm-up's rate suggests, so that a load lasts long enough."""
ENTRIES = 2
SYSTEM = ("broker", "registry", "postgres", "stream", "posting", "history", "supervisor")

Report = Callable[[str], None]
"""Takes a line about the progress."""


class Check(Protocol):
    """Returns the report of `faust-ledger reconcile --full --json`, or without `--full`."""

    def __call__(
        self, settings: Settings, *, full: bool = True
    ) -> Coroutine[Any, Any, Mapping[str, Any]]: ...


class BenchFailed(LedgerError):
    """The measurement is void: the ledger does not reconcile, or a process has exited."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to measure.

    `seconds`: least seconds at full speed. `rates`: transactions a second at which latency is
    measured, for `rate_seconds` each. `single`: transactions for the comparator that processes one
    at a time. `fees`: every transaction touches one and the same account.
    """

    seconds: float = 60.0
    warm_up_seconds: float = 20.0
    rates: tuple[int, ...] = (500, 2_000, 5_000)
    rate_seconds: float = 20.0
    accounts: int = 10_000
    workers: int = 1
    single: int = 5_000
    fees: bool = False


@dataclass(frozen=True, slots=True)
class Phase:
    """A period of load, all of it reconciled.

    Times in microseconds since 1970, `cpu` in seconds, `memory` in MiB at the end. `history_at`:
    when history had it all too, None where it is off.
    """

    count: int
    first_at: int
    last_at: int
    samples: list[list[int]]
    cpu: dict[str, float]
    memory: dict[str, int]
    history_at: int | None
    starts: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]

    @property
    def seconds(self) -> float:
        """From the first publication to the last balance."""
        return (self.last_at - self.first_at) / 1e6

    def appended(self, topic: str) -> int:
        """Records that were appended to a topic."""
        return sum(end - self.starts[tp] for tp, end in self.ends.items() if tp.topic == topic)


def measure(record: Record, wanted: Wanted, check: Check, report: Report) -> Row:
    """Measure a running stack; its workers are then stopped for the comparators.

    Raises BenchFailed if the ledger does not reconcile, LedgerError if it makes no progress.
    """
    record = stack.up(record.data_dir, worker_count=wanted.workers)
    settings = stack.settings_of(record)
    loaded, flow = asyncio.run(_flow(record, settings, wanted, report))
    report("a full audit")
    found = asyncio.run(check(settings))
    require_clean(found)
    stack.up(record.data_dir, worker_count=0)
    report("the floor: getmany, fastavro and the same posting, nothing else")
    floor = asyncio.run(comparators.floor(record, settings, loaded.starts, loaded.ends))
    report("the usual way: Faust, one record at a time")
    single = asyncio.run(comparators.single(record, settings, wanted.single))
    return flow | {
        "floor": floor,
        "single": single,
        "ratio": {
            "throughput": round(flow["throughput"] / floor["throughput"], 3),
            "cpu": round(cpu_of_system(flow) / sum(floor["cpu_us_per_transaction"].values()), 2),
            "single": round(flow["throughput"] / single["throughput"], 1),
        },
        "reconcile": found,
        "machine": machine(),
    }


def require_clean(found: Mapping[str, Any]) -> None:
    """Raises BenchFailed unless every account is reconciled."""
    if breaks := found["breaks"]:
        raise BenchFailed(f"{len(breaks)} breaks, the first: {breaks[0]}")
    if found["reconciled"] < found["accounts"]:
        raise BenchFailed(f"{found['reconciled']} of {found['accounts']} accounts are reconciled.")


def cpu_of_system(flow: Row) -> float:
    """Microseconds of CPU a transaction, without load generator and observer."""
    return float(sum(flow["cpu_us_per_transaction"].get(part, 0.0) for part in SYSTEM))


async def full_speed_phase(bench: "Bench", usual: float, seconds: float, report: Report) -> Phase:
    """A phase of at least `seconds`.

    `usual`: the expected transactions a second. A phase that is faster, and ends too soon, counts
    as warm-up.
    """
    while True:
        count = max(int(MARGIN * usual * seconds), FIRST)
        report(f"{count:,} transactions at full speed")
        phase = await bench.phase(count, None)
        if phase.seconds >= seconds:
            return phase
        usual = phase.count / phase.seconds


async def _flow(
    record: Record, settings: Settings, wanted: Wanted, report: Report
) -> tuple[Phase, Row]:
    async with Bench(record, settings, wanted) as bench:
        report(f"warming up for {wanted.warm_up_seconds:.0f} s")
        usual = await bench.warm_up(wanted.warm_up_seconds)
        loaded = await full_speed_phase(bench, usual, wanted.seconds, report)
        paced = []
        for rate in wanted.rates:
            report(f"{rate:,} a second for {wanted.rate_seconds:.0f} s")
            # Java is slow at small requests until it has compiled their code.
            warm_up = min(PACED_WARM_UP_SECONDS, wanted.warm_up_seconds)
            await bench.phase(int(rate * warm_up), rate)
            paced.append((rate, await bench.phase(int(rate * wanted.rate_seconds), rate)))
        bench.require_well()
        return loaded, {
            "transactions": loaded.count,
            "entries": ENTRIES * loaded.count,
            "accounts": wanted.accounts,
            "shards": settings.shards,
            "workers": len(record.workers),
            "seconds": round(loaded.seconds, 3),
            **bench.found(loaded),
            "rates": [{"rate": rate} | bench.found(phase) for rate, phase in paced],
        }  # fmt: skip


def machine() -> Row:
    """The machine of the measurement."""
    return {
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


class Bench(AsyncResource):
    """A load generator, an observer and a CPU clock on one stack; an async context manager."""

    def __init__(self, record: Record, settings: Settings, wanted: Wanted) -> None:
        self._record, self._settings, self._wanted = record, settings, wanted
        self._names = topics(settings)

    async def _enter(self, stack: AsyncExitStack) -> None:
        settings, wanted = self._settings, self._wanted
        codec = await asyncio.to_thread(codec_of, settings)
        enter = stack.enter_async_context
        self._reader = await enter(Reader(settings))
        self._watch = await enter(Watch(settings, codec, wanted.accounts))
        self._entries = self._watch.entries()
        self._before = dict(enumerate(self._watch.entries_of(wanted.accounts)))
        self._load = await enter(BenchProgram("ledger.bench.load", {
            "bootstrap_servers": settings.bootstrap_servers,
            "topic": self._names.transactions.name,
            "schema_id": codec.ids["Transaction"], "shards": settings.shards,
            "accounts": wanted.accounts, "fees": wanted.fees, "seed": LOAD_SEED,
            "label": f"bench-{time.time_ns()}",
        }))  # fmt: skip
        self._clock = CpuClock(self._record, {"load": self._load.pid})
        self._history = None
        if settings.history == "on":
            self._history = await enter(HistoryWatch(settings))

    async def phase(self, count: int, rate: float | None, *, fill: bool = False) -> Phase:
        """Publish `count`, `rate` a second or at full speed; returns when all are reconciled.

        With `fill` they go through the accounts in order, so that all of them exist.
        """
        starts = await self._ends()
        before = self._clock.read()
        report = await self._load.order({"count": count, "rate": rate, "fill": fill})
        self._entries += ENTRIES * count
        name = self._names.transactions.name
        ends = {tp.partition: end for tp, end in (await self._ends()).items() if tp.topic == name}
        await self._watch.until(ends, self._entries)
        history_at = await self._history.until(ends) if self._history else None
        cpu = between(before, self._clock.read())
        return Phase(
            count, report["first_at"], self._watch.last_at, report["samples"], cpu,
            self._clock.memory(), history_at, starts, await self._ends(),
        )  # fmt: skip

    async def _ends(self) -> dict[TopicPartition, int]:
        return await self._reader.ends(
            TopicPartition(topic.name, partition)
            for topic in self._names.all()
            for partition in range(topic.partitions)
        )

    def require_well(self) -> None:
        """Raises BenchFailed if a process of the stack has exited meanwhile."""
        if ended := self._clock.ended():
            raise BenchFailed(f"Exited during the measurement: {', '.join(ended)}. See its log.")

    async def warm_up(self, seconds: float) -> float:
        """Transactions a second of the last of several loads, after Java has warmed up."""
        until, count = time.monotonic() + seconds, FIRST
        while True:
            phase = await self.phase(count, None)
            if time.monotonic() > until:
                return phase.count / phase.seconds
            count *= 2

    def found(self, phase: Phase) -> Row:
        """Speed, cost, latency and work of a phase."""
        return {
            "throughput": round(phase.count / phase.seconds, 1),
            "cpu_us_per_transaction": {
                name: round(1e6 * spent / phase.count, 1) for name, spent in phase.cpu.items()
            },
            "memory_mib": phase.memory,
            **(
                {}
                if phase.history_at is None
                else {"history_behind_seconds": round((phase.history_at - phase.last_at) / 1e6, 3)}
            ),
            "latency_ms": self._watch.latencies(phase.samples, self._before),
            "work": self.work(phase),
        }

    def work(self, phase: Phase) -> Row:
        """Counts of runs, postings and comparisons, and records appended for each transaction."""
        names = self._names
        runs = phase.appended(names.decisions.name)
        derived = (names.stripes, names.stripes_changelog, names.balances)
        return {
            "runs": runs,
            "mean_run": round(phase.count / runs, 1),
            "postings": phase.appended(names.posted.name),
            "comparisons": phase.appended(names.progress.name),
            "per_transaction": {
                topic.name.partition(".")[2]: round(phase.appended(topic.name) / phase.count, 3)
                for topic in (names.decisions, names.posted, *derived)
            },
        }

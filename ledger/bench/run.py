"""The bench: a stack, a load, what comes out, the floor beside it."""

import asyncio
import platform
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import psutil
from aiokafka import TopicPartition

from ledger.bench import comparators
from ledger.bench.child import Child, Row
from ledger.bench.cpu import Clock, between
from ledger.bench.watch import Watch
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.stack import stack
from ledger.stack.record import Record
from ledger.streaming.reader import Reader
from ledger.streaming.registry import codec_of
from ledger.streaming.topics import topics

SEED = 1494
FIRST = 10_000
"""Transactions of the first load while warming up; each one after it is twice as long."""
PACED_WARM_UP_SECONDS = 10
SURELY = 1.5
"""Times what the last of those suggests, so that a load lasts as long as it is to last."""
ENTRIES = 2
SYSTEM = ("broker", "registry", "postgres", "stream", "posting", "supervisor")

Say = Callable[[str], None]


class Check(Protocol):
    """What `faust-ledger reconcile --full --json` prints; `breaks` is empty when all is well."""

    def __call__(
        self, settings: Settings, *, full: bool = True
    ) -> Coroutine[Any, Any, Mapping[str, Any]]: ...


class BenchFailed(LedgerError):
    """What was measured counts for nothing: the ledger is not as it should be afterwards."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be measured.

    `seconds`: how long, at the least, transactions are taken as fast as they go. `rates`:
    transactions a second at which latency is looked at, for `rate_seconds` each. `single`: how many
    transactions the comparator takes that handles one at a time. `fees`: every transaction touches
    one same account.
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
    """One stretch of load, all of it reconciled.

    Times in microseconds since 1970, `cpu` in seconds, `memory` in MiB at the end.
    """

    count: int
    first_at: int
    last_at: int
    samples: list[list[int]]
    cpu: dict[str, float]
    memory: dict[str, int]
    starts: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]

    @property
    def seconds(self) -> float:
        """From the first publish to the last balance out."""
        return (self.last_at - self.first_at) / 1e6

    def appended(self, topic: str) -> int:
        """Records that the phase added to a topic."""
        return sum(end - self.starts[tp] for tp, end in self.ends.items() if tp.topic == topic)


def measure(record: Record, wanted: Wanted, check: Check, say: Say) -> Row:
    """All of it, on a running stack whose workers are then stopped for the comparators.

    Raises BenchFailed when the ledger does not reconcile, LedgerError when it gets stuck.
    """
    record = stack.up(record.data_dir, worker_count=wanted.workers)
    settings = stack.settings_of(record)
    loaded, flow = asyncio.run(_flow(record, settings, wanted, say))
    say("an audit of all of it")
    found = asyncio.run(check(settings))
    require_clean(found)
    stack.up(record.data_dir, worker_count=0)
    say("the floor: getmany, fastavro and the same posting, nothing else")
    floor = asyncio.run(comparators.floor(record, settings, loaded.starts, loaded.ends))
    say("the usual way: Faust, one record at a time")
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
    """Microseconds a transaction, without what publishes and what watches."""
    return float(sum(flow["cpu_us_per_transaction"].get(part, 0.0) for part in SYSTEM))


async def as_fast_as_they_go(bench: "Bench", usual: float, seconds: float, say: Say) -> Phase:
    """A phase of at least `seconds`.

    `usual`: transactions a second. What went faster than that, and was over too soon, has only
    been warming up.
    """
    while True:
        count = max(int(SURELY * usual * seconds), FIRST)
        say(f"{count:,} transactions as fast as they go")
        phase = await bench.phase(count, None)
        if phase.seconds >= seconds:
            return phase
        usual = phase.count / phase.seconds


async def _flow(record: Record, settings: Settings, wanted: Wanted, say: Say) -> tuple[Phase, Row]:
    async with Bench(record, settings, wanted) as bench:
        say(f"warming up for {wanted.warm_up_seconds:.0f} s")
        usual = await bench.warm_up(wanted.warm_up_seconds)
        loaded = await as_fast_as_they_go(bench, usual, wanted.seconds, say)
        paced = []
        for rate in wanted.rates:
            say(f"{rate:,} a second for {wanted.rate_seconds:.0f} s")
            # Java is slow at small requests until it has had thousands of them.
            await bench.phase(int(rate * PACED_WARM_UP_SECONDS), rate)
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


def chunks(total: int, size: int) -> Iterator[int]:
    """Counts of at most `size` that add up to `total`."""
    while total:
        yield min(total, size)
        total -= min(total, size)


def machine() -> Row:
    """What it was measured on."""
    return {
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def per_transaction(phase: Phase) -> dict[str, float]:
    """Microseconds of CPU time by part."""
    return {name: round(1e6 * spent / phase.count, 1) for name, spent in phase.cpu.items()}


class Bench:
    """A load generator, a watch and a clock on one stack; an async context manager."""

    def __init__(self, record: Record, settings: Settings, wanted: Wanted) -> None:
        self._record, self._settings, self._wanted = record, settings, wanted
        self._names = topics(settings)

    async def __aenter__(self) -> Self:
        settings, wanted = self._settings, self._wanted
        codec = await asyncio.to_thread(codec_of, settings)
        async with AsyncExitStack() as opened:
            self._reader = await opened.enter_async_context(Reader(settings))
            watch = Watch(settings, codec, wanted.accounts)
            self._watch = await opened.enter_async_context(watch)
            self._entries = self._watch.entries()
            self._before = dict(enumerate(self._watch.entries_of(wanted.accounts)))
            self._load = await opened.enter_async_context(Child("ledger.bench.load", {
                "bootstrap_servers": settings.bootstrap_servers,
                "topic": self._names.transactions.name,
                "schema_id": codec.ids["Transaction"], "shards": settings.shards,
                "accounts": wanted.accounts, "fees": wanted.fees, "seed": SEED,
                "label": f"bench-{time.time_ns()}",
            }))  # fmt: skip
            self._clock = Clock(self._record, {"load": self._load.pid})
            self._open = opened.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def phase(self, count: int, rate: float | None, *, fill: bool = False) -> Phase:
        """Publish `count`, `rate` a second or as fast as they go; return when all are out.

        With `fill` one account after the other, so that all of them exist.
        """
        starts = await self._ends()
        before = self._clock.read()
        report = await self._load.order({"count": count, "rate": rate, "fill": fill})
        self._entries += ENTRIES * count
        name = self._names.transactions.name
        ends = {tp.partition: end for tp, end in (await self._ends()).items() if tp.topic == name}
        await self._watch.until(ends, self._entries)
        cpu = between(before, self._clock.read())
        return Phase(
            count, report["first_at"], self._watch.last_at, report["samples"], cpu,
            self._clock.memory(), starts, await self._ends(),
        )  # fmt: skip

    async def _ends(self) -> dict[TopicPartition, int]:
        return await self._reader.ends(
            TopicPartition(topic.name, partition)
            for topic in self._names.all()
            for partition in range(topic.partitions)
        )

    def require_well(self) -> None:
        """Raises BenchFailed when a process of the stack has ended meanwhile."""
        if ended := self._clock.ended():
            raise BenchFailed(f"Ended while it was measured: {', '.join(ended)}. Its log says why.")

    async def warm_up(self, seconds: float) -> float:
        """Transactions a second, of the last of several loads; Java is slow before it."""
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
            "cpu_us_per_transaction": per_transaction(phase),
            "memory_mib": phase.memory,
            "latency_ms": self._watch.latencies(phase.samples, self._before),
            "work": self.work(phase),
        }

    def work(self, phase: Phase) -> Row:
        """How often something was done, and records appended for each transaction."""
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

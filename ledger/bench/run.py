"""The bench: a stack, a load, what comes out, the floor beside it."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka import TopicPartition

from ledger.bench import below
from ledger.bench.child import Child, Row
from ledger.bench.cpu import Clock, between
from ledger.bench.watch import Watch
from ledger.client.reading import Reader
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.stack import stack
from ledger.stack.record import Record
from ledger.streaming.registry import codec_of
from ledger.streaming.topics import topics

SEED = 1494
WARM_UP = 2_000
PACED_SHARE = 3
PACED_SECONDS = 10.0
ENTRIES = 2
SYSTEM = ("broker", "registry", "postgres", "stream", "posting", "supervisor")

Say = Callable[[str], None]
Check = Callable[[Settings], Coroutine[Any, Any, Mapping[str, Any]]]
"""What `faust-ledger reconcile --json` prints; `breaks` is empty when all is well."""


class BenchFailed(LedgerError):
    """What was measured counts for nothing: the ledger is not as it should be afterwards."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be measured; `paced_seconds` is how long the latency is looked at."""

    transactions: int
    accounts: int
    workers: int = 1
    paced_seconds: float = PACED_SECONDS


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of load, all of it reconciled; microseconds since 1970, seconds of CPU time."""

    count: int
    first_at: int
    last_at: int
    samples: list[list[int]]
    cpu: dict[str, float]
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
    """All of it, on a running stack whose workers are then stopped for the floor.

    Raises BenchFailed when the ledger does not reconcile, LedgerError when it gets stuck.
    """
    record = stack.up(record.data_dir, worker_count=wanted.workers)
    settings = stack.settings_of(record)
    flow = asyncio.run(_flow(record, settings, wanted, say))
    say("reconciling")
    found = asyncio.run(check(settings))
    require_clean(found)
    say("the floor: getmany, fastavro and the same posting, nothing else")
    stack.up(record.data_dir, worker_count=0)
    loaded = flow.pop("loaded")
    floor = asyncio.run(below.floor(record, settings, loaded.starts, loaded.ends))
    ratio = {
        "throughput": round(flow["throughput"] / floor["throughput"], 3),
        "cpu": round(cpu_of_system(flow) / sum(floor["cpu_us_per_transaction"].values()), 2),
    }
    return flow | {"floor": floor, "ratio": ratio, "reconcile": found}


def require_clean(found: Mapping[str, Any]) -> None:
    """Raises BenchFailed unless every account is reconciled."""
    if breaks := found["breaks"]:
        raise BenchFailed(f"{len(breaks)} breaks, the first: {breaks[0]}")
    if found["reconciled"] < found["accounts"]:
        raise BenchFailed(f"{found['reconciled']} of {found['accounts']} accounts are reconciled.")


def cpu_of_system(flow: Row) -> float:
    """Microseconds a transaction, without what publishes and what watches."""
    return float(sum(flow["cpu_us_per_transaction"].get(part, 0.0) for part in SYSTEM))


async def _flow(record: Record, settings: Settings, wanted: Wanted, say: Say) -> Row:
    async with AsyncExitStack() as opened:
        bench = await opened.enter_async_context(Bench(record, settings, wanted))
        say("warming up")
        await bench.phase(min(WARM_UP, wanted.transactions // 5), None)
        say(f"{wanted.transactions:,} transactions as fast as they go")
        loaded = await bench.phase(wanted.transactions, None)
        throughput = loaded.count / loaded.seconds
        rate = throughput / PACED_SHARE
        say(f"{rate:,.0f} a second for {wanted.paced_seconds:.0f} s")
        paced = await bench.phase(max(int(rate * wanted.paced_seconds), 100), rate)
        bench.require_well()
        return {
            "transactions": loaded.count,
            "entries": ENTRIES * loaded.count,
            "accounts": wanted.accounts,
            "workers": len(record.workers),
            "seconds": round(loaded.seconds, 3),
            "throughput": round(throughput, 1),
            "cpu_us_per_transaction": per_transaction(loaded),
            "work": bench.work(loaded),
            "latency_ms": {
                "paced": bench.latencies(paced), "saturated": bench.latencies(loaded),
            },
            "paced": {
                "rate": round(rate, 1),
                "transactions": paced.count,
                "cpu_us_per_transaction": per_transaction(paced),
                "work": bench.work(paced),
            },
            "loaded": loaded,
        }  # fmt: skip


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
            self._reader = await opened.enter_async_context(Reader(settings.bootstrap_servers))
            watch = Watch(settings, codec, wanted.accounts)
            self._watch = await opened.enter_async_context(watch)
            self._entries = self._watch.entries()
            self._before = dict(enumerate(self._watch.entries_of(wanted.accounts)))
            self._load = await opened.enter_async_context(Child("ledger.bench.load", {
                "bootstrap_servers": settings.bootstrap_servers,
                "topic": self._names.transactions.name,
                "schema_id": codec.ids["Transaction"], "shards": settings.shards,
                "accounts": wanted.accounts, "seed": SEED, "label": f"bench-{time.time_ns()}",
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

    async def phase(self, count: int, rate: float | None) -> Phase:
        """Publish `count`, `rate` a second or as fast as they go; return when all are out."""
        starts = await self._ends()
        before = self._clock.read()
        report = await self._load.order({"count": count, "rate": rate})
        self._entries += ENTRIES * count
        name = self._names.transactions.name
        ends = {tp.partition: end for tp, end in (await self._ends()).items() if tp.topic == name}
        await self._watch.until(ends, self._entries)
        cpu = between(before, self._clock.read())
        return Phase(
            count, report["first_at"], self._watch.last_at, report["samples"], cpu, starts,
            await self._ends(),
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

    def latencies(self, phase: Phase) -> dict[str, object]:
        """Of the phase's sampled transactions."""
        return self._watch.latencies(phase.samples, self._before)

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

"""Seeing from outside what comes out: reconciled balances and progress, and when."""

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

from aiokafka import ConsumerRecord, TopicPartition
from hdrh.histogram import HdrHistogram

from ledger.bench.child import Row
from ledger.bench.load import account_of, sampled
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming.reader import Reader
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics

FETCH_WAIT_MS = 10
"""A partition just read waits for the fetch under way: this much is the watcher's own latency."""
QUIET_SECONDS = 0.2
STUCK_SECONDS = 60.0
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
LONGEST = 3_600_000_000
"""An hour, in microseconds."""
SIGNIFICANT = 3
"""Digits that a histogram keeps."""

Sampled = Sequence[Sequence[int]]
"""Account number, entries of the balance that counts it, shard, offset, due."""


class Watch:
    """Reads the public balances and the progress from their beginning; times in microseconds."""

    def __init__(self, settings: Settings, codec: Codec, accounts: int) -> None:
        self._settings, self._codec, self._names = settings, codec, topics(settings)
        self._keys = {f"{account_of(number)} CAD".encode(): number for number in sampled(accounts)}
        self._latest: dict[bytes, bytes] = {}
        self._dirty: set[bytes] = set()
        self._entries: dict[bytes, int] = {}
        self._balances: dict[int, list[tuple[int, bytes]]] = {}
        self._progress: dict[int, list[tuple[int, int]]] = {}
        self._moved = asyncio.Event()
        self.last_at = 0

    async def __aenter__(self) -> Self:
        """Returns when all that is there was read."""
        names, settings = self._names, self._settings
        async with AsyncExitStack() as stack:
            reader = Reader(settings, fetch_wait_ms=FETCH_WAIT_MS)
            self._reader = await stack.enter_async_context(reader)
            wanted = [
                TopicPartition(topic.name, partition)
                for topic in (names.balances, names.progress)
                for partition in range(topic.partitions)
            ]
            bounds = await reader.bounds(wanted)
            reader.assign({tp: first for tp, (first, _) in bounds.items()})
            async for records in reader.until({tp: end for tp, (_, end) in bounds.items()}):
                self._take(records)
            self._task = asyncio.create_task(self._follow())
            stack.push_async_callback(self._stop)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def _stop(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _follow(self) -> None:
        while True:
            if records := await self._reader.fetch():
                self._take(records)
                self._moved.set()

    def _take(self, records: list[ConsumerRecord]) -> None:
        at = time.time_ns() // 1_000
        progress = self._names.progress.name
        for record in records:
            key, value = bytes(record.key or b""), bytes(record.value or b"")
            if record.topic == progress:
                row = self._codec.decode("Progress", value)
                self._progress.setdefault(row["shard"], []).append((at, row["end"]))
                continue
            self._latest[key] = value
            self._dirty.add(key)
            self.last_at = at
            if (account := self._keys.get(key)) is not None:
                self._balances.setdefault(account, []).append((at, value))

    def entries(self) -> int:
        """Reconciled entries of all balances as they are now; each counts its account's."""
        for key in self._dirty:
            self._entries[key] = self._codec.decode("Balance", self._latest[key])["entries"]
        self._dirty.clear()
        return sum(self._entries.values())

    def entries_of(self, accounts: int) -> list[int]:
        """By number of account, as of the last `entries`."""
        return [
            self._entries.get(f"{account_of(each)} CAD".encode(), 0) for each in range(accounts)
        ]

    def compared(self, shard: int) -> int:
        """Where the shard's progress ends."""
        known = self._progress.get(shard)
        return known[-1][1] if known else 0

    async def until(self, ends: Mapping[int, int], entries: int) -> None:
        """Return when progress is at `ends`, by shard, and the balances count `entries`.

        Raises LedgerError when nothing comes out any more, or more than there should be.
        """
        while any(self.compared(shard) < end for shard, end in ends.items()):
            await self._movement(STUCK_SECONDS, "transactions wait to be reconciled")
        while (count := self.entries()) < entries:
            await self._movement(STUCK_SECONDS, f"{entries - count} entries are in no balance")
        if count > entries:
            raise LedgerError(f"The balances count {count - entries} entries too many.")

    async def _movement(self, seconds: float, missing: str) -> None:
        self._moved.clear()
        waiting = asyncio.ensure_future(self._moved.wait())
        done, _ = await asyncio.wait(
            (waiting, self._task), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        if self._task in done:
            self._task.result()
        if not done:
            raise LedgerError(
                f"Nothing came out for {seconds:.0f} s, and {missing}. The worker's log may say "
                "why: `faust-ledger status` names it."
            )

    def latencies(self, samples: Sampled, before: Mapping[int, int]) -> Row:
        """Milliseconds from due to covered by progress, and to counted in a balance that is out.

        `before`: entries of the sampled accounts when the load generator began to count.
        """
        balances = self._arrivals()
        to_progress, to_balance = [], []
        for account, entries, shard, offset, due in samples:
            ends = self._progress[shard]
            to_progress.append(ends[bisect_right(ends, offset, key=lambda e: e[1])][0] - due)
            out = balances[account]
            wanted = before[account] + entries
            to_balance.append(out[bisect_left(out, wanted, key=lambda e: e[1])][0] - due)
        return {
            "samples": len(samples),
            "progress": histogram(to_progress),
            "balance": histogram(to_balance),
        }

    def _arrivals(self) -> dict[int, list[tuple[int, int]]]:
        decode = self._codec.decode
        return {
            account: [(at, decode("Balance", value)["entries"]) for at, value in out]
            for account, out in self._balances.items()
        }


def histogram(microseconds: Iterable[int]) -> Row:
    """Percentiles in milliseconds, and the histogram itself in HdrHistogram's own encoding."""
    held = HdrHistogram(1, LONGEST, SIGNIFICANT)
    for each in microseconds:
        held.record_value(max(each, 1))
    if not held.total_count:
        return {}
    found = {name: held.get_value_at_percentile(at) for name, at in PERCENTILES.items()}
    return {name: round(value / 1_000, 1) for name, value in found.items()} | {
        "hdr": held.encode().decode()
    }

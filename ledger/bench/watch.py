"""Observes when progress and reconciled balances are published."""

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack

from aiokafka import ConsumerRecord, TopicPartition
from hdrh.histogram import HdrHistogram

from ledger.bench.child import Row
from ledger.bench.load import account_of, sampled
from ledger.client.resource import AsyncResource, cancel
from ledger.clock import now
from ledger.domain.run import Watermark
from ledger.errors import LedgerError
from ledger.gl.databases import open_history_writer
from ledger.settings import Settings
from ledger.streaming.reader import Reader
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics

OBSERVER_WAIT_MS = 10
"""A partition just read waits for the present fetch: the observer's own latency is up to this."""
STUCK_SECONDS = 60.0
HISTORY_SECONDS = 0.05
"""Between two looks at where history stands."""
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
LONGEST = 3_600_000_000
"""An hour, in microseconds."""
SIGNIFICANT = 3
"""Digits that a histogram keeps."""

Sampled = Sequence[Sequence[int]]
"""Account number, entries of the balance that counts it, shard, offset, time due."""


class HistoryWatch(AsyncResource):
    """Looks at where history stands in the database."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.history_database_url or settings.service_database_url

    async def _enter(self, stack: AsyncExitStack) -> None:
        self._writer = open_history_writer(self._address)
        stack.callback(self._writer.close)

    async def until(self, ends: Mapping[int, int]) -> int:
        """When it had all before `ends`, by shard; microseconds, to HISTORY_SECONDS.

        Raises LedgerError when it stands still.
        """
        found: Mapping[int, Watermark] = {}
        moved = time.monotonic()
        while True:
            before, found = found, await asyncio.to_thread(self._writer.positions)
            if all(found.get(shard, Watermark()).end >= end for shard, end in ends.items()):
                return now()
            if found != before:
                moved = time.monotonic()
            if time.monotonic() - moved > STUCK_SECONDS:
                raise LedgerError(f"History stands still: {found}; published up to {ends}.")
            await asyncio.sleep(HISTORY_SECONDS)


class Watch(AsyncResource):
    """Reads the public balances and the progress from their beginning; times in microseconds.

    It is entered once everything in the topics is read.
    """

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

    async def _enter(self, stack: AsyncExitStack) -> None:
        names = self._names
        reader = Reader(self._settings, fetch_wait_ms=OBSERVER_WAIT_MS)
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
        stack.push_async_callback(cancel, self._task)

    async def _follow(self) -> None:
        while True:
            if records := await self._reader.fetch():
                self._take(records)
                self._moved.set()

    def _take(self, records: list[ConsumerRecord]) -> None:
        at = now()
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
        """The sum of the reconciled entries of all balances now."""
        for key in self._dirty:
            self._entries[key] = self._codec.decode("Balance", self._latest[key])["entries"]
        self._dirty.clear()
        return sum(self._entries.values())

    def entries_of(self, accounts: int) -> list[int]:
        """Entries by number of account, as of the last call of `entries`."""
        return [
            self._entries.get(f"{account_of(each)} CAD".encode(), 0) for each in range(accounts)
        ]

    def compared(self, shard: int) -> int:
        """The position up to which the shard is compared."""
        known = self._progress.get(shard)
        return known[-1][1] if known else 0

    async def until(self, ends: Mapping[int, int], entries: int) -> None:
        """Return when progress has reached `ends`, by shard, and the balances count `entries`.

        Raises LedgerError if there is no progress, or if balances count too many entries.
        """
        while any(self.compared(shard) < end for shard, end in ends.items()):
            await self._progress_made("transactions wait to be reconciled")
        while (count := self.entries()) < entries:
            await self._progress_made(f"{entries - count} entries are in no balance")
        if count > entries:
            raise LedgerError(f"The balances count {count - entries} entries too many.")

    async def _progress_made(self, missing: str) -> None:
        self._moved.clear()
        waiting = asyncio.ensure_future(self._moved.wait())
        done, _ = await asyncio.wait(
            (waiting, self._task), timeout=STUCK_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        waiting.cancel()
        if self._task in done:
            self._task.result()
        if not done:
            raise LedgerError(
                f"No progress for {STUCK_SECONDS:.0f} s, and {missing}. The worker's log may show "
                "why: `faust-ledger status` names it."
            )

    def latencies(self, samples: Sampled, before: Mapping[int, int]) -> Row:
        """Milliseconds from when a transaction was due to its progress, and to its balance.

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
    """Percentiles in milliseconds, and the histogram in the encoding of HdrHistogram."""
    held = HdrHistogram(1, LONGEST, SIGNIFICANT)
    for each in microseconds:
        held.record_value(max(each, 1))
    if not held.total_count:
        return {}
    found = {name: held.get_value_at_percentile(at) for name, at in PERCENTILES.items()}
    return {name: round(value / 1_000, 1) for name, value in found.items()} | {
        "hdr": held.encode().decode()
    }

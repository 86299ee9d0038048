"""Observe a ledger through its topics: its progress, and when balances are published."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack, aclosing

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.balances import BalanceKey, BalanceReader
from ledger.client.outcomes import last_progress
from ledger.client.partitions import ledger_partitions
from ledger.client.records import Records
from ledger.client.resource import AsyncResource
from ledger.domain.balance import Balance
from ledger.settings import Settings
from ledger.streaming.follower import Follower
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics


class ProgressCounter(AsyncResource):
    """Counts the transactions that are decided and compared since it was entered."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._names = settings, topics(settings)
        self._decided: list[int] = []
        self._compared: list[int] = []
        self._before = 0

    async def _enter(self, stack: AsyncExitStack) -> None:
        progress, decisions = self._names.progress.name, self._names.decisions.name
        shards = (await ledger_partitions(self._settings, progress))[progress]
        self._records = await Records.of(self._settings, "Progress", "Decision")
        reader = await stack.enter_async_context(Reader(self._settings))
        marks = await last_progress(reader, self._records, progress, shards)
        self._decided = [each.watermark.end for each in marks]
        self._compared = list(self._decided)
        self._before = sum(self._compared)
        starts = {TopicPartition(progress, i): m.progress_from for i, m in enumerate(marks)}
        for shard, mark in enumerate(marks):
            starts[TopicPartition(decisions, shard)] = mark.watermark.decisions_offset
        follower = Follower(reader, self._take)
        stack.push_async_callback(follower.close)
        follower.start(starts)

    @property
    def decided(self) -> int:
        """Transactions accepted, refused or recognised as a repetition."""
        return sum(self._decided) - self._before

    @property
    def compared(self) -> int:
        """Decided transactions up to which stream and general ledger are compared."""
        return sum(self._compared) - self._before

    async def _take(self, records: list[ConsumerRecord]) -> None:
        by_name: dict[str, list[ConsumerRecord]] = {"Progress": [], "Decision": []}
        for record in records:
            is_progress = record.topic == self._names.progress.name
            by_name["Progress" if is_progress else "Decision"].append(record)
        for name, ends in (("Progress", self._compared), ("Decision", self._decided)):
            for _, row in await self._records.decode(name, by_name[name]):
                ends[row["shard"]] = max(ends[row["shard"]], row["end"])


class Arrivals:
    """Measures when the public topic has the reconciled balances that count a transaction.

    It works for balances that are moved by one ordering key: the first balance of n entries counts
    the n-th entry. `seconds`: for each entry, the time from publishing to that balance.
    """

    def __init__(self, reader: BalanceReader, known: Mapping[BalanceKey, Balance]) -> None:
        self._reader = reader
        self._entries = {key: balance.entries for key, balance in known.items()}
        self._due: dict[BalanceKey, deque[tuple[int, float]]] = {}
        self._moved = asyncio.Event()
        self.waiting = 0
        self.last = 0.0
        self.seconds: list[float] = []

    def expect(self, keys: Iterable[BalanceKey], published: float) -> None:
        """Expect one more entry in each balance, published at that monotonic time."""
        for key in keys:
            self._entries[key] = self._entries.get(key, 0) + 1
            self._due.setdefault(key, deque()).append((self._entries[key], published))
            self.waiting += 1

    async def follow(self) -> None:
        """Take arrivals until it is cancelled."""
        async with aclosing(self._reader.follow()) as changes:
            async for balance in changes:
                due = self._due.get((balance.account, balance.currency), ())
                now = time.monotonic()
                while due and due[0][0] <= balance.entries:
                    self.seconds.append(now - due.popleft()[1])
                    self.waiting -= 1
                    self.last = now
                self._moved.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for everything expected, for at most `seconds`; returns whether it has arrived."""
        until = time.monotonic() + seconds
        while self.waiting and (left := until - time.monotonic()) > 0:
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), min(left, 0.5))
            except TimeoutError:
                continue
        return not self.waiting

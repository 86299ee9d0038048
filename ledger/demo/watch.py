"""Looking at the ledger from outside, as any app can: how far it is, and when balances come out."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from types import TracebackType
from typing import Self

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.balances import BalanceReader
from ledger.client.outcomes import standing
from ledger.client.reading import ledger_partitions
from ledger.client.records import Records
from ledger.domain.balance import Balance
from ledger.settings import Settings
from ledger.streaming.follower import Follower
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics

Key = tuple[str, str]
"""Account and currency."""


class Positions:
    """How many transactions were decided and compared since this was entered."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._names = settings, topics(settings)
        self._decided: list[int] = []
        self._compared: list[int] = []
        self._before = 0

    async def __aenter__(self) -> Self:
        """Raises LedgerError, with what to do, when Kafka or the registry is not as it must be."""
        progress, decisions = self._names.progress.name, self._names.decisions.name
        shards = (await ledger_partitions(self._settings, progress))[progress]
        self._records = await Records.of(self._settings, "Progress", "Decision")
        async with AsyncExitStack() as stack:
            reader = await stack.enter_async_context(Reader(self._settings))
            marks = await standing(reader, self._records, progress, shards)
            self._decided = [each.watermark.end for each in marks]
            self._compared = list(self._decided)
            self._before = sum(self._compared)
            starts = {TopicPartition(progress, i): m.progress_from for i, m in enumerate(marks)}
            for shard, mark in enumerate(marks):
                starts[TopicPartition(decisions, shard)] = mark.watermark.decisions_offset
            follower = Follower(reader, self._take)
            stack.push_async_callback(follower.close)
            follower.start(starts)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    @property
    def decided(self) -> int:
        """Accepted, refused or recognised as a repetition."""
        return sum(self._decided) - self._before

    @property
    def compared(self) -> int:
        """Of those, the ones that the general ledger has agreed on, or that left it as it was."""
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
    """When the reconciled balances that count a transaction came out on the public topic.

    Works for balances that one ordering key moves: the n-th entry is counted in the first one of
    n entries. `seconds`: for each entry, from published to there.
    """

    def __init__(self, reader: BalanceReader, known: Mapping[Key, Balance]) -> None:
        self._reader = reader
        self._entries = {key: balance.entries for key, balance in known.items()}
        self._due: dict[Key, deque[tuple[int, float]]] = {}
        self._moved = asyncio.Event()
        self.waiting = 0
        self.last = 0.0
        self.seconds: list[float] = []

    def expect(self, keys: Iterable[Key], published: float) -> None:
        """One more entry in each, published at that time of the monotonic clock."""
        for key in keys:
            self._entries[key] = self._entries.get(key, 0) + 1
            self._due.setdefault(key, deque()).append((self._entries[key], published))
            self.waiting += 1

    async def follow(self) -> None:
        """For ever."""
        async with aclosing(self._reader.follow()) as changes:
            async for balance in changes:
                due = self._due.get((balance.account, balance.currency), ())
                now = time.monotonic()
                while due and due[0][0] <= balance.entries:
                    self.seconds.append(now - due.popleft()[1])
                    self.waiting -= 1
                    self.last = now
                self._moved.set()

    async def all_out(self, seconds: float) -> bool:
        """Whether everything expected came out within `seconds`."""
        until = time.monotonic() + seconds
        while self.waiting and (left := until - time.monotonic()) > 0:
            self._moved.clear()
            try:
                await asyncio.wait_for(self._moved.wait(), min(left, 0.5))
            except TimeoutError:
                continue
        return not self.waiting

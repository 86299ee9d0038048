"""Appending to one partition of the balances topic, and noticing what others append there.

A worker that was replaced and does not know it yet may publish too. Readers ignore a lower version,
but compaction keeps what came last, so the owner publishes its own balance again after it. And what
such a worker has published with a higher version, because it knew of progress first, hides the
owner's balance until the owner's is higher.
"""

from collections.abc import Callable, Sequence
from functools import partial

from aiokafka import ConsumerRecord

from agents.runtime.runtime import Runtime
from ledger.health.waiting import waited_for
from ledger.streaming import messages
from ledger.streaming.messages import Message


class PublicBalances:
    """One partition; `end`: every record before this offset is ours, or was looked at."""

    def __init__(self, runtime: Runtime, partition: int) -> None:
        self._runtime, self._partition = runtime, partition
        self._topic, self._coverage = runtime.topics.balances.name, runtime.topics.coverage.name
        self._foreign: list[tuple[int, int]] = []
        self.end = 0

    async def open(self) -> None:
        """What is appended from here on is ours or foreign; what was, from the last coverage on."""
        log, codec = self._runtime.log, self._runtime.codec
        first, end = await log.bounds(self._topic, self._partition)
        for record in await log.last_of(self._coverage, [self._partition]):
            first = max(messages.covered_until(codec, record), first)
        self._foreign, self.end = [(first, end)] if first < end else [], end

    async def append(self, records: Sequence[Message]) -> None:
        """Append records; waits for Kafka as long as it takes."""
        first = await self._runtime.log.append_absolute(self._topic, self._partition, records)
        if first > self.end:
            self._foreign.append((self.end, first))
        self.end = max(first + len(records), self.end)

    async def cover(self, positions: list[int]) -> None:
        """Publish that the balances contain each shard up to its position."""
        record = messages.coverage(self._runtime.codec, self._partition, self.end, positions)
        await self._runtime.log.append_absolute(self._coverage, self._partition, [record])

    def note_end(self, end: int) -> None:
        """The topic ends there: what is beyond our own records is foreign."""
        if end > self.end:
            self._foreign.append((self.end, end))
            self.end = end

    @property
    def has_foreign(self) -> bool:
        """Whether there is something for `look` to pass on."""
        return bool(self._foreign)

    async def look(self, take: Callable[[ConsumerRecord], None]) -> None:
        """Pass on what others have appended between our records since this was called last."""
        while self._foreign:
            await waited_for(partial(self._read, take), f"read {self._topic}")
            self._foreign.pop(0)

    async def _read(self, take: Callable[[ConsumerRecord], None]) -> None:
        start, end = self._foreign[0]
        async for records in self._runtime.log.read(self._topic, self._partition, start, end):
            for record in records:
                take(record)
            self._foreign[0] = records[-1].offset + 1, end

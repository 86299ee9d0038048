"""Appending to one partition of the balances topic, and noticing what others append there.

A worker that was replaced and does not know it yet may publish too. Readers ignore a lower version,
but compaction keeps what came last, so the owner publishes its own balance again after it. And what
such a worker has published with a higher version, because it knew of progress first, hides the
owner's balance until the owner's is higher.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from aiokafka import ConsumerRecord

from agents.runtime.runtime import Runtime
from ledger.domain.run import Stripe
from ledger.domain.sums import Sums
from ledger.health.waiting import waited_for
from ledger.streaming import messages
from ledger.streaming.messages import Extent, Message


class PublicBalances:
    """One partition; `end`: every record before this offset is ours, or was looked at.

    `is_lost`: the topic was made again or cut, so that balances are missing in it.
    """

    def __init__(self, runtime: Runtime, partition: int) -> None:
        self._runtime, self._partition = runtime, partition
        self._topic, self._coverage = runtime.topics.balances.name, runtime.topics.coverage.name
        self._foreign: list[tuple[int, int]] = []
        self._hidden: dict[Stripe, int] = {}
        self._id, self._start, self.end = "", 0, 0
        self.is_lost = False

    async def open(self) -> None:
        """What is appended from here on is ours or foreign; what was, from the last coverage on."""
        log, codec = self._runtime.log, self._runtime.codec
        topic = await log.topic_id(self._topic)
        start, end = await log.bounds(self._topic, self._partition)
        first, self.is_lost = start, False
        for record in await log.last_of(self._coverage, [self._partition]):
            known = messages.extent_in(codec, record)
            if known is None:
                continue
            was_other = known.topic not in ("", topic)
            if was_other or known.offset > end or known.start < start:
                self.is_lost = True
            else:
                first = max(known.offset, first)
        self._hidden.clear()
        self._id, self._start = topic, start
        self._foreign, self.end = [(first, end)] if first < end else [], end

    async def append(self, records: Sequence[Message]) -> None:
        """Append records; waits for Kafka as long as it takes."""
        first = await self._runtime.log.append_absolute(self._topic, self._partition, records)
        if first < self.end:
            self.is_lost = True
            return
        if first > self.end:
            self._foreign.append((self.end, first))
        self.end = first + len(records)

    async def cover(self, positions: list[int]) -> None:
        """Publish that the balances contain each shard up to its position."""
        extent = Extent(self._id, self._start, self.end)
        record = messages.coverage(self._runtime.codec, self._partition, extent, positions)
        await self._runtime.log.append_absolute(self._coverage, self._partition, [record])

    def note_id(self, topic: str) -> None:
        """The topic has this id now."""
        self.is_lost = self.is_lost or topic != self._id

    def note_end(self, end: int) -> None:
        """The topic ends there: what is beyond our own records is foreign."""
        if end > self.end:
            self._foreign.append((self.end, end))
            self.end = end

    async def outrank(
        self,
        sums: Sums,
        publish: Callable[[set[Stripe]], Awaitable[None]],
        forget: Callable[[], None],
    ) -> bool:
        """Publish ours again where another's older balance came last.

        False while a balance of somebody else has a higher version than ours. `forget` is called
        now and then, for `sums` keeps what was looked up.
        """
        # Others may append while this publishes.
        while self._foreign:
            again = set[Stripe]()
            await waited_for(partial(self._look, sums, again, forget), f"read {self._topic}")
            self._foreign.pop(0)
            await publish(again)
        for stripe, version in list(self._hidden.items()):
            if sums.knows(stripe) and sums.balance(stripe).version >= version:
                del self._hidden[stripe]
        return not self._hidden

    async def _look(self, sums: Sums, again: set[Stripe], forget: Callable[[], None]) -> None:
        start, end = self._foreign[0]
        async for records in self._runtime.log.read(self._topic, self._partition, start, end):
            for record in records:
                self._look_at(sums, record, again)
            self._foreign[0] = records[-1].offset + 1, end
            forget()

    def _look_at(self, sums: Sums, record: ConsumerRecord, again: set[Stripe]) -> None:
        stripe, theirs = messages.balance_in(self._runtime.codec, record)
        if stripe is None:
            return
        ours = sums.balance(stripe) if sums.knows(stripe) else None
        if theirs is None:
            self._hidden.pop(stripe, None)
        elif ours is None or theirs.version > ours.version:
            self._hidden[stripe] = max(theirs.version, self._hidden.get(stripe, 0))
            return
        if theirs == ours:
            again.discard(stripe)
        elif ours is not None:
            again.add(stripe)

"""One shard's decisions: catching up with its log, deciding, and one append a run.

`_append_run` has the effects in their order.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

from aiokafka import ConsumerRecord
from faust.types import TP

from agents.clock_limit import ClockLimit
from agents.leaves import Leaves
from agents.runtime.lanes import Gap
from agents.runtime.runs import Run
from agents.runtime.runtime import Runtime
from ledger.domain.decide import Decided, Received, decide
from ledger.domain.memory import Memory
from ledger.domain.portions import portions
from ledger.domain.refusal import Refused
from ledger.domain.run import voids_of
from ledger.domain.valid_run import ValidRun
from ledger.errors import InvariantBroken, Unavailable
from ledger.health.partitions import current_partition, waiting_for
from ledger.health.waiting import waited_for
from ledger.streaming.accepted import AcceptedIds
from ledger.streaming.coalescer import Coalescer
from ledger.streaming.decisions import (
    decision_in,
    require_decided,
    require_known,
    valid_runs,
)
from ledger.streaming.reference_follower import ReferenceFollower
from ledger.streaming.transactions import TransactionReader

DECODED = 64
"""Records at a time; their ids are looked up together."""

log = logging.getLogger(__name__)


class Receiver(Protocol):
    """Where decided runs go in this process; they are in the decision log already."""

    async def has_room(self, shard: int) -> None:
        """Return when more of the shard may be offered."""

    def offer(self, shard: int, run: ValidRun) -> None:
        """Take a run of the shard."""


class IntakeShard:
    """One shard's decisions, made one run after another."""

    def __init__(
        self,
        runtime: Runtime,
        shard: int,
        reader: TransactionReader,
        reference: ReferenceFollower,
        receiver: Receiver,
        others_until: Callable[[], int],
    ) -> None:
        self._runtime, self._shard, self._reader = runtime, shard, reader
        self._reference, self._receiver = reference, receiver
        self._clock = ClockLimit(runtime, shard, reference, others_until)
        self._ids = AcceptedIds(runtime.data / "intake" / str(shard))
        self._log_end = 0
        self._lock = asyncio.Lock()
        self._noting = Coalescer(
            self._note, name=f"reference data {shard}",
            fault=lambda error: runtime.fail(error, f"noting reference data in {shard}"),
        )  # fmt: skip
        self._was_opened = False
        self._leaves = Leaves(runtime, shard, self._ids)

    @property
    def recorded_until(self) -> int:
        """Up to which time of the log it is decided, microseconds."""
        return self._ids.watermark.recorded_until

    async def require_reference(self) -> None:
        """Raises InvariantBroken when there are less reference data than the last run names.

        Before anything waits for them: a topic that was recreated has no policy to wait for.
        """
        await waited_for(self._look_at_last_run, f"look for shard {self._shard}'s reference data")

    async def _look_at_last_run(self) -> None:
        topic = self._runtime.topics.decisions.name
        for record in await self._runtime.log.last_of(topic, [self._shard]):
            decision = decision_in(self._runtime.codec, record)
            if decision is not None and decision.reference_digest:
                await self._reference.require_offset(decision.reference_offset, self._shard)

    async def open(self) -> int:
        """Catch up with the decision log; returns the position to read transactions from."""
        async with self._lock:
            await waited_for(self._require_known, f"look for shard {self._shard}'s decisions")
            await waited_for(self._catch_up, f"open shard {self._shard}")
            await waited_for(self._require_decided, f"look for shard {self._shard}'s transactions")
            self._was_opened = True
            await self._note_reference()
            return self._ids.watermark.end

    async def take(self, run: Run) -> int:
        """Decide what was fetched, as one or more runs of bounded size."""
        async with self._lock:
            records = run.from_position(self._ids.watermark.end)
            if records is None:
                raise Gap(self._ids.watermark.end)
            values = [record.value for record in records]
            await waited_for(lambda: self._reader.prepare(values), "look up schemas")
            limits = self._runtime.settings
            slices = list(
                portions(
                    records, count=limits.max_run_records, size=limits.max_run_bytes, weight=_bytes
                )
            )
            for index, part in enumerate(slices):
                last = index + 1 == len(slices)
                end = run.end if last else slices[index + 1][0].offset
                await self._decide_in_time(part, end)
            return self._ids.watermark.end

    def reference_moved(self) -> None:
        """Put on record, soon, that decisions from here on know the reference data read so far.

        In a task of its own: a shard that waits holds up neither the others nor the reading.
        """
        self._noting.wake()

    async def _note(self) -> None:
        tp = TP(self._runtime.topics.transactions.name, self._shard)
        place = self._runtime.health.at(tp)
        current_partition.set(place)
        async with self._lock:
            # Assigned, not reading already: what moves while it is opened is noted after that.
            if not self._was_opened or not self._runtime.membership.is_assigned(tp):
                return
            try:
                await self._note_reference()
            except InvariantBroken as error:
                # What comes next for this shard finds the same, and stops its lane.
                place.stop(str(error))
                log.critical("Shard %s is stopped: %s", self._shard, error)

    async def _note_reference(self) -> None:
        self._reference.require_whole()
        while self._ids.mark.reference_offset < self._reference.data.offset:
            await self._append_run([], self._ids.watermark.end)

    def _received(self, records: Iterable[ConsumerRecord], memory: Memory) -> Iterator[Received]:
        """Decoded a few at a time, as they are decided: a draft is a kilobyte."""
        decode = self._reader.decode
        limited = self._shard in self._reference.data.clocks
        for part in portions(records, count=DECODED):
            drafts = [decode(record.value) for record in part]
            ids = [each["transaction_id"] for each in drafts if not isinstance(each, Refused)]
            memory.found = self._ids.find_all(ids)
            for record, draft in zip(part, drafts, strict=True):
                at = self._clock.recorded_at(record) if limited else record.timestamp * 1000
                yield Received(record.offset, at, record.key, record.value, draft)

    async def _decide_in_time(self, records: Sequence[ConsumerRecord], end: int) -> None:
        """`_decide_until`, but what a clock ahead of everybody's has stamped waits."""
        while (at := self._clock.first_ahead(records)) is not None:
            await self._decide_until(records[:at], records[at].offset)
            records = records[at:]
            await waited_for(partial(self._clock.require, records[0]), "agree on the time")
        await self._decide_until(records, end)

    async def _decide_until(self, records: Sequence[ConsumerRecord], end: int) -> None:
        """Until the positions before `end` are decided, by this owner or by another one."""
        while (start := self._ids.watermark.end) < end:
            await self._append_run([each for each in records if each.offset >= start], end)

    async def _append_run(self, records: list[ConsumerRecord], end: int) -> None:
        """Decide and append; what did not land where expected is decided again.

        Before the first step everything is waited for: decided records would wait in memory.
        """
        await self._receiver.has_room(self._shard)
        await waited_for(self._leased, "have its membership confirmed")
        await self._require_reference()
        # 1 Step.
        memory, decided = await self._decide(records, end)
        # 2 Append to the decision log.
        offset = await self._append(decided)
        if offset != self._log_end:
            await waited_for(self._catch_up, f"read what landed in shard {self._shard}")
            return
        self._log_end = offset + 1
        # 3 Ids and position, in one local write. 4 Offer the run to reconciliation.
        self._remember_and_offer(memory, ValidRun.of(decided, offset, self._ids.watermark))
        self._count(decided)

    async def _decide(self, records: list[ConsumerRecord], end: int) -> tuple[Memory, Decided]:
        """Decisions on `records`, and what was remembered to make them."""
        ids, reference = self._ids, self._reference.data
        voidable = await self._leaves.voidable(reference.leaves.get(self._shard, {}))
        memory = ids.memory(reference.scales, voidable)
        self._reader.max_bytes = reference.policy.max_bytes
        return memory, decide(
            self._received(records, memory),
            shard=self._shard,
            shards=self._runtime.settings.shards,
            end=end,
            watermark=ids.watermark,
            memory=memory,
            reference=reference,
            policy=reference.policy,
        )

    async def _append(self, decided: Decided) -> int:
        """The offset at which it landed; -1 where that is not known."""
        value = self._runtime.codec.encode("Decision", decided.decision.row())
        topic = self._runtime.topics.decisions.name
        try:
            with waiting_for("append decisions"):
                return await self._runtime.log.append(topic, self._shard, [(None, value)])
        except Unavailable as error:
            log.warning("A decision may or may not be in the log, which is read now: %s", error)
            return -1

    async def _leased(self) -> None:
        # Asked at the append too; but a run that is decided in vain is decided again at once.
        self._runtime.log.require_lease()

    def _count(self, decided: Decided) -> None:
        counts, outcomes = self._runtime.health.counts.transactions, decided.outcomes
        counts["accepted", ""] += len(decided.content.offsets)
        counts["duplicate", ""] += len(outcomes.duplicates)
        if decided.decision.voids:
            counts["voided", ""] += len(voids_of(decided.decision.voids))
        for refusal in outcomes.refused:
            counts["refused", refusal.code] += 1

    def _remember_and_offer(self, memory: Memory, run: ValidRun) -> None:
        """Remember what a run in the log has decided, and offer it to reconciliation."""
        policy = self._reference.data.policy_at(run.decision.reference_offset)
        self._ids.write(memory, run, policy)
        self._receiver.offer(self._shard, run)

    async def _require_known(self) -> None:
        log_, topic = self._runtime.log, self._runtime.topics.decisions.name
        await require_known(log_, self._runtime.codec, topic, self._shard, self._ids.watermark)

    async def _require_decided(self) -> None:
        log_, topic = self._runtime.log, self._runtime.topics.transactions.name
        limit = self._reference.data.recorded_at
        await require_decided(log_, topic, self._shard, self._ids.watermark, limit)

    async def _catch_up(self) -> None:
        """Fold what the decision log has beyond the table."""
        ids, log_, topic = self._ids, self._runtime.log, self._runtime.topics.decisions.name
        _, end = await log_.bounds(topic, self._shard)
        async for records in log_.read(topic, self._shard, ids.watermark.decisions_offset, end):
            for run in valid_runs(self._runtime.codec, records, ids.watermark):
                await self._reach(run.decision.reference_offset)
                memory = ids.memory()
                memory.remember(run.content, run.outcomes, run.voided)
                self._remember_and_offer(memory, run)
                await self._receiver.has_room(self._shard)
        self._log_end = end
        await self._require_reference()
        mark = ids.mark
        if mark.reference_digest:
            follower, place = self._reference, (mark.reference_offset, mark.reference_digest)
            await follower.require_digest(*place, self._shard)

    async def _require_reference(self) -> None:
        """Nothing is decided with less reference data than the shard's chain has recorded."""
        self._reference.require_whole()
        await self._reach(self._ids.mark.reference_offset)

    async def _reach(self, offset: int) -> None:
        if self._reference.data.offset < offset:
            with waiting_for("read the reference data that it was decided with"):
                await self._reference.reached(offset, self._shard)


def _bytes(record: ConsumerRecord) -> int:
    return len(record.value or b"") + len(record.key or b"")

"""Intake: checks, deduplicates and decides; its only effect is one append a run."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from aiokafka import ConsumerRecord

from agents.app import LedgerApp, take_runs
from agents.lanes import Gap
from agents.reference import ReferenceFollower
from ledger.domain.intake import Memory, Received, Settled, cut, decide
from ledger.domain.refusal import Refused
from ledger.errors import Unavailable
from ledger.streaming.accepted import AcceptedIds
from ledger.streaming.decisions import ValidRun, require_known, require_settled, valid_runs
from ledger.streaming.delivery import Run
from ledger.streaming.health import asking
from ledger.streaming.reference import policy_of
from ledger.streaming.transactions import TransactionReader
from ledger.streaming.waiting import waited_for

DECODED = 64
"""Records at a time; their ids are looked up together."""

log = logging.getLogger(__name__)


def attach(app: LedgerApp, reference: ReferenceFollower) -> None:
    """Give `app` the intake agent."""
    reader = TransactionReader.of(app.ledger)
    shards: dict[int, IntakeShard] = {}

    async def opened(shard: int) -> int:
        await reference.ready.wait()
        if shard not in shards:
            shards[shard] = IntakeShard(app, shard, reader, reference)
        return await shards[shard].open()

    async def take(run: Run) -> int:
        return await shards[run.tp.partition].take(run)

    async def reference_moved() -> None:
        await asyncio.gather(
            *(shards[tp.partition].note_reference() for tp in app.consumer.opened
              if tp.topic == app.names.transactions.name)
        )  # fmt: skip

    reference.on_move(reference_moved)
    take_runs(app, app.names.transactions, name="intake", opened=opened, take=take)


class IntakeShard:
    """One shard's decisions, made one run after another."""

    def __init__(
        self, app: LedgerApp, shard: int, reader: TransactionReader, reference: ReferenceFollower
    ) -> None:
        self._app, self._shard, self._reader, self._reference = app, shard, reader, reference
        self._policy = policy_of(app.ledger)
        self._ids = AcceptedIds(app.data / "intake" / str(shard))
        self._log_end = 0
        self._lock = asyncio.Lock()

    async def open(self) -> int:
        """Catch up with the decision log; returns the position to read transactions from."""
        async with self._lock:
            await waited_for(self._require_known, f"look for shard {self._shard}'s decisions")
            await waited_for(self._catch_up, f"open shard {self._shard}")
            await waited_for(self._require_settled, f"look for shard {self._shard}'s transactions")
            await self._note_reference()
            return self._ids.watermark.end

    async def take(self, run: Run) -> int:
        """Settle a run, in slices of bounded size."""
        async with self._lock:
            records = run.from_position(self._ids.watermark.end)
            if records is None:
                raise Gap(self._ids.watermark.end)
            values = [record.value for record in records]
            await waited_for(lambda: self._reader.prepare(values), "look up schemas")
            limits = self._app.ledger
            slices = list(cut(records, count=limits.max_run_records, size=limits.max_run_bytes))
            for index, part in enumerate(slices):
                last = index + 1 == len(slices)
                await self._settle(part, run.end if last else slices[index + 1][0].offset)
            return self._ids.watermark.end

    async def note_reference(self) -> None:
        """Put on record that decisions from here on know the reference data read so far."""
        async with self._lock:
            await self._note_reference()

    async def _note_reference(self) -> None:
        while self._ids.reference_offset < self._reference.data.offset:
            await self._append_run([], self._ids.watermark.end)

    def _received(self, records: Iterable[ConsumerRecord], memory: Memory) -> Iterator[Received]:
        """Decoded a few at a time, as they are decided: a draft is a kilobyte."""
        decode, left = self._reader.decode, iter(records)
        while part := list(islice(left, DECODED)):
            drafts = [decode(record.value) for record in part]
            ids = [each["transaction_id"] for each in drafts if not isinstance(each, Refused)]
            memory.found = self._ids.find_all(ids)
            for record, draft in zip(part, drafts, strict=True):
                at = record.timestamp * 1000
                yield Received(record.offset, at, record.key, record.value, draft)

    async def _settle(self, records: Sequence[ConsumerRecord], end: int) -> None:
        """Until the positions before `end` are settled, by this owner or by another one."""
        while (start := self._ids.watermark.end) < end:
            await self._append_run([each for each in records if each.offset >= start], end)

    async def _append_run(self, records: list[ConsumerRecord], end: int) -> None:
        """Decide, append, remember; if the append did not land where expected, only catch up."""
        # Before anything is made of the records, for that would wait with them.
        await self._app.room(self._shard)
        await waited_for(self._leased, "have its membership confirmed")
        ids, memory = self._ids, self._ids.memory()
        settled = decide(
            self._received(records, memory),
            shard=self._shard,
            shards=self._app.ledger.shards,
            end=end,
            watermark=ids.watermark,
            memory=memory,
            reference=self._reference.data,
            policy=self._policy,
        )
        value = self._app.codec.encode("Decision", settled.decision.row())
        topic = self._app.names.decisions.name
        try:
            with asking("append decisions"):
                offset = await self._app.log_.append(topic, self._shard, [(None, value)])
        except Unavailable as error:
            log.warning("A decision may or may not be in the log, which is read now: %s", error)
            offset = -1
        if offset != self._log_end:
            await waited_for(self._catch_up, f"read what landed in shard {self._shard}")
            return
        self._log_end = offset + 1
        self._keep(memory, ValidRun.of(settled, offset, ids.watermark))
        self._count(settled)

    async def _leased(self) -> None:
        # Asked at the append too; but a run that is decided in vain is decided again at once.
        self._app.lease()

    def _count(self, settled: Settled) -> None:
        counts, outcomes = self._app.health.transactions, settled.outcomes
        counts["accepted", ""] += len(settled.content.offsets)
        counts["duplicate", ""] += len(outcomes.duplicates)
        for refusal in outcomes.refused:
            counts["refused", refusal.code] += 1

    def _keep(self, memory: Memory, run: ValidRun) -> None:
        """Remember what a run in the log has settled, and hand it on."""
        reference_offset = run.decision.reference_offset
        self._ids.write(memory, run.after, reference_offset, window=self._policy.window)
        self._app.settled(self._shard, run)

    async def _require_known(self) -> None:
        log_, topic = self._app.log_, self._app.names.decisions.name
        await require_known(log_, self._app.codec, topic, self._shard, self._ids.watermark)

    async def _require_settled(self) -> None:
        log_, topic = self._app.log_, self._app.names.transactions.name
        await require_settled(log_, topic, self._shard, self._ids.watermark)

    async def _catch_up(self) -> None:
        """Fold what the decision log has beyond the table."""
        ids, log_, topic = self._ids, self._app.log_, self._app.names.decisions.name
        _, end = await log_.bounds(topic, self._shard)
        async for records in log_.read(topic, self._shard, ids.watermark.decisions_offset, end):
            for run in valid_runs(self._app.codec, records, ids.watermark):
                memory = ids.memory()
                memory.remember(run.content, run.outcomes)
                self._keep(memory, run)
                await self._app.room(self._shard)
        self._log_end = end

"""The accounts of one partition of the stripes topic: summed, stored and published.

`_publish_all` has the effects in their order.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping

from aiokafka import ConsumerRecord
from faust.types import TP

from agents.progress import Progress
from agents.public_balances import PublicBalances
from agents.runtime.lanes import Gap
from agents.runtime.runs import Run
from agents.runtime.runtime import Runtime
from ledger.domain.covered import Compared, Covered
from ledger.domain.fold import Row
from ledger.domain.portions import portions
from ledger.domain.run import Stripe
from ledger.domain.sums import Incoming, Sums
from ledger.health.partitions import current_partition
from ledger.health.waiting import waited_for
from ledger.streaming import messages
from ledger.streaming.account_store import AccountStore
from ledger.streaming.coalescer import Coalescer
from ledger.streaming.log import PORTION, log_dropped
from ledger.streaming.stripe_rows import RowCodec, message_key, named_by

log = logging.getLogger(__name__)

CACHED = 12_000
"""Accounts kept decoded by this process, about 1 KB each, and as many again that are to be written;
the stores have them all."""
RESTORED_AT_ONCE = 50_000
"""Records caught up with in memory; for more, the store is filled first and then read through."""


class BalancesPart:
    """The accounts of one partition of the stripes topic."""

    def __init__(self, runtime: Runtime, partition: int, progress: Progress) -> None:
        self._runtime, self._partition, self._progress = runtime, partition, progress
        self.tp = TP(runtime.topics.stripes.name, partition)
        self._rows = RowCodec(runtime.codec)
        self._cached = self._forget_beyond = CACHED // runtime.settings.balance_partitions
        folder = runtime.data / "balances" / str(partition)
        self._store = AccountStore(folder, limit=self._cached)
        self._sums = Sums(self._store.accounts, 0, 0)
        self._lock = asyncio.Lock()
        self._covered = Covered()
        self._public = PublicBalances(runtime, partition)
        self._publishing = Coalescer(self._publish_due, name=f"balances {partition}")

    # Opening.

    async def open(self) -> int:
        """Restore silently, then publish each balance once; never a partial sum."""
        async with self._lock:
            # Before progress is read: whoever published there counted on what that has.
            await waited_for(self._public.open, f"look up the balances of {self._partition}")
            await self._progress.loaded(self._runtime.membership.generation)
            await waited_for(self._catch_up, f"restore the balances of {self._partition}")
            return self._sums.read

    async def _catch_up(self) -> None:
        sums = self._sums = Sums(self._store.accounts, *self._store.open())
        log, topic = self._runtime.log, self.tp.topic
        # Before the end is looked up: rows are published before their runs are compared.
        self._covered.open(self._progress.ends())
        _, end = await log.bounds(topic, self._partition)
        restoring = self._store.is_restoring or end - sums.read > RESTORED_AT_ONCE
        if restoring:
            self._store.begin_restoring()
        async for records in log.read(topic, self._partition, sums.read, end):
            self._add(records)
            sums.reconcile(self._progress.end, time.monotonic())
            if restoring:
                changed = sums.take_changed()
                self._store.write((stripe, sums.account(stripe)) for stripe in changed)
                self._forget()
        sums.reach(end)
        if restoring or self._public.is_lost:
            self._public.is_lost = False
            await self._publish_stored()
        await self._publish_all()
        if restoring:
            # Last: what was seen up to here is not looked for again, older rows that came late too.
            self._store.finish_restoring(sums.reconciled(), sums.read)
        # Of a stripe that moved since it was compared, the topic may have the newest row alone.
        sums.note_unclear()

    async def _publish_stored(self) -> None:
        for stripes in portions(self._store.scan(), count=PORTION):
            await self._publish(stripes)
            self._forget()

    # Rows.

    async def take(self, run: Run) -> int:
        """Add what shards published; returns the position before which all is reconciled."""
        async with self._lock:
            records = run.from_position(self._sums.read)
            if records is None:
                raise Gap(self._sums.read)
            if len(records) < run.end - max(run.start, self._sums.read):
                self._covered.note_hole()
            self._add(records)
            self._sums.reach(run.end)
        self._wake_if_due()
        return self._sums.reconciled()

    def receive(self, shard: int, first: int, rows: Mapping[Stripe, Row]) -> None:
        """Add what this process has appended at offset `first`, ahead of reading it."""
        if not self.is_open():
            self._covered.miss(first + len(rows))
            return
        self._sums.receive(first, shard, rows, time.monotonic())
        self._wake_if_due()

    def _add(self, records: Iterable[ConsumerRecord]) -> None:
        self._sums.add(self._incoming(records), time.monotonic())

    def _incoming(self, records: Iterable[ConsumerRecord]) -> Iterator[Incoming]:
        """The rows of records that were not received already."""
        for record in records:
            if self._sums.is_new(record.offset) and (row := self._read(record)) is not None:
                yield row

    def _read(self, record: ConsumerRecord) -> Incoming | None:
        """None for a record that none of ours wrote."""
        named = None
        try:
            named = named_by(record.key or b"", self._runtime.settings.shards)
            stripe, shard = named
            row = self._rows.decode(record.value or b"")
        except ValueError as error:
            log_dropped(record, error)
            if named is not None:
                self._sums.add_foreign(*named)
            return None
        # A shard's that were appended together came of one run.
        return Incoming(record.offset, shard, record.timestamp, stripe, row)

    async def skip_received(self) -> int | None:
        """Past what was received, as far as nobody else's records are between; None if at once."""
        async with self._lock:
            position = self._sums.skip_received()
            if position is not None and not self._sums.is_changed:
                self._runtime.membership.reached(self.tp, self._sums.reconciled())
            return position

    def goes_on_received(self) -> bool:
        """Whether what comes next in the log was received already, or nothing comes yet."""
        return self._sums.goes_on_received()

    # Publishing.

    def is_open(self) -> bool:
        """Whether this process may publish for it."""
        return self._runtime.membership.is_open(self.tp)

    def note_late(self, now: float) -> None:
        """What has waited longer than usual is published as pending."""
        self._sums.note_late(now, self._runtime.settings.pending_after_ms / 1000)
        self._wake_if_due()

    def wake_for(self, shard: int) -> None:
        """The shard is compared further: publish what that makes due."""
        if self._sums.is_due(shard, self._progress.end(shard)):
            self.wake()

    @property
    def has_hole(self) -> bool:
        """Whether records were missing in what was read last."""
        return self._covered.has_hole

    @property
    def public_tp(self) -> TP:
        """The partition of the balances topic."""
        return TP(self._runtime.topics.balances.name, self._partition)

    async def cover(
        self, compared: Compared, ends: Mapping[TP, int], public_id: str | None
    ) -> None:
        """Publish how much of each shard the balances contain now, if it is more than before.

        `ends`: where topics ended after `compared`, those that were looked up. `public_id`: which
        topic the balances' is, where that was looked up; then also if it is no more than before.
        """
        async with self._lock:
            if not self.is_open():
                return
            again = public_id is not None
            if public_id is not None:
                self._public.note_id(public_id)
            self._public.note_end(ends.get(self.public_tp, 0))
            self._covered.note(compared, ends.get(self.tp))
            self._sums.reconcile(self._progress.end, time.monotonic())
            positions = self._covered.take(self._sums, again=again)
            # 1 Balances that are due.
            await self._publish_all()
            # 2 All of them, where the topic has lost what was there.
            if self._public.is_lost:
                await self._publish_again()
                positions = self._covered.take(self._sums, again=True)
            if positions is None or self._public.is_lost:
                return
            # 3 Balances that another worker's older one came after.
            if await self._public.outrank(self._sums, self._publish, self._forget):
                # 4 Coverage, unless another worker's balance hides one of ours.
                await self._public.cover(positions)
            else:
                self._covered.take_back()

    async def _publish_again(self) -> None:
        log.error("%s lacks balances: all are published again.", self.public_tp)
        await waited_for(self._public.open, f"look up the balances of {self._partition}")
        # From here on it may be lost once more.
        self._public.is_lost = False
        for stripes in portions(self._sums.held(), count=PORTION):
            await self._publish(stripes)
        await self._publish_stored()

    def _wake_if_due(self) -> None:
        if self._sums.has_work(self._progress.end):
            self.wake()

    def wake(self) -> None:
        """Publish what is due; what comes meanwhile, together after that."""
        self._publishing.wake()

    async def _publish_due(self) -> None:
        # The task is of whoever has woken it; what it waits for is this partition's.
        current_partition.set(self._runtime.health.at(self.tp))
        try:
            async with self._lock:
                if self.is_open():
                    self._sums.reconcile(self._progress.end, time.monotonic())
                    await self._publish_all()
        except Exception as error:
            self._runtime.fail(error, f"publishing the balances of {self._partition}")

    async def _publish_all(self) -> None:
        """Publish what is due, with its effects in their order."""
        if not self._sums.has_due:
            return
        # 1 Step: what is due, and the positions where that stands.
        due, positions = self._sums.take_due(), (self._sums.reconciled(), self._sums.read)
        # 2 Rows that an older record came after, so that compaction keeps the newest.
        await self._publish_rows(due.stale)
        # 3 Balances.
        for part in portions(due.changed | due.late, count=PORTION):
            await self._publish(part)
        self._store.unwritten |= due.changed
        # 4 Now and then the store.
        if self._store.is_due:
            self._write(*positions)
        # 5 Acknowledge.
        self._runtime.membership.reached(self.tp, self._sums.reconciled())
        self._forget()

    async def _publish_rows(self, stale: set[tuple[Stripe, int]]) -> None:
        records = [
            (message_key(stripe, shard), self._rows.encode(self._sums.row(stripe, shard)))
            for stripe, shard in sorted(stale)
        ]
        if records:
            await self._runtime.log.append_absolute(self.tp.topic, self._partition, records)

    async def _publish(self, stripes: Iterable[Stripe]) -> None:
        head = self._runtime.codec.head("Balance")
        records = [messages.balance(head, self._sums.balance(stripe)) for stripe in stripes]
        if records:
            await self._public.append(records)

    # The store.

    def _write(self, reconciled: int, seen: int) -> None:
        self._sums.forget_received()
        # Not with what changed meanwhile and is not published: after a crash nobody would do it.
        if not self._sums.is_changed:
            unwritten = ((each, self._sums.account(each)) for each in self._store.unwritten)
            self._store.write_due(unwritten, reconciled, seen)

    async def write_at_rest(self) -> None:
        """What nothing came after is written too."""
        async with self._lock:
            if self._store.is_due and self.is_open():
                self._write(self._sums.reconciled(), self._sums.read)

    def _forget(self) -> None:
        unwritten = self._store.unwritten
        if len(self._sums) - len(unwritten) > self._forget_beyond:
            self._sums.forget(unwritten)
            # Where most must stay, not again for each that comes.
            left = len(self._sums) - len(unwritten)
            self._forget_beyond = max(self._cached, left * 5 // 4)

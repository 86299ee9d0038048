"""Reconciliation: folds decisions into stripes and compares them with what was posted."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence

from faust.types import TP

from agents.progress import Progress
from agents.publisher import ShardPublisher, StripeReceiver
from agents.runtime.room import Room
from agents.runtime.runs import Run
from agents.runtime.runtime import Runtime
from ledger.domain import compare
from ledger.domain.compare import Compared, Comparison, Mark, Posted, Step
from ledger.domain.fold import Folded, Rows, ScalesMixed, fold
from ledger.domain.intake import is_apart
from ledger.domain.run import Stripe
from ledger.domain.valid_run import ValidRun
from ledger.errors import InvariantBroken
from ledger.health.partitions import PartitionHealth, current_partition, waiting_for
from ledger.health.waiting import waited_for
from ledger.streaming import decisions
from ledger.streaming.coalescer import Coalescer
from ledger.streaming.decisions import valid_runs, voids_ahead
from ledger.streaming.log import Log
from ledger.streaming.messages import posted_in
from ledger.streaming.registry import Codec
from ledger.streaming.stripe_table import StripeTable
from ledger.streaming.table import Overtaken

FOLD_BYTES = 8 * 1024 * 1024
"""Folded in one write: the rows must fit one record batch of the changelog."""
OFFERED_BYTES = 8 * 1024 * 1024
"""Offered by intake and not folded yet; a byte here is about ten in memory."""
SCANNED_BEYOND = 250_000
"""Transactions decided and not compared, beyond which an opening shard looks at every row."""
CACHED = 84_000
"""Rows kept decoded by this process."""

log = logging.getLogger(__name__)


class Reconciliation:
    """The stage: folds and compares the shards that this process owns."""

    name = "reconciliation"

    def __init__(self, runtime: Runtime, progress: Progress, receiver: StripeReceiver) -> None:
        self._runtime, self._progress, self._receiver = runtime, progress, receiver
        self.topic = runtime.topics.posted
        self._shards: dict[int, ReconciliationShard] = {}
        self._room = Room(OFFERED_BYTES)

    async def open(self, shard: int) -> int:
        """See Stage."""
        if shard not in self._shards:
            publisher = ShardPublisher(self._runtime, shard, self._receiver)
            self._shards[shard] = ReconciliationShard(
                self._runtime, shard, self._progress, publisher, self._room
            )
        return await self._shards[shard].open()

    async def take(self, run: Run) -> int:
        """See Stage."""
        return await self._shards[run.tp.partition].take(run)

    def clear(self) -> None:
        """See Stage."""
        for shard in self._shards.values():
            shard.clear()

    async def has_room(self, shard: int) -> None:
        """Return when more of the shard may be offered."""
        if shard in self._shards:
            await self._shards[shard].has_room()

    def offer(self, shard: int, run: ValidRun) -> None:
        """Fold a run of the shard soon; before it is open, it is read from the log later."""
        if shard in self._shards:
            self._shards[shard].offer(run)


class ReconciliationShard:
    """One shard: its stripes, and where its two sides stand."""

    def __init__(
        self,
        runtime: Runtime,
        shard: int,
        progress: Progress,
        publisher: ShardPublisher,
        room: Room,
    ) -> None:
        self._runtime, self._shard, self._progress = runtime, shard, progress
        self._publisher, self._room = publisher, room
        self._table = StripeTable(
            runtime.data / "stripes" / str(shard), runtime.log, runtime.codec,
            runtime.topics.stripes_changelog.name, shard,
            cached=CACHED // runtime.settings.shards,
        )  # fmt: skip
        self._mark, self._comparison = Mark(), Comparison(Mark(), {})
        self._offered: list[ValidRun] = []
        self._posted: deque[Run] = deque()
        self._folding = Coalescer(self._fold_offered, name=f"fold {shard}")
        self._lock, self._opened = asyncio.Lock(), asyncio.Event()
        self._taking = self._stopped = False

    # Opening.

    async def open(self) -> int:
        """Restore the table and catch up with the decision log; where to read `posted` from."""
        async with self._lock:
            # From here on what is offered waits: what came before is in the log.
            self._taking, self._stopped = True, False
            self._opened.clear()
            try:
                await self._open()
            except BaseException as error:
                # Where it is a void that is missing, that opens it again.
                self._stopped = isinstance(error, ScalesMixed)
                self.clear()
                raise
            finally:
                self._opened.set()
            return self._comparison.position

    async def _open(self) -> None:
        shard, membership = self._shard, self._runtime.membership
        if shard not in membership.shards():
            raise InvariantBroken(
                f"Shard {shard} is decided by another worker than the one that compares it; the "
                "assignor should keep them together. Restart the workers."
            )
        await self._progress.loaded(membership.generation)
        self._mark = await waited_for(self._table.open, f"restore the stripes of shard {shard}")
        await waited_for(self._require_known, f"look for the decisions of shard {shard}")
        await waited_for(self._start_over, f"read what shard {shard} has not compared")
        await waited_for(self._catch_up, f"fold the decisions of shard {shard}")
        self._comparison.caught_up()

    async def _require_known(self) -> None:
        log_, codec, topic = self._decisions
        await decisions.require_known(log_, codec, topic, self._shard, self._mark.stream)

    async def _start_over(self) -> None:
        """Publish again the rows that are not compared: who wrote them may not have got to it."""
        rows = await self._uncompared()
        await self._publisher.stripes(rows, self._table.encode(rows))
        self._comparison = Comparison(self._mark, rows)
        self._publish_progress()

    async def _uncompared(self) -> Rows:
        """The rows beyond what was compared: those that the runs since then touch.

        Where these are many, as after a long time without the database, all rows are looked at.
        """
        stream, compared = self._mark.stream, self._mark.compared
        end = compared.end
        if stream.end - end > SCANNED_BEYOND:
            held = self._table.scan()
        else:
            touched = dict[Stripe, None]()
            log_, codec, topic = self._decisions
            start, until = compared.decisions_offset, stream.decisions_offset
            async for records in log_.read(topic, self._shard, start, until):
                for run in valid_runs(codec, records, compared):
                    touched |= dict.fromkeys(run.stripes())
                    compared = run.after
            held = self._table.held(touched)
        return {stripe: row for stripe, row in held if row.live.offset >= end}

    async def _catch_up(self) -> None:
        """Fold what the decision log has beyond the table."""
        log_, codec, topic = self._decisions
        async for records in log_.read(topic, self._shard, self._mark.stream.decisions_offset):
            await self._fold_all(valid_runs(codec, records, self._mark.stream))

    # Folding.

    def offer(self, run: ValidRun) -> None:
        """Fold `run` soon."""
        if self._stopped and run.decision.voids:
            # What stopped it may be void now: opened again, it looks ahead.
            self._runtime.membership.reopen(self._tp)
        if self._taking and not self._stopped:
            self._offered.append(run)
            self._room.take(run.weight)
            self._folding.wake()

    async def has_room(self) -> None:
        """Return when more may be offered."""
        if not self._taking or self._stopped:
            return
        with waiting_for("have room in reconciliation"):
            # A table that takes long to restore must not use up the room of the others.
            await self._opened.wait()
            await self._room.free()
            # What is decided meanwhile would only wait, in smaller runs than it need be.
            await self._folding.idle()

    def clear(self) -> None:
        """Take no more: what is decided from here on is read from the log at the next opening."""
        self._taking = False
        self._posted.clear()
        self._give_back(self._take_offered())

    def _take_offered(self) -> list[ValidRun]:
        runs, self._offered = self._offered, []
        return runs

    def _give_back(self, runs: Iterable[ValidRun]) -> None:
        self._room.give_back(sum(run.weight for run in runs))

    async def _fold_offered(self) -> None:
        # The task is of whoever has offered; what it waits for is this partition's.
        current_partition.set(self._place)
        try:
            async with self._lock:
                runs = self._take_offered()
                try:
                    with waiting_for("fold decisions"):
                        await self._fold_in_order(runs)
                finally:
                    self._give_back(runs)
                await self._compare_posted()
        except InvariantBroken as error:
            self._stopped = True
            self._give_back(self._take_offered())
            self._place.stop(str(error))
            log.critical("Shard %s is not folded or compared any more: %s", self._shard, error)
        except Exception as error:
            if isinstance(error, Overtaken) and not self._taking:
                # Others had it in a rebalance while this waited to be written: whoever opens it
                # next, this worker too, starts from what is there.
                log.warning("Shard %s: what was folded before a rebalance is dropped", self._shard)
                return
            self._runtime.fail(error, f"folding shard {self._shard}")

    async def _fold_in_order(self, runs: Sequence[ValidRun]) -> None:
        known = self._mark.stream.decisions_offset
        runs = [run for run in runs if run.decisions_offset >= known]
        if runs and runs[0].before != self._mark.stream:
            # One before it was decided by another owner, or while this was opened.
            await waited_for(self._catch_up, f"fold shard {self._shard} from the log")
        else:
            await self._fold_all(runs)

    async def _fold_all(self, runs: Iterable[ValidRun]) -> None:
        for portion in decisions.portions(runs, FOLD_BYTES):
            await self._fold(portion)

    async def _fold(self, runs: Sequence[ValidRun]) -> None:
        """Fold a portion of runs, with its effects in their order."""
        # 1 Step: what the runs make of the rows.
        folded = await self._folded(runs)
        values = self._table.encode(folded.rows)
        mark = self._mark._replace(stream=runs[-1].after)
        # 2 Publish what was refused.
        await self._publisher.refusals(runs)
        # 3 Changelog and then this disk; beside it publish the stripes. A row is the same whoever
        #   folds these decisions, however often.
        await asyncio.gather(
            self._table.write(values, mark), self._publisher.stripes(folded.rows, values)
        )
        self._mark = mark
        # 4 Keep the rows decoded, unless later runs would hardly look for them.
        if any(is_apart(run.content) for run in runs):
            self._table.forget()
        else:
            self._table.remember(folded.rows)
        # 5 Compare, where the database has posted that far already.
        for run, totals in zip(runs, folded.totals, strict=True):
            await self._move(self._comparison.add_run(run.after, totals))

    async def _folded(self, runs: Sequence[ValidRun]) -> Folded:
        compared = self._mark.compared.end
        try:
            return fold(runs, self._table.rows, compared)
        except ScalesMixed:
            log_, codec, topic = self._decisions
            ahead, _ = await voids_ahead(log_, codec, topic, self._shard, self._mark.stream)
            void = [voided for _, voided in ahead.values()]
            return fold(runs, self._table.rows, compared, void)

    # Comparing.

    async def take(self, run: Run) -> int:
        """Compare what was posted; while a fold waits for Kafka, right after it."""
        if self._stopped:
            raise InvariantBroken("It has stopped; this log has the reason, further up.")
        self._posted.append(run)
        if not self._lock.locked():
            async with self._lock:
                await self._compare_posted()
        return self._comparison.position

    async def _compare_posted(self) -> None:
        while self._posted:
            run, position = self._posted.popleft(), self._comparison.position
            records = run.from_position(position)
            if records is None:
                # What comes behind it may be what was read again already.
                await self._runtime.membership.rewind(run, position)
                continue
            for record in records:
                if (posted := posted_in(self._runtime.codec, record)) is not None:
                    await self._compare(posted)
            self._comparison.reach(run.end)

    async def _compare(self, part: Posted) -> None:
        """Compare a posted message once its last part is there."""
        posted = self._comparison.whole(part)
        if posted is None:
            return
        is_repetition = self._comparison.is_repetition(posted)
        await self._move(self._comparison.add_posted(posted))
        if is_repetition:
            await self._compare_again(posted)

    async def _compare_again(self, posted: Posted) -> None:
        """What was compared before, and is posted again: the database was restored meanwhile."""
        compared = compare.compare_again(posted, self._mark, self._table.rows)
        if compared.differences or self._mark.breaks:
            self._mark = await self._change_breaks(compared, self._mark)
            self._publish_progress()

    async def _move(self, step: Step | None) -> None:
        """Move the position compared, with its effects in their order."""
        if step is None:
            return
        mark = self._mark._replace(compared=step.watermark, posted=step.posted)
        if step.compared.differences or mark.breaks:
            # 1 Breaks first: a position that moves is found again if lost, a break is not.
            mark = await self._change_breaks(step.compared, mark)
        else:
            # 2 The position, on this disk alone: if lost, it is compared again.
            self._table.write_mark_here(mark)
        self._mark = mark
        # 3 Progress, and what counts on it.
        self._publish_progress()

    async def _change_breaks(self, compared: Compared, mark: Mark) -> Mark:
        """Open and close breaks; returns `mark` with their number, which is written."""
        span, now = (self._mark.compared.end, compared.end), time.time_ns() // 1000
        breaks = compare.breaks_of(compared, self._table.rows)
        mark = mark._replace(breaks=mark.breaks + breaks.opened)
        values = self._table.encode(breaks.rows)
        await self._publisher.breaks(breaks.found, span, now)
        await self._publisher.stripes(breaks.rows, values)
        await self._table.write(values, mark)
        self._table.remember(breaks.rows)
        return mark

    def _publish_progress(self) -> None:
        """Unless a predecessor, whose mark is on its own disk, has published more."""
        mark = self._mark
        self._runtime.health.counts.breaks[self._shard] = mark.breaks
        if mark.compared.end >= self._progress.end(self._shard):
            self._progress.publish(self._shard, self._publisher.progress(mark), mark.compared.end)

    # Where.

    @property
    def _tp(self) -> TP:
        return TP(self._runtime.topics.posted.name, self._shard)

    @property
    def _place(self) -> PartitionHealth:
        return self._runtime.health.at(self._tp)

    @property
    def _decisions(self) -> tuple[Log, Codec, str]:
        """What reading the decision log takes."""
        runtime = self._runtime
        return runtime.log, runtime.codec, runtime.topics.decisions.name

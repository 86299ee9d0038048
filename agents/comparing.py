"""Comparing: what was posted against what was folded, at equal positions; breaks and progress."""

import asyncio
import time
from collections import deque

from faust.types import TP

from agents.progress import Progress
from agents.publisher import ShardPublisher
from agents.runtime.runs import Run
from agents.runtime.runtime import Runtime
from ledger.domain import compare
from ledger.domain.compare import Compared, Comparison, Mark, Posted, Step
from ledger.errors import InvariantBroken
from ledger.streaming.messages import posted_in
from ledger.streaming.stripe_table import StripeTable

CACHED = 84_000
"""Rows kept decoded by this process."""


class ShardState:
    """What folding and comparing share of one shard: its rows, and where its two sides stand.

    Whoever changes the rows, the mark or the comparison holds `lock`. `is_stopped`: the shard goes
    no further until it is opened again.
    """

    def __init__(self, runtime: Runtime, shard: int) -> None:
        self.shard, self.tp = shard, TP(runtime.topics.posted.name, shard)
        self.table = StripeTable(
            runtime.data / "stripes" / str(shard), runtime.log, runtime.codec,
            runtime.topics.stripes_changelog.name, shard,
            cached=CACHED // runtime.settings.shards,
        )  # fmt: skip
        self.mark, self.comparison = Mark(), Comparison(Mark(), {})
        self.lock, self.is_stopped = asyncio.Lock(), False


class Comparing:
    """One shard's comparison, with its effects."""

    def __init__(
        self, runtime: Runtime, state: ShardState, progress: Progress, publisher: ShardPublisher
    ) -> None:
        self._runtime, self._state = runtime, state
        self._progress, self._publisher = progress, publisher
        self._posted: deque[Run] = deque()

    async def take(self, run: Run) -> int:
        """Compare what was posted, or leave it to a fold that is under way.

        Returns the position up to which `posted` was read; a restart reads from `Mark.posted`.
        """
        state = self._state
        if state.is_stopped:
            raise InvariantBroken("It has stopped; this log has the reason, further up.")
        self._posted.append(run)
        if not state.lock.locked():
            async with state.lock:
                await self.compare_posted()
        return state.comparison.position

    def clear(self) -> None:
        """Forget what was posted and is not compared: it is read again."""
        self._posted.clear()

    async def compare_posted(self) -> None:
        """Compare what has come; the caller holds the lock."""
        while self._posted:
            run, comparison = self._posted.popleft(), self._state.comparison
            records = run.from_position(comparison.position)
            if records is None:
                # What comes behind it may be what was read again already.
                await self._runtime.membership.rewind(run, comparison.position)
                continue
            for record in records:
                if (posted := posted_in(self._runtime.codec, record)) is not None:
                    await self._compare(posted)
            comparison.reach(run.end)

    async def _compare(self, part: Posted) -> None:
        """Compare a posted message once its last part is there."""
        comparison = self._state.comparison
        posted = comparison.whole(part)
        if posted is None:
            return
        is_repetition = comparison.is_repetition(posted)
        await self.move(comparison.add_posted(posted))
        if is_repetition:
            await self._compare_again(posted)

    async def _compare_again(self, posted: Posted) -> None:
        """What was compared before, and is posted again: the database was restored meanwhile."""
        state = self._state
        compared = compare.compare_again(posted, state.mark, state.table.rows)
        if compared.differences or state.mark.breaks:
            state.mark = await self._change_breaks(compared, state.mark)
            self.publish_progress()

    async def move(self, step: Step | None) -> None:
        """Move the position compared, with its effects in their order."""
        if step is None:
            return
        state = self._state
        mark = state.mark._replace(compared=step.watermark, posted=step.posted)
        if step.compared.differences or mark.breaks:
            # 1 Breaks first: a position that moves is found again if lost, a break is not.
            mark = await self._change_breaks(step.compared, mark)
        else:
            # 2 The position, on this disk alone: if lost, it is compared again.
            state.table.write_mark_here(mark)
        state.mark = mark
        # 3 Progress, and what counts on it.
        self.publish_progress()

    async def _change_breaks(self, compared: Compared, mark: Mark) -> Mark:
        """Open and close breaks; returns `mark` with their number, which is written."""
        table = self._state.table
        span, now = (self._state.mark.compared.end, compared.end), time.time_ns() // 1000
        breaks = compare.breaks_of(compared, table.rows)
        mark = mark._replace(breaks=mark.breaks + breaks.opened)
        values = table.encode(breaks.rows)
        await self._publisher.breaks(breaks.found, span, now)
        await self._publisher.stripes(breaks.rows, values)
        await table.write(values, mark)
        table.remember(breaks.rows)
        return mark

    def publish_progress(self) -> None:
        """Unless a predecessor, whose mark is on its own disk, has published more."""
        mark, shard = self._state.mark, self._state.shard
        self._runtime.health.counts.breaks[shard] = mark.breaks
        if mark.compared.end >= self._progress.end(shard):
            self._progress.publish(shard, self._publisher.progress(mark), mark.compared.end)

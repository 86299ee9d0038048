"""A shard of a shadow ledger, posted from the decision log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.audit.reading import OrderedRecords, Sources
from ledger.domain.balance import Totals, taken_back, totals_after
from ledger.domain.run import Stripe, Voided, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.errors import LedgerError
from ledger.gl.journal import NotPostable, PostingRun
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.postgresql.posting import Opening
from ledger.gl.rows import PostedVoid
from ledger.replay.again import ChangedDecision, DecisionReplay
from ledger.streaming.decisions import valid_runs, voids_ahead

POSTED_AT_ONCE = 8 * 1024 * 1024
"""Bytes of runs that are posted in one database transaction."""


class Span(NamedTuple):
    """Recorded time [start, end) in microseconds; None: without a limit."""

    start: int | None = None
    end: int | None = None

    def is_before(self, run: ValidRun) -> bool:
        """Whether all of the run was recorded before the span."""
        return self.start is not None and run.after.recorded_until < self.start

    def is_past(self, run: ValidRun) -> bool:
        """Whether none of the run was recorded before the span's end."""
        first = run.content.recorded_at[:1] or [run.before.recorded_until]
        return self.end is not None and first[0] >= self.end


@dataclass(slots=True)
class Built:
    """What was posted to a shadow's shard: the runs between `opening` and `end`.

    `otherwise`: records that would be decided otherwise today. `undecided`: how many transactions
    were not decided again, because the log no longer has them.
    """

    shard: int
    opening: Watermark = field(default_factory=Watermark)
    end: Watermark = field(default_factory=Watermark)
    runs: int = 0
    transactions: int = 0
    otherwise: list[ChangedDecision] = field(default_factory=list)
    undecided: int = 0


class ShardBuild:
    """Posts a shard to `shadow`; with `again`, its transactions are decided again as well.

    Transactions that the live ledger has left out are left out here, and so are those that cannot
    be posted here and are void further on in the log.
    """

    def __init__(
        self,
        sources: Sources,
        shadow: PostgresJournal,
        shard: int,
        span: Span,
        again: DecisionReplay | None = None,
    ) -> None:
        self._sources, self._shadow, self._shard = sources, shadow, shard
        self._span, self._again = span, again
        self._totals: dict[Stripe, Totals] = {}
        self._scales: dict[str, int] = {}
        self._waiting: list[ValidRun] = []
        self._left_out: dict[int, tuple[int, Voided]] = {}
        self._voids: list[PostedVoid] = []
        self._originals: OrderedRecords | None = None
        self._begun = False
        self.built = Built(shard)

    async def run(self, until: int | None = None) -> Built:
        """Post from where the shadow is to the span's end, or to decision offset `until`."""
        mark = await asyncio.to_thread(self._shadow.watermark, self._shard)
        self._begun = mark != Watermark()
        self.built.opening = self.built.end = mark
        live = await asyncio.to_thread(self._sources.books.voids, self._shard)
        if live:
            there = {(each.offset, each.decisions_offset) for each in live}
            ahead = await self._ahead(mark)
            self._left_out = {
                each: void for each, void in ahead.items() if (each, void[0]) in there
            }
        async with aclosing(self._runs(mark, until)) as runs:  # type: ignore[type-var]
            async for run in runs:
                if not self._begun and self._span.is_before(run):
                    self._pass(run)
                elif self._span.is_past(run):
                    break
                else:
                    await self._take(run)
        await self._begin()
        await self._post()
        return self.built

    async def _runs(self, mark: Watermark, until: int | None) -> AsyncIterator[ValidRun]:
        log, codec, topic = self._sources.log, self._sources.codec, self._sources.names.decisions
        first, end = await log.bounds(topic.name, self._shard)
        if mark.decisions_offset < first:
            raise LedgerError(
                f"{topic.name}[{self._shard}] holds offsets from {first} on, and the shadow ledger "
                f"needs them from {mark.decisions_offset} on: its balances depend on runs "
                "before that, which the log no longer has. Restore the topic "
                "(docs/runbooks/log-cut.md), or look at the journal itself: "
                "`faust-ledger balances --as-of`, `faust-ledger verify`."
            )
        lists = log.read(topic.name, self._shard, mark.decisions_offset, until or end)
        async with aclosing(lists):  # type: ignore[type-var]
            async for records in lists:
                for run in valid_runs(codec, records, mark):
                    yield run
                    mark = run.after

    async def _ahead(self, mark: Watermark) -> dict[int, tuple[int, Voided]]:
        log, codec, topic = self._sources.log, self._sources.codec, self._sources.names.decisions
        found, _ = await voids_ahead(log, codec, topic.name, self._shard, mark)
        return found

    def _pass(self, run: ValidRun) -> None:
        """Add a run of before the span to the opening totals."""
        posting = self._posting(run)
        content = posting.posted
        self._totals |= totals_after(content, self._totals)
        self._scales |= zip(content.currencies, content.scales, strict=True)
        self._voids += [PostedVoid.of(self._shard, *each) for each in posting.left_out]
        for voided in posting.voided:
            self._pass_void(voided)
        self.built.opening = self.built.end = run.after
        if self._again is not None:
            self._again.remember(run)

    def _pass_void(self, voided: Voided) -> None:
        taken = voided.transaction
        left_out = {each.offset: each for each in self._voids}.get(taken.offsets[0])
        if left_out is None:
            self._totals |= taken_back(taken, voided.offset, {}, self._totals)
        else:
            self._voids.remove(left_out)
            self._totals |= left_out.moved(self._totals)
        for code, scale in zip(taken.currencies, voided.scales, strict=True):
            self._scales.setdefault(code, scale)

    async def _begin(self) -> None:
        opening = self.built.opening
        if not self._begun and opening != Watermark():
            start = Opening(opening, self._totals, self._scales, self._voids)
            await asyncio.to_thread(self._shadow.start_at, self._shard, start)
        self._begun = True

    async def _take(self, run: ValidRun) -> None:
        await self._begin()
        if (
            self._waiting
            and sum(each.weight for each in self._waiting) + run.weight > POSTED_AT_ONCE
        ):
            await self._post()
        self._waiting.append(run)
        self.built.runs += 1
        self.built.transactions += run.decision.accepted
        if self._again is not None:
            await self._decide_again(run, self._again)

    async def _post(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            await self._post_all(waiting)
        except NotPostable:
            # As the posting agent does: leave out what is void further on.
            ahead = await self._ahead(waiting[0].before)
            if ahead.keys() <= self._left_out.keys():
                raise
            self._left_out |= ahead
            await self._post_all(waiting)
        self.built.end = waiting[-1].after

    async def _post_all(self, waiting: Sequence[ValidRun]) -> None:
        runs = [self._posting(run) for run in waiting]
        await asyncio.to_thread(self._shadow.post, self._shard, waiting[0].before, runs)

    def _posting(self, run: ValidRun) -> PostingRun:
        decision = run.decision
        left_out = [
            void
            for offset, void in self._left_out.items()
            if decision.start <= offset < decision.end
        ]
        return PostingRun(decision, run.decisions_offset, run.content, run.voided, left_out)

    async def _decide_again(self, run: ValidRun, again: DecisionReplay) -> None:
        topic, log = self._sources.names.transactions.name, self._sources.log
        if self._originals is None:
            first, end = await log.bounds(topic, self._shard)
            if first > run.before.end or end < run.after.end:
                self.built.undecided += run.decision.accepted
                again.remember(run)
                return
            self._originals = OrderedRecords(log.read(topic, self._shard, run.before.end))
        records = await self._originals.below(run.after.end)
        self.built.otherwise += await again.changed(run, records)
        again.remember(run)

"""One shard of the flow: how far it is decided, posted and compared, and who waits for what."""

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Self

from ledger.api.flow.fate import UNDECIDED, Fate, Level, Reached, Verdict
from ledger.api.flow.runs import HeldRun, RecentRuns
from ledger.client.outcomes import OpenBreak, Outcome
from ledger.domain.run import Voided, Watermark
from ledger.domain.valid_run import ValidRun

MARKS = 2_048
"""Of a shard's positions whose times are kept; a minute or more of a busy shard."""
VOIDED = 1_000
"""Voided transactions that are kept; there are hardly any."""

_offset = attrgetter("offset")
_end = attrgetter("end")


class Marks:
    """A position that only rises, and when it passed what; times in microseconds."""

    def __init__(self, end: int = 0) -> None:
        self.last = Reached(end, 0)
        self._known_from = end
        self._marks: deque[Reached] = deque()

    def reach(self, end: int, at: int) -> bool:
        """Whether it has moved."""
        if end <= self.last.end:
            return False
        self.last = Reached(end, at)
        self._marks.append(self.last)
        if len(self._marks) > MARKS:
            self._known_from = self._marks.popleft().end
        return True

    def passed(self, offset: int) -> int | None:
        """When it passed `offset`; 0 where that was before what is kept, None if it has not."""
        if offset >= self.last.end:
            return None
        if offset < self._known_from:
            return 0
        return self._marks[bisect_right(self._marks, offset, key=_end)].at


@dataclass(slots=True, eq=False)
class Waiter:
    """Waits for the transaction at `offset` to reach `level`; `run` has decided it."""

    offset: int
    level: Level
    done: asyncio.Future[None]
    verdict: Verdict | None = UNDECIDED
    run: HeldRun | None = None

    def settle(self, verdict: Verdict | None, run: HeldRun | None) -> bool:
        """Take how it was decided; whether that is all there is to wait for."""
        self.verdict, self.run = verdict, run
        refused = verdict is not None and verdict.outcome is Outcome.REFUSED
        return refused or self.level is Level.DECIDED


@dataclass(slots=True, eq=False)
class ShardFlow:
    """A shard, folded from its topics; `recent` is shared with the others.

    `breaks`: the open ones. `compared` is only passed on once those before it are known.
    """

    shard: int
    recent: RecentRuns
    decided: Watermark
    decided_at: int = 0
    posted: Marks = field(default_factory=Marks)
    compared: Marks = field(default_factory=Marks)
    breaks: set[OpenBreak] = field(default_factory=set)
    _voided: dict[int, Voided] = field(default_factory=dict)
    _undecided: list[Waiter] = field(default_factory=list)
    _later: dict[Level, list[Waiter]] = field(
        default_factory=lambda: {Level.POSTED: [], Level.RECONCILED: []}
    )

    @classmethod
    def at(cls, shard: int, recent: RecentRuns, compared: Watermark) -> Self:
        """A shard of which no more is known than how far it is compared."""
        end = compared.end
        return cls(shard, recent, compared, posted=Marks(end), compared=Marks(end))

    def take_run(self, run: ValidRun, at: int) -> HeldRun:
        """The next valid run, which was appended at `at`; microseconds."""
        self.decided, self.decided_at = run.after, at
        held = HeldRun.of(run, at)
        self.recent.add(self.shard, held)
        if run.decision.voids:
            self._take_voids(run.voided)
        self._decide(held)
        self._pass_on()
        return held

    def _take_voids(self, voided: Iterable[Voided]) -> None:
        for void in voided:
            offset = void.transaction.offsets[0]
            self._voided[offset] = void
            for waiter in self._waiting():
                if waiter.offset == offset and waiter.verdict is not None:
                    waiter.verdict = waiter.verdict._replace(outcome=Outcome.VOIDED, void=void)
        while len(self._voided) > VOIDED:
            del self._voided[next(iter(self._voided))]

    def _decide(self, held: HeldRun) -> None:
        count = bisect_left(self._undecided, held.end, key=_offset)
        if not count:
            return
        due, self._undecided = self._undecided[:count], self._undecided[count:]
        verdicts = held.verdicts()
        for waiter in due:
            if waiter.settle(verdicts.of(waiter.offset), held):
                _finish(waiter)
            else:
                insort(self._later[waiter.level], waiter, key=_offset)

    def take_posted(self, end: int, at: int) -> None:
        """The general ledger has everything before `end`, which it published at `at`."""
        if self.posted.reach(end, at):
            self._pass_on()

    def take_compared(self, end: int, at: int) -> None:
        """Everything before `end` is compared, which was published at `at`."""
        if self.compared.reach(end, at):
            # What is compared is posted, whichever message came first.
            self.posted.reach(end, at)
            self._pass_on()

    def take_break(self, found: OpenBreak, *, is_open: bool) -> None:
        """A break was opened or closed."""
        if is_open:
            self.breaks.add(found)
        else:
            self.breaks.discard(found)

    def _pass_on(self) -> None:
        for level, marks in ((Level.POSTED, self.posted), (Level.RECONCILED, self.compared)):
            waiting = self._later[level]
            if not waiting or waiting[0].offset >= marks.last.end:
                continue
            count = bisect_left(waiting, marks.last.end, key=_offset)
            for waiter in waiting[:count]:
                _finish(waiter)
            del waiting[:count]

    def begin(self, offset: int, level: Level) -> Waiter:
        """Wait for a transaction; `end` must follow, whatever becomes of it."""
        waiter = Waiter(offset, level, asyncio.get_running_loop().create_future())
        if offset >= self.decided.end:
            insort(self._undecided, waiter, key=_offset)
            return waiter
        run = self.recent.at(self.shard, offset)
        verdict = self._verdict(offset, run.verdicts().of(offset)) if run else None
        if waiter.settle(verdict, run) or self._is_past(waiter):
            _finish(waiter)
        else:
            insort(self._later[level], waiter, key=_offset)
        return waiter

    def end(self, waiter: Waiter) -> None:
        """Nobody waits any more."""
        # Whoever is cancelled while he waits has cancelled the future already.
        if waiter.done.done() and not waiter.done.cancelled():
            return
        waiter.done.cancel()
        for waiting in (self._undecided, *self._later.values()):
            if waiter in waiting:
                waiting.remove(waiter)

    def release(self) -> None:
        """Nobody waits any longer: each goes on with what is known by now."""
        for waiter in self._waiting():
            _finish(waiter)

    def fate(self, waiter: Waiter) -> Fate:
        """What became of what was waited for, so far."""
        offset, verdict = waiter.offset, waiter.verdict
        found = Fate(self.shard, offset, verdict)
        if verdict is not None and verdict.outcome is Outcome.UNDECIDED:
            return found
        found = replace(
            found, posted_at=self.posted.passed(offset), compared_at=self.compared.passed(offset)
        )
        accepted = verdict is not None and verdict.outcome is Outcome.ACCEPTED
        if not self.breaks or not accepted or waiter.run is None:
            return found
        return replace(found, breaks=waiter.run.breaks_of(offset, self.breaks))

    def _verdict(self, offset: int, verdict: Verdict) -> Verdict:
        void = self._voided.get(offset)
        return verdict if void is None else verdict._replace(outcome=Outcome.VOIDED, void=void)

    def _is_past(self, waiter: Waiter) -> bool:
        marks = self.posted if waiter.level is Level.POSTED else self.compared
        return waiter.offset < marks.last.end

    def _waiting(self) -> list[Waiter]:
        return [*self._undecided, *self._later[Level.POSTED], *self._later[Level.RECONCILED]]

    @property
    def voided(self) -> Mapping[int, Voided]:
        """By offset, the transactions that were voided since this was started."""
        return self._voided

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting())


def _finish(waiter: Waiter) -> None:
    if not waiter.done.done():
        waiter.done.set_result(None)

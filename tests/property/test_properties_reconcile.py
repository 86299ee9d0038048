"""The comparison under any interleaving: both sides, their messages, their restarts, their lags.

The model is the system around `Meeting`. The decision log is a list of runs. The stream side folds
it run by run into a table that survives. The ledger side posts one run or several at once and says
so in a topic; it repeats itself, loses its place and catches up from what was compared. The
comparing side reads that topic in order, and loses everything but the table when it restarts.
"""

import sys
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from ledger.domain import reconcile
from ledger.domain.balance import Totals, totals_after
from ledger.domain.reconcile import Compared, Meeting, Said
from ledger.domain.run import Content, Stripe
from tests.builders import content, stripe

STRIPES = [stripe(f"assets:{name}") for name in "abcd"]
BIG = 2**62


class Run:
    """A run of the decision log: its content, where it ends, which stripes it touches."""

    def __init__(self, made: Content, end: int) -> None:
        self.content, self.end = made, end
        self.touched = set(made.stripes())


@st.composite
def transactions(draw: Callable[..., Any]) -> list[list[tuple[str, str, int]]]:
    """A few transactions over a few stripes; sometimes none, sometimes of great amounts."""
    made = []
    for _ in range(draw(st.integers(0, 3))):
        debit, credit = draw(st.lists(st.sampled_from(STRIPES), min_size=2, max_size=2))
        amount = draw(st.sampled_from([1, 2, BIG]))
        made.append([(*debit, amount), (*credit, -amount)])
    return made


class Ledger:
    """The general ledger's own rows, added up with arithmetic of its own."""

    def __init__(self) -> None:
        self.rows: dict[Stripe, list[int]] = {}
        self.position = 0

    def post(self, run: Run) -> None:
        legs = zip(run.content.offsets, run.content.legs(), strict=True)
        for offset, entries in legs:
            for account, currency, amount in entries:
                row = self.rows.setdefault(Stripe(account, currency), [0, 0, 0, -1])
                row[0] += max(amount, 0)
                row[1] -= min(amount, 0)
                row[2] += 1
                row[3] = offset
        self.position += 1

    def snapshot(self, since: int) -> dict[Stripe, Totals]:
        return {name: Totals(*row) for name, row in self.rows.items() if row[3] >= since}


class Comparison(RuleBasedStateMachine):
    """A shard of the ledger from the decision log to the comparison."""

    @initialize(limit=st.sampled_from([1, 2, 3, 4, 256]))
    def begin(self, limit: int) -> None:
        self.was, reconcile.MAX_WAITING = reconcile.MAX_WAITING, limit
        self.limit = limit
        self.log: list[Run] = []
        self.table: dict[Stripe, Totals] = {}
        self.history: list[dict[Stripe, Totals]] = [{}]
        self.ledger = Ledger()
        self.topic: list[tuple[int, Said]] = []
        self.read = 0
        self.mark = 0
        self.meeting = Meeting(0, 0)
        self.said_until = 0
        self.was_compared = [0]
        self.corrupted: dict[Stripe, int] = {}
        self.reported: set[Stripe] = set()

    def teardown(self) -> None:
        if hasattr(self, "was"):
            try:
                if sys.exc_info()[0] is None:
                    self.everything_comes_to_rest()
            finally:
                reconcile.MAX_WAITING = self.was

    # The decision log

    @rule(made=transactions(), hole=st.integers(0, 2))
    def decide(self, made: list[list[tuple[str, str, int]]], hole: int) -> None:
        start = self.end_at(len(self.log)) + hole
        numbered = [(start + index, legs) for index, legs in enumerate(made)]
        # Offsets may have holes after them too: a refusal, a duplicate, a control record.
        self.log.append(Run(content(*numbered), start + len(made)))

    def end_at(self, position: int) -> int:
        return self.log[position - 1].end if position else 0

    # The stream side

    @property
    def streamed(self) -> int:
        return len(self.history) - 1

    @precondition(lambda self: self.streamed < len(self.log))
    @rule()
    def fold(self) -> None:
        run = self.log[self.streamed]
        changed = totals_after(run.content, self.table)
        self.table |= changed
        self.history.append(dict(self.table))
        at = self.streamed
        self.meeting_said(self.meeting.hear_stream(Said(at, run.end, changed)))

    @rule(by=st.sampled_from(["replay", "catch-up"]))
    def restart_the_comparing_side(self, by: str) -> None:
        """Only the table, what was compared, and where to read from are left."""
        self.meeting = Meeting(self.meeting.compared, self.meeting.end)
        at, end = self.streamed, self.meeting.end
        rows = {name: row for name, row in self.table.items() if row.offset >= end}
        if by == "replay":
            self.read = self.mark
        else:
            self.read = len(self.topic)
            self.catch_up(self.meeting.compared)
        self.meeting_said(self.meeting.hear_stream(Said(at, self.end_at(at), rows)))

    @precondition(lambda self: self.read < len(self.topic))
    @rule(count=st.integers(1, 4))
    def hear(self, count: int) -> None:
        for after, said in self.topic[self.read : self.read + count]:
            self.read += 1
            self.meeting_said(self.meeting.hear_ledger(after, said))

    # The ledger's side

    @precondition(lambda self: self.ledger.position < len(self.log))
    @rule(count=st.integers(1, 6), says=st.sampled_from([True, True, False]))
    def post(self, count: int, says: bool) -> None:
        """`says` is false when it dies right after the database's commit."""
        after = self.ledger.position
        for run in self.log[after : after + count]:
            self.ledger.post(run)
        if says and self.said_until == after:
            self.say(after)
        elif says:
            self.catch_up(self.meeting.compared)

    @rule(made=transactions(), says=st.sampled_from([True, True, False]))
    def all_goes_well(self, made: list[list[tuple[str, str, int]]], says: bool) -> None:
        """A run decided, folded, posted and heard of, as on most days."""
        self.decide(made, 0)
        self.fold()
        self.post(1, says)
        if self.read < len(self.topic):
            self.hear(1)

    def say(self, after: int) -> None:
        rows = self.ledger.snapshot(self.end_at(after))
        at = self.ledger.position
        self.topic.append((after, Said(at, self.end_at(at), rows)))
        self.said_until = at

    def catch_up(self, compared: int) -> None:
        if self.ledger.position > compared:
            self.say(compared)

    @rule(choice=st.data())
    def restart_the_ledger_side(self, choice: st.DataObject) -> None:
        """It learns what was compared, or what was some time ago: progress may be read late."""
        self.catch_up(choice.draw(st.sampled_from(self.was_compared[-4:])))

    @precondition(lambda self: self.topic)
    @rule(choice=st.data())
    def repeat(self, choice: st.DataObject) -> None:
        self.topic.append(choice.draw(st.sampled_from(self.topic)))

    @precondition(lambda self: self.ledger.rows.keys() - self.corrupted.keys())
    @rule(choice=st.data(), part=st.integers(0, 3), by=st.sampled_from([1, -1, BIG]))
    def corrupt(self, choice: st.DataObject, part: int, by: int) -> None:
        """A number changes, or a whole row is lost."""
        sound = self.ledger.rows.keys() - self.corrupted.keys()
        name = choice.draw(st.sampled_from(sorted(sound)))
        if part == len(Totals._fields) - 1:
            del self.ledger.rows[name]
        else:
            self.ledger.rows[name][part] += by
        self.corrupted[name] = self.ledger.position

    # What must hold

    def meeting_said(self, met: Compared | None) -> None:
        if met is None:
            return
        before = self.was_compared[-1]
        self.was_compared.append(met.at)
        assert before < met.at <= min(self.streamed, self.ledger.position)
        assert met.end == self.end_at(met.at)
        assert (self.meeting.compared, self.meeting.end) == (met.at, met.end)
        # Exactly what the runs since the last comparison touched, as it stood at their end.
        touched = set().union(*(run.touched for run in self.log[before : met.at]))
        then = self.history[met.at]
        assert met.totals == {name: then[name] for name in touched}
        differing = {each.stripe for each in met.differences}
        assert len(differing) == len(met.differences)
        assert differing <= self.corrupted.keys(), "a false break"
        certain = {
            name
            for name, since in self.corrupted.items()
            if any(name in run.touched for run in self.log[max(before, since) : met.at])
        }
        assert certain <= differing, "a corrupted total was passed over"
        for each in met.differences:
            assert each.stream == then.get(each.stripe)
            assert each.stream != each.ledger
        self.reported |= differing
        waiting = [index for index, (_, said) in enumerate(self.topic) if said.at > met.at]
        self.mark = min(waiting, default=len(self.topic))

    @invariant()
    def both_sides_at_one_place_are_compared(self) -> None:
        if not hasattr(self, "was"):
            return
        assert len(self.meeting.stream) <= self.limit
        assert len(self.meeting.ledger) <= self.limit
        for line in (self.meeting.stream, self.meeting.ledger):
            places = [said.at for said in line]
            assert places == sorted(set(places))
        if self.meeting.ledger and self.meeting.stream:
            assert self.meeting.ledger[-1].at != self.meeting.stream[-1].at

    def everything_comes_to_rest(self) -> None:
        """Each side reaches the end and says so: then everything is compared."""
        while self.streamed < len(self.log):
            self.fold()
        if self.ledger.position < len(self.log):
            self.post(len(self.log), says=True)
        elif self.said_until < self.ledger.position:
            self.catch_up(self.meeting.compared)
        if self.read < len(self.topic):
            self.hear(len(self.topic))
        assert self.meeting.compared == len(self.log)
        assert not self.meeting.ledger
        late = {
            name
            for name, since in self.corrupted.items()
            if any(name in run.touched for run in self.log[since:])
        }
        assert late <= self.reported


TestComparison = Comparison.TestCase

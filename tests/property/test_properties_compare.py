"""The comparison under any interleaving: runs, postings, repetitions, restarts, lags.

The model is the system around `Comparison`. The decision log is a list of runs. The stream side
folds it run by run into a table that survives. The ledger side posts one run or several at once and
publishes their totals in a topic, whole or in parts; it repeats itself, loses its place and catches
up from what was compared. The comparing side reads that topic in order. A restart leaves it the
table and a mark, on its own disk or as the changelog has them, perhaps with rows of a predecessor
that was ahead.

Hypothesis drives it to find and shrink the odd case; seeded chance drives it much faster, so that
what only many steps bring about is found too: `SEEDS=100000 pytest -k whatever_the_seed`.
"""

import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.domain import compare
from ledger.domain.balance import NOTHING, Totals, totals_after
from ledger.domain.compare import (
    Compared,
    Comparison,
    Mark,
    Posted,
    Step,
    breaks_of,
    compare_again,
)
from ledger.domain.fold import NO_ROW, Row
from ledger.domain.run import Content, Stripe, Watermark
from ledger.errors import InvariantBroken
from tests.builders import content, stripe

STRIPES = [stripe(f"assets:{name}") for name in "abcd"]
BIG = 2**62
LIMITS = [1, 2, 3, 4, 5, 256]
SEEDS = int(os.environ.get("SEEDS", "1500"))
Legs = list[list[tuple[str, str, int]]]


class Run:
    """A run of the decision log: its content, where it ends, which stripes it touches."""

    def __init__(self, made: Content, end: int) -> None:
        self.content, self.end = made, end
        self.touched = set(made.stripes())


class Ledger:
    """The general ledger's own rows, added up with arithmetic of its own."""

    def __init__(self) -> None:
        self.rows: dict[Stripe, list[int]] = {}
        self.position = 0

    def post(self, run: Run) -> None:
        for offset, entries in zip(run.content.offsets, run.content.legs(), strict=True):
            for account, currency, amount in entries:
                row = self.rows.setdefault(Stripe(account, currency), [0, 0, 0, -1])
                row[0] += max(amount, 0)
                row[1] -= min(amount, 0)
                row[2] += 1
                row[3] = offset
        self.position += 1

    def snapshot(self, since: int) -> dict[Stripe, Totals]:
        return {name: Totals(*row) for name, row in self.rows.items() if row[3] >= since}


class World:
    """A shard from the decision log to the comparison; a `pick` is any number, taken modulo."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.log: list[Run] = []
        # The model: every total after each run of the log.
        self.model, self.history = Ledger(), [dict[Stripe, Totals]()]
        self.table: dict[Stripe, Totals] = {}
        self.broken: set[Stripe] = set()
        self.mark = self.mark_elsewhere = Mark()
        self.comparison = Comparison(Mark(), {})
        self.ledger = Ledger()
        self.topic: list[Posted] = []
        self.whole: list[Posted] = []
        self.published_until = 0
        self.was_compared = [0]
        self.corrupted: dict[Stripe, int] = {}
        self.reported: set[Stripe] = set()

    # The decision log

    def decide(self, made: Legs, hole: int) -> None:
        # Offsets may have holes: a refusal, a duplicate, a control record; some runs are empty.
        start = self.after(len(self.log)).end + hole
        numbered = [(start + index, legs) for index, legs in enumerate(made)]
        self.log.append(Run(content(*numbered), start + len(made)))
        self.model.post(self.log[-1])
        self.history.append(self.model.snapshot(-1))

    def after(self, position: int) -> Watermark:
        """The watermark at `position` of the decision log."""
        if not position:
            return Watermark()
        return Watermark(position, self.log[position - 1].end, b"%32d" % position)

    # The stream side

    @property
    def streamed(self) -> int:
        return self.mark.stream.decisions_offset

    @property
    def compared(self) -> int:
        return self.mark.compared.decisions_offset

    def rows(self, stripes: Sequence[Stripe]) -> list[Row]:
        return [
            Row(2, self.table[each], NOTHING, each in self.broken) if each in self.table else NO_ROW
            for each in stripes
        ]

    def fold(self) -> None:
        if self.streamed == len(self.log):
            return
        changed = totals_after(self.log[self.streamed].content, self.table)
        self.table |= changed
        self.mark = self.mark._replace(stream=self.after(self.streamed + 1))
        self.mark_elsewhere = self.mark
        self.take(self.comparison.add_run(self.mark.stream, changed))
        self.perhaps_caught_up()

    def perhaps_caught_up(self) -> None:
        if self.streamed == len(self.log):
            self.comparison.caught_up()

    def restart_the_comparing_side(
        self, *, replay: bool, here: bool = True, ahead: int = 0, pick: int = 0
    ) -> None:
        """Only the table and the mark are left: those `here`, or those that the changelog has.

        Of the rows that the `ahead` runs after the mark touch some have been written, by `pick`.
        """
        self.mark = self.mark if here else self.mark_elsewhere
        until = min(self.streamed + ahead, len(self.log))
        touched = set().union(*(run.touched for run in self.log[self.streamed : until]))
        for place, name in enumerate(sorted(touched)):
            if (
                pick >> place & 1
                and self.table.get(name, NOTHING).offset < self.history[until][name].offset
            ):
                self.table[name] = self.history[until][name]
        end = self.mark.compared.end
        beyond = [name for name, row in self.table.items() if row.offset >= end]
        self.comparison = Comparison(self.mark, dict(zip(beyond, self.rows(beyond), strict=True)))
        if not replay:
            self.comparison.reach(len(self.topic))
            self.catch_up(self.compared)
        self.perhaps_caught_up()

    def read_on(self, count: int) -> None:
        """As the stage does it."""
        position = self.comparison.position
        for number, part in enumerate(self.topic[position : position + count], position + 1):
            posted = self.comparison.whole(part)
            if posted is not None:
                is_repetition = self.comparison.is_repetition(posted)
                self.take(self.comparison.add_posted(posted))
                if is_repetition:
                    self.take_again(posted)
            self.comparison.reach(number)

    # The ledger's side

    def post(self, count: int, *, publishes: bool, parts: int = 1) -> None:
        """`publishes` is false when it dies right after the database's commit."""
        after = self.ledger.position
        for run in self.log[after : after + count]:
            self.ledger.post(run)
        if publishes and self.published_until == after < self.ledger.position:
            self.publish(after, parts)
        elif publishes:
            self.catch_up(self.compared, parts)

    def publish(self, after: int, parts: int = 1, *, whole: bool = True) -> None:
        """In parts; not `whole` when it dies before the last one.

        Between two parts a message may come late that a worker published which was replaced.
        """
        at = self.after(self.ledger.position)
        name = after, at.decisions_offset, at.end, at.digest
        rows = list(self.ledger.snapshot(self.after(after).end).items())
        late = self.whole[-1:]
        for part in range(parts if whole else parts - 1):
            more = part < parts - 1
            self.append(Posted(0, *name, dict(rows[part::parts]), more))
            if more and late:
                self.append(late[0])
        if whole and parts == 1:
            self.whole.append(self.topic[-1])
        if whole:
            self.published_until = self.ledger.position

    def append(self, posted: Posted) -> None:
        self.topic.append(posted._replace(next_offset=len(self.topic) + 1))

    def catch_up(self, compared: int, parts: int = 1, *, whole: bool = True) -> None:
        if self.ledger.position > compared:
            self.publish(compared, parts, whole=whole)

    def restart_the_ledger_side(self, pick: int) -> None:
        """It learns what was compared, or what was some time ago: progress may be read late."""
        some = self.was_compared[-4:]
        compared, parts = some[pick % len(some)], 1 + pick % 3
        # Before that it may have died while it did the same.
        self.catch_up(compared, parts, whole=False)
        self.catch_up(compared, parts)

    def repeat(self, pick: int) -> None:
        """A message comes twice; of one in parts that part alone, which changes nothing."""
        if self.topic:
            self.append(self.topic[pick % len(self.topic)])

    def corrupt(self, pick: int, part: int, by: int) -> None:
        """A number changes, or a whole row is lost."""
        sound = sorted(self.ledger.rows.keys() - self.corrupted.keys())
        if not sound:
            return
        name = sound[pick % len(sound)]
        if part == len(Totals._fields) - 1:
            del self.ledger.rows[name]
        else:
            self.ledger.rows[name][part] += by
        self.corrupted[name] = self.ledger.position

    # What must hold

    def take(self, step: Step | None) -> None:
        if step is None:
            return
        before, met = self.compared, step.compared
        assert before < met.at <= min(self.streamed, self.ledger.position)
        assert step.watermark == self.after(met.at)
        assert met.end == step.watermark.end
        # Exactly what the runs since the last comparison touched, as it stood at their end.
        touched = set().union(*(run.touched for run in self.log[before : met.at]))
        then = self.history[met.at]
        assert met.totals == {name: then[name] for name in touched}
        differing = {each.stripe for each in met.differences}
        assert len(differing) == len(met.differences)
        assert differing <= self.corrupted.keys(), "a false break"
        assert self.certain(before, met.at) <= differing, "a corrupted total was passed over"
        for each in met.differences:
            assert each.stream == then.get(each.stripe)
            assert each.stream != each.ledger
        # Whatever waits is read again after a restart.
        assert self.mark.posted <= step.posted <= self.comparison.position + 1
        self.mark = self.mark._replace(compared=step.watermark, posted=step.posted)
        self.was_compared.append(met.at)
        self.change_breaks(met)

    def take_again(self, posted: Posted) -> None:
        found = compare_again(posted, self.mark, self.rows)
        assert {each.stripe for each in found.differences} <= self.corrupted.keys()
        assert found.totals.items() <= self.table.items()
        self.change_breaks(found)

    def change_breaks(self, met: Compared) -> None:
        breaks = breaks_of(met, self.rows)
        differing = {each.stripe for each in met.differences}
        expected = self.broken - met.totals.keys() | differing
        changed = {name: row.broken for name, row in breaks.rows.items()}
        assert changed == {name: name in differing for name in expected ^ self.broken}
        assert breaks.opened == len(expected) - len(self.broken)
        self.broken = expected
        self.reported |= differing
        self.mark = self.mark._replace(breaks=self.mark.breaks + breaks.opened)
        assert self.mark.breaks == len(self.broken)
        if changed:
            self.mark_elsewhere = self.mark

    def certain(self, start: int, end: int) -> set[Stripe]:
        """Corrupted stripes that a run of [start, end) touched when they were."""
        return {
            name
            for name, since in self.corrupted.items()
            if any(name in run.touched for run in self.log[max(start, since) : end])
        }

    def check(self) -> None:
        sides = self.comparison._sides
        for line in (sides.stream, sides.ledger):
            assert len(line) <= self.limit
            places = [side.at for side in line]
            assert places == sorted(set(places))
        if sides.ledger and sides.stream:
            assert sides.ledger[-1].at != sides.stream[-1].at

    def finish(self) -> None:
        """Each side reaches the end: then everything is compared."""
        while self.streamed < len(self.log):
            self.fold()
        if self.ledger.position < len(self.log):
            self.post(len(self.log), publishes=True)
        if self.published_until < self.ledger.position:
            self.catch_up(self.compared)
        self.read_on(len(self.topic))
        assert self.compared == len(self.log)
        assert not self.comparison._sides.ledger
        assert self.certain(0, len(self.log)) <= self.reported


@contextmanager
def waiting_at_most(limit: int) -> Iterator[None]:
    """Lines that thin out early."""
    was, compare.MAX_WAITING = compare.MAX_WAITING, limit
    try:
        yield
    finally:
        compare.MAX_WAITING = was


@st.composite
def transactions(draw: Callable[..., Any]) -> Legs:
    """A few transactions over a few stripes; sometimes none, sometimes of great amounts."""
    made = []
    for _ in range(draw(st.integers(0, 3))):
        debit, credit = draw(st.lists(st.sampled_from(STRIPES), min_size=2, max_size=2))
        amount = draw(st.sampled_from([1, 2, BIG]))
        made.append([(*debit, amount), (*credit, -amount)])
    return made


PICK = st.integers(0, 2**16)


class Interleaving(RuleBasedStateMachine):
    """The world as Hypothesis drives it."""

    world: World | None = None

    @initialize(limit=st.sampled_from(LIMITS))
    def begin(self, limit: int) -> None:
        self.was, compare.MAX_WAITING = compare.MAX_WAITING, limit
        self.world = World(limit)

    def teardown(self) -> None:
        if self.world is None:
            return
        try:
            if sys.exc_info()[0] is None:
                self.world.finish()
        finally:
            compare.MAX_WAITING = self.was

    @rule(made=transactions(), hole=st.integers(0, 2))
    def decide(self, made: Legs, hole: int) -> None:
        self.world.decide(made, hole)

    @precondition(lambda self: self.world.streamed < len(self.world.log))
    @rule()
    def fold(self) -> None:
        self.world.fold()

    @rule(replay=st.booleans(), here=st.booleans(), ahead=st.integers(0, 3), pick=PICK)
    def restart_the_comparing_side(self, replay: bool, here: bool, ahead: int, pick: int) -> None:
        self.world.restart_the_comparing_side(replay=replay, here=here, ahead=ahead, pick=pick)

    @precondition(lambda self: self.world.comparison.position < len(self.world.topic))
    @rule(count=st.integers(1, 4))
    def read_on(self, count: int) -> None:
        self.world.read_on(count)

    @rule(
        count=st.integers(1, 6),
        publishes=st.sampled_from([True, True, False]),
        parts=st.integers(1, 3),
    )
    def post(self, count: int, publishes: bool, parts: int) -> None:
        self.world.post(count, publishes=publishes, parts=parts)

    @rule(pick=PICK)
    def restart_the_ledger_side(self, pick: int) -> None:
        self.world.restart_the_ledger_side(pick)

    @rule(pick=PICK)
    def repeat(self, pick: int) -> None:
        self.world.repeat(pick)

    @rule(pick=PICK, part=st.integers(0, 3), by=st.sampled_from([1, -1, BIG]))
    def corrupt(self, pick: int, part: int, by: int) -> None:
        self.world.corrupt(pick, part, by)

    @invariant()
    def holds(self) -> None:
        if self.world is not None:
            self.world.check()


TestInterleaving = Interleaving.TestCase


def legs_by(chance: random.Random) -> Legs:
    made = []
    for _ in range(chance.choice([0, 1, 1, 2, 3])):
        amount = chance.choice([1, 2, BIG])
        made.append([(*chance.choice(STRIPES), amount), (*chance.choice(STRIPES), -amount)])
    return made


def drive(seed: int) -> None:
    """A world of that seed, from nothing to its end; the speed of each side and deaths vary."""
    chance = random.Random(seed)
    world = World(chance.choice(LIMITS))
    pick = lambda: chance.randrange(2**16)  # noqa: E731
    steps: list[Callable[[], None]] = [
        lambda: world.decide(legs_by(chance), chance.choice([0, 0, 1])),
        world.fold,
        lambda: world.post(
            chance.choice([1, 1, 2, 5]),
            publishes=chance.random() < 0.8,
            parts=chance.choice([1, 1, 2, 3]),
        ),
        lambda: world.read_on(chance.choice([1, 1, 2, 8])),
        lambda: world.restart_the_comparing_side(
            replay=chance.random() < 0.5,
            here=chance.random() < 0.5,
            ahead=chance.choice([0, 0, 1, 3]),
            pick=pick(),
        ),
        lambda: world.restart_the_ledger_side(pick()),
        lambda: world.repeat(pick()),
        lambda: world.corrupt(pick(), chance.randrange(4), chance.choice([1, -1, BIG])),
    ]
    weights = [chance.choice([1, 3, 8]) for _ in range(4)] + [
        chance.choice([0, 0.3, 1]) for _ in range(3)
    ]
    weights.append(chance.choice([0, 0, 0.2]))
    with waiting_at_most(world.limit):
        for step in chance.choices(steps, weights, k=chance.choice([20, 60, 150])):
            step()
            world.check()
        world.finish()


def test_no_false_and_no_missed_break_whatever_the_seed() -> None:
    for seed in range(SEEDS):
        try:
            drive(seed)
        except (AssertionError, InvariantBroken) as error:
            pytest.fail(f"seed {seed}: {error}")

"""The comparison under any interleaving: both sides, their messages, their restarts, their lags.

The model is the system around `Sides`. The decision log is a list of runs. The stream side folds
it run by run into a table that survives. The ledger side posts one run or several at once and
publishes their totals in a topic; it repeats itself, loses its place and catches up from what was
compared. The comparing side reads that topic in order, and a restart leaves it only the table.

Hypothesis drives it to find and shrink the odd case; seeded chance drives it much faster, so that
what only many steps bring about is found too: `SEEDS=100000 pytest -k whatever_the_seed`.
"""

import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.domain import compare
from ledger.domain.balance import Totals, totals_after
from ledger.domain.compare import Compared, Side, Sides
from ledger.domain.run import Content, Stripe
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
        self.table: dict[Stripe, Totals] = {}
        self.history: list[dict[Stripe, Totals]] = [{}]
        self.ledger = Ledger()
        self.topic: list[tuple[int, Side]] = []
        self.read = self.mark = self.published_until = 0
        self.sides = Sides(0, 0)
        self.was_compared = [0]
        self.corrupted: dict[Stripe, int] = {}
        self.reported: set[Stripe] = set()

    # The decision log

    def decide(self, made: Legs, hole: int) -> None:
        # Offsets may have holes: a refusal, a duplicate, a control record; some runs are empty.
        start = self.end_at(len(self.log)) + hole
        numbered = [(start + index, legs) for index, legs in enumerate(made)]
        self.log.append(Run(content(*numbered), start + len(made)))

    def end_at(self, position: int) -> int:
        return self.log[position - 1].end if position else 0

    # The stream side

    @property
    def streamed(self) -> int:
        return len(self.history) - 1

    def fold(self) -> None:
        if self.streamed == len(self.log):
            return
        run = self.log[self.streamed]
        changed = totals_after(run.content, self.table)
        self.table |= changed
        self.history.append(dict(self.table))
        self.check_compared(self.sides.add_stream(Side(self.streamed, run.end, changed)))

    def restart_the_comparing_side(self, *, replay: bool) -> None:
        """Only the table, what was compared, and where to read from are left."""
        self.sides = Sides(self.sides.compared, self.sides.end)
        at, end = self.streamed, self.sides.end
        rows = {name: row for name, row in self.table.items() if row.offset >= end}
        if replay:
            self.read = self.mark
        else:
            self.read = len(self.topic)
            self.catch_up(self.sides.compared)
        self.check_compared(self.sides.add_stream(Side(at, self.end_at(at), rows)))

    def read_on(self, count: int) -> None:
        for after, side in self.topic[self.read : self.read + count]:
            self.read += 1
            self.check_compared(self.sides.add_ledger(after, side))

    # The ledger's side

    def post(self, count: int, *, publishes: bool) -> None:
        """`publishes` is false when it dies right after the database's commit."""
        after = self.ledger.position
        for run in self.log[after : after + count]:
            self.ledger.post(run)
        if publishes and self.published_until == after < self.ledger.position:
            self.publish(after)
        elif publishes:
            self.catch_up(self.sides.compared)

    def publish(self, after: int) -> None:
        rows = self.ledger.snapshot(self.end_at(after))
        at = self.ledger.position
        self.topic.append((after, Side(at, self.end_at(at), rows)))
        self.published_until = at

    def catch_up(self, compared: int) -> None:
        if self.ledger.position > compared:
            self.publish(compared)

    def restart_the_ledger_side(self, pick: int) -> None:
        """It learns what was compared, or what was some time ago: progress may be read late."""
        some = self.was_compared[-4:]
        self.catch_up(some[pick % len(some)])

    def repeat(self, pick: int) -> None:
        if self.topic:
            self.topic.append(self.topic[pick % len(self.topic)])

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

    def check_compared(self, compared: Compared | None) -> None:
        if compared is None:
            return
        before = self.was_compared[-1]
        self.was_compared.append(compared.at)
        assert before < compared.at <= min(self.streamed, self.ledger.position)
        assert compared.end == self.end_at(compared.at)
        assert (self.sides.compared, self.sides.end) == (compared.at, compared.end)
        # Exactly what the runs since the last comparison touched, as it stood at their end.
        touched = set().union(*(run.touched for run in self.log[before : compared.at]))
        then = self.history[compared.at]
        assert compared.totals == {name: then[name] for name in touched}
        differing = {each.stripe for each in compared.differences}
        assert len(differing) == len(compared.differences)
        assert differing <= self.corrupted.keys(), "a false break"
        assert self.certain(before, compared.at) <= differing, "a corrupted total was passed over"
        for each in compared.differences:
            assert each.stream == then.get(each.stripe)
            assert each.stream != each.ledger
        self.reported |= differing
        waiting = [index for index, (_, side) in enumerate(self.topic) if side.at > compared.at]
        self.mark = min(waiting, default=len(self.topic))

    def certain(self, start: int, end: int) -> set[Stripe]:
        """Corrupted stripes that a run of [start, end) touched when they were."""
        return {
            name
            for name, since in self.corrupted.items()
            if any(name in run.touched for run in self.log[max(start, since) : end])
        }

    def check(self) -> None:
        for line in (self.sides.stream, self.sides.ledger):
            assert len(line) <= self.limit
            places = [side.at for side in line]
            assert places == sorted(set(places))
        if self.sides.ledger and self.sides.stream:
            assert self.sides.ledger[-1].at != self.sides.stream[-1].at

    def finish(self) -> None:
        """Each side reaches the end and publishes it: then everything is compared."""
        while self.streamed < len(self.log):
            self.fold()
        if self.ledger.position < len(self.log):
            self.post(len(self.log), publishes=True)
        if self.published_until < self.ledger.position:
            self.catch_up(self.sides.compared)
        self.read_on(len(self.topic))
        assert self.sides.compared == len(self.log)
        assert not self.sides.ledger
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

    @rule(replay=st.booleans())
    def restart_the_comparing_side(self, replay: bool) -> None:
        self.world.restart_the_comparing_side(replay=replay)

    @precondition(lambda self: self.world.read < len(self.world.topic))
    @rule(count=st.integers(1, 4))
    def read_on(self, count: int) -> None:
        self.world.read_on(count)

    @rule(count=st.integers(1, 6), publishes=st.sampled_from([True, True, False]))
    def post(self, count: int, publishes: bool) -> None:
        self.world.post(count, publishes=publishes)

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
    """A world of that seed, from nothing to its end; which side is fast and how often it dies vary."""
    chance = random.Random(seed)
    world = World(chance.choice(LIMITS))
    pick = lambda: chance.randrange(2**16)  # noqa: E731
    steps: list[Callable[[], None]] = [
        lambda: world.decide(legs_by(chance), chance.choice([0, 0, 1])),
        world.fold,
        lambda: world.post(chance.choice([1, 1, 2, 5]), publishes=chance.random() < 0.8),
        lambda: world.read_on(chance.choice([1, 1, 2, 8])),
        lambda: world.restart_the_comparing_side(replay=chance.random() < 0.5),
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
        except (AssertionError, ValueError) as error:
            pytest.fail(f"seed {seed}: {error}")

"""The sums of accounts: the same balances whatever comes first, is repeated, replaced or lost.

The model is the system around `Sums`. Two shards are folded into rows; whoever owns a shard appends
the rows of some runs to the topic, and hands them to the sums at once where it is the same process.
An owner that takes over appends again what is not compared, and one that was replaced what is old;
somebody else's garbage has the key of a row; compaction keeps the last record of each key. The sums
read the topic, publish what is due, and write accounts to a store now and then. Their process dies
at any moment, and starts again from the store. More: `SEEDS=100000 pytest -k balances_whatever`.
"""

import os
import random
from collections.abc import Callable, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain import sums as module
from ledger.domain.balance import NOTHING, AccountStripes, Balance, Totals
from ledger.domain.fold import NO_ROW, Row
from ledger.domain.run import Stripe
from ledger.domain.sums import Incoming, Sums
from tests.builders import stripe

ACCOUNTS = [stripe(f"assets:{name}") for name in "abc"]
SHARDS = range(2)
SEEDS = int(os.environ.get("SEEDS", "300"))
Key = tuple[Stripe, int]


class Dies(Exception):
    """The process of the sums ends here."""


class Shard:
    """What one shard decides: its rows now, and every total that a row has had."""

    def __init__(self) -> None:
        self.rows: dict[Stripe, Row] = {}
        self.history: dict[Stripe, list[Row]] = {each: [] for each in ACCOUNTS}
        self.end = self.compared = 0
        self.ends = [0]

    def fold(self, chance: random.Random) -> dict[Stripe, Row]:
        """The rows that one more run touches."""
        changed = {}
        for name in chance.sample(ACCOUNTS, chance.choice((1, 1, 2, 3))):
            self.end += chance.choice((1, 1, 2))
            row = self.rows.get(name, NO_ROW)
            debits, credits, entries, _ = live = row.live
            by = chance.choice((1, 2, 2**64))
            live = Totals(debits + by, credits + by // 2, entries + 1, self.end - 1)
            posted = row.live if row.live.offset < self.compared else row.posted
            changed[name] = Row(2, live, posted, broken=False)
            self.history[name].append(changed[name])
        self.rows |= changed
        self.ends.append(self.end)
        return changed

    def uncompared(self) -> dict[Stripe, Row]:
        return {name: row for name, row in self.rows.items() if row.live.offset >= self.compared}

    def last_compared(self, name: Stripe) -> Totals:
        """The newest total of the stripe that is compared."""
        live = [row.live for row in self.history[name] if row.live.offset < self.compared]
        return live[-1] if live else NOTHING


class Store:
    """Accounts on disk, with the positions where they stand."""

    def __init__(self) -> None:
        self.kept: dict[Stripe, bytes] = {}
        self.positions = 0, 0

    def accounts(self, stripes: Sequence[Stripe]) -> list[AccountStripes | None]:
        kept = [self.kept.get(each) for each in stripes]
        return [None if each is None else AccountStripes.decode(each) for each in kept]


class World:
    """One partition; every choice is of `chance`."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.shards = [Shard() for _ in SHARDS]
        # Offset: (key, number of the append, row; None for garbage).
        self.topic: dict[int, tuple[Key, int, Row | None]] = {}
        self.end = self.appends = 0
        self.now, self.mortality = 0.0, 0.1
        self.published: dict[Stripe, Balance] = {}
        self.lately: dict[Stripe, Balance] = {}
        self.store, self.unwritten, self.is_restoring = Store(), set[Stripe](), False
        self.sums = Sums(self.store.accounts, 0, 0)

    # The topic.

    def append(self, shard: int, rows: dict[Stripe, Row | None]) -> int:
        first, self.appends = self.end, self.appends + 1
        for name, row in rows.items():
            self.topic[self.end] = (name, shard), self.appends, row
            self.end += 1
        return first

    def fold(self) -> None:
        """A portion of runs, whose rows are appended together."""
        shard, rows = self.chance.choice(SHARDS), dict[Stripe, Row]()
        for _ in range(self.chance.choice((1, 1, 3))):
            rows |= self.shards[shard].fold(self.chance)
        self.append_here_or_elsewhere(shard, rows)

    def take_over(self) -> None:
        """A new owner appends again what is not compared."""
        shard = self.chance.choice(SHARDS)
        self.append_here_or_elsewhere(shard, self.shards[shard].uncompared())

    def append_here_or_elsewhere(self, shard: int, rows: dict[Stripe, Row]) -> None:
        first = self.append(shard, dict(rows))
        if rows and self.chance.random() < 0.5:
            self.sums.receive(first, shard, rows, self.now)

    def append_what_is_old(self) -> None:
        """A worker that was replaced still gets something through."""
        shard = self.chance.choice(SHARDS)
        for name, rows in self.shards[shard].history.items():
            if rows and self.chance.random() < 0.5:
                self.append(shard, {name: self.chance.choice(rows)})

    def append_garbage(self) -> None:
        self.append(self.chance.choice(SHARDS), {self.chance.choice(ACCOUNTS): None})

    def compact(self) -> None:
        """Up to some offset what is behind a newer row of its key goes.

        A newest row goes only once it was published again behind garbage or an older one.
        """
        until = self.chance.randint(0, self.end)
        newest: dict[Key, int] = {}
        for offset in sorted(self.topic, reverse=True):
            key, _, row = self.topic[offset]
            live = -1 if row is None else row.live.offset
            if offset < until and live <= newest.get(key, -2):
                del self.topic[offset]
            elif offset < until:
                newest[key] = max(live, newest.get(key, -2))

    # Comparing.

    def compare(self) -> None:
        """A shard gets to the end of a run."""
        shard = self.chance.choice(self.shards)
        shard.compared = max(self.chance.choice(shard.ends), shard.compared)

    def compared(self, shard: int) -> int:
        return self.shards[shard].compared

    # The process of the sums.

    def read(self, count: int | None = None) -> None:
        """The next records, as the stage reads them."""
        places = sorted(place for place in self.topic if place >= self.sums.read)[:count]
        self.sums.add(self.incoming(places), self.now)
        self.sums.reach(places[-1] + 1 if places else self.sums.read)

    def incoming(self, places: Iterable[int]) -> Iterable[Incoming]:
        for place in places:
            (name, shard), run, row = self.topic[place]
            if not self.sums.is_new(place):
                assert row is not None, "garbage was taken for what was received"
            elif row is None:
                self.sums.add_foreign(name, shard)
            else:
                yield Incoming(place, shard, run, name, row)

    def read_some(self) -> None:
        self.read(self.chance.choice((1, 2, 5)))

    def skip(self) -> None:
        if self.sums.goes_on_received():
            self.sums.skip_received()

    def note_late(self) -> None:
        self.now += self.chance.random()
        self.sums.note_late(self.now, 0.1)

    def publish(self) -> None:
        """As the stage does it."""
        self.sums.reconcile(self.compared, self.now)
        self.publish_due()

    def publish_due(self) -> None:
        due, positions = self.sums.take_due(), (self.sums.reconciled(), self.sums.read)
        self.may_die()
        for name, shard in sorted(due.stale):
            self.append(shard, {name: self.sums.row(name, shard)})
            self.may_die()
        for name in sorted(due.changed | due.late):
            self.publish_balance(name)
            self.may_die()
        self.unwritten |= due.changed
        if self.chance.random() < 0.3:
            self.sums.forget_received()
            if not self.sums.is_changed:
                self.write(self.unwritten)
                self.store.positions = positions
                self.unwritten.clear()
        if self.chance.random() < 0.5:
            self.sums.forget(self.unwritten)

    def publish_balance(self, name: Stripe) -> None:
        balance = self.sums.balance(name)
        before = self.lately.get(name, balance)
        assert balance == before or balance.version > before.version, "its version did not rise"
        self.lately[name] = balance
        # A reader takes the highest, for who starts anew may begin below what was published.
        highest = self.published.get(name, balance)
        self.published[name] = max(balance, highest, key=lambda each: each.version)

    def write(self, names: Iterable[Stripe]) -> None:
        self.store.kept |= {name: self.sums.account(name, 0).encode() for name in names}

    def may_die(self) -> None:
        if self.chance.random() < self.mortality:
            raise Dies

    def restart(self) -> None:
        """Read to the end silently, then publish; for long topics by way of the store."""
        self.unwritten.clear()
        self.lately.clear()
        self.sums = Sums(self.store.accounts, *self.store.positions)
        self.is_restoring = restoring = self.is_restoring or self.chance.random() < 0.3
        while self.sums.read < max(self.topic, default=-1) + 1:
            self.read(3)
            self.sums.reconcile(self.compared, self.now)
            if restoring:
                self.write(self.sums.take_changed())
                self.sums.forget(set())
        self.sums.reach(self.end)
        if restoring:
            for name in sorted(self.store.kept):
                self.publish_balance(name)
                self.may_die()
        self.publish_due()
        if restoring:
            self.store.positions = self.sums.reconciled(), self.sums.read
            self.is_restoring = False

    def restart_until_it_lives(self) -> None:
        mortality = self.mortality
        while True:
            try:
                self.restart()
                break
            except Dies:
                self.mortality -= mortality / 4
        self.mortality = mortality

    # What must hold.

    def check(self) -> None:
        sums = self.sums
        assert sums.reconciled() <= sums.read
        for (name, number), account in self.accounts().items():
            shard = self.shards[number]
            posted, latest = account.posted(number), account.latest(number)
            assert posted.offset <= shard.last_compared(name).offset, "more than was compared"
            known = [NOTHING, *(each.live for each in shard.history[name])]
            assert posted in known
            assert latest in known
        self.check_position(sums.reconciled())

    def accounts(self) -> dict[Key, AccountStripes]:
        """Of memory and the store; not asked of the sums, which would keep them."""
        kept = {name: AccountStripes.decode(each) for name, each in self.store.kept.items()}
        kept |= self.sums._accounts
        return {(name, shard): account for name, account in kept.items() for shard in SHARDS}

    def check_position(self, position: int) -> None:
        """Who reads on from there, with what is reconciled, finds everything else."""
        beyond, accounts = dict[Key, int](), self.accounts()
        for offset, (key, _, row) in self.topic.items():
            if row is not None and offset >= position:
                beyond[key] = max(row.live.offset, beyond.get(key, -1))
        for offset, (key, _, row) in self.topic.items():
            if row is not None and offset < position:
                reconciled = accounts[key].posted(key[1]).offset
                assert row.live.offset <= max(reconciled, beyond.get(key, -1)), "lost"

    def finish(self) -> None:
        """Everything is compared, read and published: what is left is the sum of the shards."""
        for shard in self.shards:
            shard.compared = shard.end
        self.mortality = 0.0
        self.publish()
        for _ in range(5):
            self.read()
            self.publish()
        assert self.sums.read == self.end, "it publishes without end"
        assert not self.sums.has_work(self.compared)
        assert self.sums.reconciled() == self.sums.read
        for name in ACCOUNTS:
            rows = [shard.rows[name].live for shard in self.shards if name in shard.rows]
            if rows:
                balance = self.published[name]
                assert (balance.status, balance.scale) == ("reconciled", 2)
                assert balance.entries == sum(row.entries for row in rows)
                debits, credits = (sum(row[side] for row in rows) for side in (0, 1))
                shown = int(balance.debits.replace(".", "")), int(balance.credits.replace(".", ""))
                assert shown == (debits, credits)
        last = {key: row for key, _, row in self.topic.values()}
        for (name, number), row in last.items():
            newest = self.shards[number].rows.get(name)
            assert newest is None or (row is not None and row.live == newest.live), "not the last"


def drive(chance: random.Random, count: int) -> None:
    """A world of that many steps: what is frequent and what is rare varies."""
    world = World(chance)
    steps: list[Callable[[], None]] = [
        world.fold, world.read_some, world.compare, world.publish, world.note_late, world.skip,
        world.take_over, world.append_what_is_old, world.append_garbage, world.compact,
        world.restart,
    ]  # fmt: skip
    weights = [chance.choice([1, 3, 8]) for _ in range(6)]
    weights += [chance.choice([0, 0.3, 1]) for _ in range(5)]
    for step in chance.choices(steps, weights, k=count):
        try:
            step()
        except Dies:
            world.restart_until_it_lives()
        world.check()
    world.finish()


@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_balances_are_the_sum_of_what_is_compared(chance: random.Random, count: int) -> None:
    drive(chance, count)


@pytest.mark.parametrize("limit", [1, 3, 50_000])
def test_balances_whatever_the_seed(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """`limit`: totals of a shard that wait one by one."""
    monkeypatch.setattr(module, "MAX_AHEAD", limit)
    for seed in range(SEEDS):
        try:
            drive(random.Random(seed), 40)
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {error}")

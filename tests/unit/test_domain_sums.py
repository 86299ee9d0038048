"""What accounts add up to and when it is published, case by case; tests/property has any order."""

from collections.abc import Iterable, Sequence

import pytest

from ledger.domain import sums as module
from ledger.domain.balance import NOTHING, AccountStripes, Totals
from ledger.domain.fold import Row
from ledger.domain.run import Stripe
from ledger.domain.sums import Backlog, Batch, Due, Incoming, Sums
from tests.builders import stripe, totals

A, B, C = stripe("assets:a"), stripe("assets:b"), stripe("assets:c")
LATER = 100.0
"""Seconds: longer than anything usually waits."""


def total(offset: int) -> Totals:
    return totals(offset, 0, offset, offset)


def row(offset: int, posted: int | None = None, *, broken: bool = False) -> Row:
    """As decided at `offset`; compared at `posted`, or never."""
    return Row(2, total(offset), NOTHING if posted is None else total(posted), broken)


# A shard's backlog.


def batch(place: int, offset: int, name: Stripe = A, since: float = 0.0) -> Batch:
    return Batch(place, since, offset + 1, {name: total(offset)})


def backlog(*batches: Batch) -> Backlog:
    made = Backlog()
    for each in batches:
        made.add(each)
    return made


def places(batches: Iterable[Batch]) -> list[int]:
    return [each.place for each in batches]


def test_what_is_compared_leaves_the_backlog() -> None:
    waiting = backlog(batch(0, 3), batch(1, 4, B), batch(2, 9))
    assert not waiting.is_due(3)
    assert waiting.is_due(4)
    assert places(waiting.take_compared(5, LATER)) == [0, 1]
    assert places(waiting.batches) == [2]
    assert not waiting.is_due(9)
    assert not backlog().is_due(9)


def test_the_rows_of_a_run_wait_until_all_of_it_is_compared() -> None:
    run = Batch(0, 10.0, 10, {A: total(3), B: total(9)})
    waiting = backlog(run, batch(2, 12, since=10.5))
    assert list(waiting.take_compared(9, 10.3)) == []
    assert waiting.take_late(10.2, 0.1) == [A, B]
    assert list(waiting.take_compared(10, 10.3)) == [run]
    assert waiting.take_late(11.2, 0.1) == [A]


def test_an_older_batch_that_is_read_later_takes_its_place() -> None:
    waiting = backlog(batch(4, 5, since=1.0), batch(8, 9, since=1.0))
    assert waiting.take_late(LATER, 0.1) == [A, A]
    waiting.add(batch(2, 3, B, since=2.0))
    assert places(waiting.batches) == [2, 4, 8]
    # It was not published as late, and so what waits is looked at from its beginning.
    assert waiting.take_late(LATER, 0.1) == [B, A, A]
    assert places(waiting.take_compared(6, LATER)) == [2, 4]


def test_what_waits_is_late_once() -> None:
    waiting = backlog(batch(0, 3, since=10.0), batch(1, 4, B, since=10.5))
    assert waiting.take_late(10.05, 0.1) == []
    assert waiting.take_late(10.2, 0.1) == [A]
    assert waiting.take_late(10.3, 0.1) == []
    assert waiting.take_late(10.7, 0.1) == [B]
    waiting.add(batch(2, 9, since=11.0))
    assert waiting.take_late(11.2, 0.1) == [A]


def test_what_leaves_was_late_and_what_stays_is_late_once_too() -> None:
    waiting = backlog(batch(0, 3, since=10.0), batch(1, 4, B, since=10.0), batch(2, 9, C, 12.0))
    assert waiting.take_late(11.0, 0.1) == [A, B]
    assert places(waiting.take_compared(4, 11.0)) == [0]
    assert waiting.take_late(LATER, 0.1) == [C]


def test_what_is_compared_in_time_is_not_late() -> None:
    waiting = backlog(batch(0, 3, since=19.5), batch(1, 9, B, since=19.6))
    list(waiting.take_compared(4, 20.0))
    # Half a second is usual here, and something was compared just now.
    assert waiting.take_late(20.3, 0.1) == []
    assert waiting.take_late(20.99, 0.1) == []
    assert waiting.take_late(21.1, 0.1) == [B]


def test_however_slow_comparing_became_two_seconds_are_late() -> None:
    waiting = backlog(batch(0, 3, since=10.0), batch(1, 9, B, since=20.0))
    list(waiting.take_compared(4, 20.0))
    assert waiting.take_late(21.9, 0.1) == []
    assert waiting.take_late(22.1, 0.1) == [B]


def test_a_long_wait_keeps_the_latest_of_each_stripe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_AHEAD", 10)
    waiting = Backlog()
    for place in range(100):
        waiting.add(batch(place, place, (A, B)[place % 2]))
    assert len(waiting.batches) <= 20
    assert places(waiting.batches)[-2:] == [98, 99]
    compared = list(waiting.take_compared(100, LATER))
    latest = {name: live for each in compared for name, live in each.totals.items()}
    assert latest == {A: total(98), B: total(99)}
    ends = [each.end for each in compared]
    assert ends == sorted(ends)


def test_what_of_a_long_wait_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_AHEAD", 3)
    both = Batch(0, 0.0, 4, {A: total(3), B: total(2)})
    waiting = backlog(both, batch(2, 5), batch(3, 7))
    assert list(waiting.batches) == [Batch(0, 0.0, 4, {B: total(2)}), batch(3, 7)]


def test_what_left_does_not_count_as_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_AHEAD", 3)
    waiting = backlog(batch(0, 3), batch(1, 5))
    list(waiting.take_compared(6, LATER))
    for place in (2, 3, 4):
        waiting.add(batch(place, place + 10))
    assert places(waiting.batches) == [2, 3, 4]


# Sums.


class Store:
    """Accounts as on disk; `asked` has what was looked up."""

    def __init__(self) -> None:
        self.kept: dict[Stripe, bytes] = {}
        self.asked: list[Stripe] = []

    def accounts(self, stripes: Sequence[Stripe]) -> list[AccountStripes | None]:
        self.asked += stripes
        kept = [self.kept.get(each) for each in stripes]
        return [None if each is None else AccountStripes.decode(each) for each in kept]


def sums(store: Store | None = None, read: int = 0, seen: int = 0) -> Sums:
    return Sums((store or Store()).accounts, read, seen)


def incoming(
    place: int, made: Row, name: Stripe = A, *, shard: int = 0, run: int | None = None
) -> Incoming:
    return Incoming(place, shard, place if run is None else run, name, made)


def read(state: Sums, *rows: Incoming, now: float = 0.0) -> None:
    """As the stage reads records: not those that were received already."""
    for each in rows:
        if state.is_new(each.place):
            state.add([each], now)
        state.reach(each.place + 1)


def shown(state: Sums, name: Stripe = A) -> tuple[str, str, str]:
    """Posted, pending and status of its balance."""
    balance = state.balance(name)
    return balance.posted, balance.pending, balance.status


def reconcile(state: Sums, *ends: int, now: float = 0.0) -> Due:
    """What is due once each shard is compared up to its end."""
    state.reconcile(lambda shard: ends[shard], now)
    return state.take_due()


NONE: Due = Due(set(), set(), set())


def test_a_row_is_pending_until_it_is_compared() -> None:
    state = sums()
    read(state, incoming(0, row(300)))
    assert shown(state) == ("0.00", "3.00", "pending")
    assert reconcile(state, 300) == NONE
    assert reconcile(state, 301) == Due({A}, set(), set())
    assert shown(state) == ("3.00", "0.00", "reconciled")
    assert reconcile(state, 301) == NONE


def test_a_balance_is_the_sum_of_its_shards() -> None:
    state = sums()
    read(state, incoming(0, row(300)), incoming(1, row(500), shard=1), incoming(2, row(7), B))
    assert reconcile(state, 301, 0).changed == {A, B}
    assert shown(state) == ("3.00", "5.00", "pending")
    reconcile(state, 301, 501)
    assert (shown(state), shown(state, B)) == (
        ("8.00", "0.00", "reconciled"), ("0.07", "0.00", "reconciled"),
    )  # fmt: skip


def test_rows_of_one_run_are_reconciled_together() -> None:
    state = sums()
    rows = [
        incoming(0, row(3), A, run=7), incoming(1, row(9), B, run=7), incoming(2, row(5), C, shard=1, run=7),
    ]  # fmt: skip
    state.add(rows, 0.0)
    assert reconcile(state, 4, 0) == NONE
    assert reconcile(state, 10, 0).changed == {A, B}
    assert reconcile(state, 10, 6).changed == {C}


def test_rows_of_two_runs_are_reconciled_one_by_one() -> None:
    state = sums()
    state.add([incoming(0, row(3), A), incoming(1, row(9), B)], 0.0)
    assert reconcile(state, 4).changed == {A}
    assert reconcile(state, 10).changed == {B}


ROWS = {A: row(3), B: row(9)}


def test_what_was_received_is_not_new_when_it_is_read() -> None:
    state = sums()
    state.receive(5, 0, ROWS, 0.0)
    assert [state.is_new(place) for place in (3, 4, 5, 6, 7)] == [True, True, False, False, True]
    assert [state.is_new(place) for place in (5, 6, 7)] == [False, False, True]


@pytest.mark.parametrize("received", [True, False])
def test_received_and_read_come_to_the_same(received: bool) -> None:
    state = sums()
    if received:
        state.receive(0, 0, ROWS, 0.0)
    state.add([incoming(0, row(3), A, run=1), incoming(1, row(9), B, run=1)], 0.0)
    state.reach(2)
    assert [shown(state), shown(state, B)] == [
        ("0.00", "0.03", "pending"), ("0.00", "0.09", "pending"),
    ]  # fmt: skip
    assert state.reconciled() == 0
    assert reconcile(state, 10) == Due({A, B}, set(), set())
    assert state.reconciled() == 2


def test_a_fresh_disk_takes_what_a_row_says_was_compared() -> None:
    state = sums()
    read(state, incoming(0, row(300, posted=100)))
    assert state.take_due() == Due({A}, set(), set())
    assert shown(state) == ("1.00", "2.00", "pending")
    # Of a shard that is known, what this process has compared itself counts.
    read(state, incoming(1, row(500, posted=300)))
    assert state.take_due() == NONE
    assert shown(state) == ("1.00", "4.00", "pending")


def test_a_break_shows_at_once_and_until_it_is_closed() -> None:
    state = sums()
    read(state, incoming(0, row(3)))
    reconcile(state, 4)
    read(state, incoming(1, row(3, broken=True)))
    assert state.take_due() == Due({A}, set(), set())
    assert shown(state) == ("0.03", "0.00", "break")
    read(state, incoming(2, row(3, broken=True)))
    assert state.take_due() == NONE
    read(state, incoming(3, row(3)))
    assert state.take_due() == Due({A}, set(), set())
    assert shown(state) == ("0.03", "0.00", "reconciled")


# What compaction is to keep.


def test_an_older_row_that_comes_later_has_the_newest_published_again() -> None:
    state = sums()
    read(state, incoming(0, row(9)), incoming(1, row(3)), incoming(2, row(2, broken=True)))
    assert state.take_due() == Due(set(), set(), {(A, 0)})
    assert state.row(A, 0) == row(9)
    assert shown(state) == ("0.00", "0.09", "pending")
    read(state, incoming(3, row(9)))
    assert state.take_due() == NONE


def test_an_older_row_of_another_shard_is_no_older_row() -> None:
    state = sums()
    read(state, incoming(0, row(9)), incoming(1, row(3), shard=1))
    assert state.take_due() == NONE


@pytest.mark.parametrize(("seen", "stale"), [(3, {(A, 0)}), (4, {(A, 0)}), (5, set())])
def test_what_was_seen_before_a_restart_is_not_published_again(
    seen: int, stale: set[tuple[Stripe, int]]
) -> None:
    store = Store()
    account = AccountStripes(2)
    account.reconcile(0, total(9))
    store.kept[A] = account.encode()
    state = sums(store, read=2, seen=seen)
    read(state, incoming(4, row(3)))
    assert state.take_due().stale == stale


def test_the_newest_row_has_both_sides_and_its_break() -> None:
    state = sums()
    read(state, incoming(0, row(9, posted=3, broken=True)))
    assert state.row(A, 0) == row(9, posted=3, broken=True)
    reconcile(state, 10)
    assert state.row(A, 0) == row(9, posted=9, broken=True)
    assert state.row(A, 1) == Row(2, NOTHING, NOTHING, broken=False)


def test_a_foreign_record_has_the_row_published_again_where_there_is_one() -> None:
    state = sums()
    state.add_foreign(A, 0)
    assert state.take_due() == NONE
    read(state, incoming(1, row(9)))
    state.add_foreign(A, 1)
    assert not state.has_due
    state.add_foreign(A, 0)
    assert state.has_due
    assert state.take_due() == Due(set(), set(), {(A, 0)})


@pytest.mark.parametrize("first", ["garbage", "a row without entries"])
def test_an_account_has_the_decimals_of_its_newest_row(first: str) -> None:
    state = sums()
    if first == "garbage":
        state.add_foreign(A, 0)
    else:
        # A break of a stripe that the general ledger alone has.
        read(state, incoming(0, Row(0, NOTHING, NOTHING, broken=True)))
    read(state, incoming(1, row(300)))
    assert shown(state)[1] == "3.00"
    assert state.row(A, 0).scale == 2
    # What had two decimals is void by now.
    read(state, incoming(2, row(500)._replace(scale=4)), incoming(3, row(300)))
    assert shown(state)[1] == "0.0500"
    assert state.row(A, 0).scale == 4


# When.


def test_what_waits_is_published_as_pending_once() -> None:
    state = sums()
    read(state, incoming(0, row(3)), now=10.0)
    read(state, incoming(1, row(4), B, shard=1), now=10.5)
    state.note_late(10.05, 0.1)
    assert not state.has_due
    state.note_late(10.2, 0.1)
    assert state.take_due() == Due(set(), {A}, set())
    state.note_late(11.0, 0.1)
    assert state.take_due() == Due(set(), {B}, set())
    state.note_late(LATER, 0.1)
    assert not state.has_due


def test_there_is_work_where_something_is_due() -> None:
    state = sums()
    assert not state.has_work(lambda _: 100)
    read(state, incoming(0, row(3), shard=1))
    assert not state.is_due(1, 3)
    assert not state.is_due(0, 100)
    assert not state.has_work([100, 3].__getitem__)
    assert state.is_due(1, 4)
    assert state.has_work([0, 4].__getitem__)
    reconcile(state, 0, 4)
    assert not state.has_work([0, 4].__getitem__)


def test_what_changed_is_taken_once() -> None:
    state = sums()
    read(state, incoming(0, row(9, posted=3)), incoming(1, row(5), B), incoming(2, row(1), B))
    assert state.is_changed
    assert state.take_changed() == {A}
    assert not state.is_changed
    assert state.take_changed() == set()
    # The rest is due still.
    assert state.take_due() == Due(set(), set(), {(B, 0)})


# Positions.


def test_nothing_is_reconciled_beyond_what_waits() -> None:
    state = sums(read=3)
    assert state.reconciled() == 3
    read(state, incoming(3, row(3)), incoming(4, row(4), B, shard=1), incoming(5, row(9)))
    assert (state.read, state.reconciled()) == (6, 3)
    reconcile(state, 4, 0)
    assert state.reconciled() == 4
    reconcile(state, 10, 0)
    assert state.reconciled() == 4
    reconcile(state, 10, 5)
    assert state.reconciled() == 6


def test_nothing_is_reconciled_beyond_what_was_read() -> None:
    state = sums(read=3)
    state.receive(7, 0, ROWS, 0.0)
    assert state.reconciled() == 3
    reconcile(state, 10)
    assert state.reconciled() == 3
    state.reach(7)
    assert state.reconciled() == 7


def test_reading_never_goes_back() -> None:
    state = sums(read=3)
    state.reach(9)
    state.reach(5)
    assert state.read == 9


def test_what_was_received_is_skipped_as_far_as_nothing_is_between() -> None:
    state = sums(read=3)
    state.receive(3, 0, ROWS, 0.0)
    state.receive(5, 1, ROWS, 0.0)
    state.receive(8, 0, {A: row(20), B: row(29)}, 0.0)
    assert state.skip_received() == 7
    assert state.read == 7
    assert state.skip_received() is None
    assert state.is_new(7)
    state.reach(8)
    assert state.skip_received() == 10


def test_whether_what_comes_next_was_received() -> None:
    state = sums()
    assert state.goes_on_received()
    state.receive(1, 0, ROWS, 0.0)
    assert not state.goes_on_received()
    state.reach(1)
    assert state.goes_on_received()
    state.skip_received()
    assert (state.read, state.goes_on_received()) == (3, True)


def test_what_was_received_and_read_is_forgotten() -> None:
    state = sums()
    state.receive(1, 0, ROWS, 0.0)
    state.receive(4, 0, {A: row(20), B: row(29)}, 0.0)
    state.reach(2)
    state.forget_received()
    assert not state.is_new(1)
    state.reach(4)
    state.forget_received()
    assert state.skip_received() == 6


# Memory.


def test_accounts_are_looked_up_once() -> None:
    store = Store()
    state = sums(store)
    state.receive(0, 0, ROWS, 0.0)
    assert store.asked == [A, B]
    read(state, incoming(2, row(20)), incoming(3, row(21), C))
    assert store.asked == [A, B, C]
    assert len(state) == 3


def test_an_account_in_the_store_goes_on_from_there() -> None:
    store = Store()
    account = AccountStripes(2)
    account.reconcile(0, total(300))
    store.kept[A] = store.kept[B] = account.encode()
    state = sums(store)
    state.receive(0, 0, {A: row(500, posted=100)}, 0.0)
    read(state, incoming(1, row(300), B))
    assert (shown(state), shown(state, B)) == (
        ("3.00", "2.00", "pending"), ("3.00", "0.00", "reconciled"),
    )  # fmt: skip


def test_what_is_in_no_store_is_not_forgotten() -> None:
    state = sums()
    read(state, *(incoming(place, row(place), stripe(f"assets:{place}")) for place in range(5)))
    ahead, changed, kept, *others = (stripe(f"assets:{place}") for place in (4, 3, 2, 1, 0))
    reconcile(state, 3)
    state.reconcile(lambda _: 4, 0.0)
    state.forget({kept})
    assert len(state) == 3
    assert shown(state, ahead) == ("0.00", "0.04", "pending")
    assert state.take_due().changed == {changed}
    assert shown(state, changed) == ("0.03", "0.00", "reconciled")
    assert shown(state, kept) == ("0.02", "0.00", "reconciled")
    # This store has nothing of them.
    assert [state.balance(each).entries for each in others] == [0, 0]

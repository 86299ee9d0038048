"""How much of each shard the balances of a partition contain, and what keeps that back."""

import pytest

from ledger.domain.balance import Totals
from ledger.domain.covered import Compared, Covered
from ledger.domain.fold import Row
from ledger.domain.run import Stripe
from ledger.domain.sums import Incoming, Sums

CASH = Stripe("assets:cash", "CAD")


@pytest.fixture
def sums() -> Sums:
    return Sums(lambda stripes: [None] * len(stripes), 0, 0)


@pytest.fixture
def covered() -> Covered:
    made = Covered()
    made.open([0, 0])
    return made


def compared(*ends: int, own: tuple[int, ...] = (0, 1)) -> Compared:
    return Compared(list(ends), set(own))


def row(offset: int) -> Row:
    return Row(2, Totals(100 * offset, 0, offset, offset), Totals(), False)


def test_a_partition_that_was_opened_contains_what_was_compared_before(sums: Sums) -> None:
    covered = Covered()
    covered.open([3, 5])
    assert covered.take(sums, again=False) == [3, 5]
    assert covered.take(sums, again=False) is None
    assert covered.take(sums, again=True) == [3, 5]


def test_a_shard_of_this_process_is_contained_at_once(covered: Covered, sums: Sums) -> None:
    covered.note(compared(4, 0), None)
    assert covered.take(sums, again=False) == [4, 0]


def test_what_was_missed_while_it_was_opened_must_be_read(covered: Covered, sums: Sums) -> None:
    covered.take(sums, again=False)
    covered.miss(7)
    covered.note(compared(4, 0), None)
    sums.reach(6)
    assert covered.take(sums, again=False) is None
    sums.reach(7)
    assert covered.take(sums, again=False) == [4, 0]


def test_another_process_counts_once_the_topic_is_read_to_its_end(
    covered: Covered, sums: Sums
) -> None:
    covered.take(sums, again=False)
    covered.note(compared(4, 9, own=(0,)), 20)
    assert covered.take(sums, again=False) == [4, 0]
    sums.reach(20)
    assert covered.take(sums, again=False) == [4, 9]


def test_another_process_does_not_count_where_the_end_is_not_known(
    covered: Covered, sums: Sums
) -> None:
    covered.note(compared(4, 9, own=()), None)
    assert covered.take(sums, again=False) == [0, 0]


def test_a_reader_that_lags_reaches_the_first_of_many(covered: Covered, sums: Sums) -> None:
    for position in range(1, 10):
        covered.note(compared(position, 0, own=()), 10 * position)
    sums.reach(10)
    assert covered.take(sums, again=False) == [1, 0]
    sums.reach(90)
    assert covered.take(sums, again=False) == [9, 0]


def test_a_replaced_total_keeps_it_back_until_all_that_waits_is_compared(
    covered: Covered, sums: Sums
) -> None:
    covered.take(sums, again=False)
    sums.add([Incoming(1, 0, 2, CASH, row(8))], 0.0)
    # Read after the newer one was received: of a run that is compared first.
    sums.add([Incoming(0, 0, 1, CASH, row(3))], 0.0)
    covered.note(compared(4, 0), None)
    assert covered.take(sums, again=False) is None
    covered.note(compared(9, 0), None)
    assert covered.take(sums, again=False) is None
    sums.reconcile(lambda shard: 9, 0.0)
    assert covered.take(sums, again=False) == [9, 0]


def test_a_row_that_waits_behind_those_of_a_later_run_keeps_it_back(
    covered: Covered, sums: Sums
) -> None:
    covered.take(sums, again=False)
    other, third = Stripe("assets:till", "CAD"), Stripe("assets:safe", "CAD")
    sums.add([Incoming(0, 0, 1, CASH, row(3))], 0.0)
    sums.reconcile(lambda shard: 4, 0.0)
    sums.add([Incoming(1, 0, 3, other, row(8))], 0.0)
    # Of the first run, which a worker that was replaced has published once more.
    sums.add([Incoming(2, 0, 1, third, row(2))], 0.0)
    covered.note(compared(4, 0), None)
    assert covered.take(sums, again=True) == [0, 0]
    sums.reconcile(lambda shard: 9, 0.0)
    covered.note(compared(9, 0), None)
    assert covered.take(sums, again=False) == [9, 0]


def test_a_hole_keeps_it_back_until_an_end_that_was_looked_up_later_is_read(
    covered: Covered, sums: Sums
) -> None:
    covered.take(sums, again=False)
    covered.note_hole()
    # This end may have been looked up before the hole was seen.
    covered.note(compared(4, 0), 5)
    sums.reach(5)
    assert covered.take(sums, again=False) is None
    covered.note(compared(4, 0), 6)
    assert covered.take(sums, again=False) is None
    sums.reach(6)
    assert covered.take(sums, again=False) == [4, 0]
    assert not covered.has_hole


def test_after_a_hole_what_waits_must_be_compared(covered: Covered, sums: Sums) -> None:
    covered.take(sums, again=False)
    sums.add([Incoming(3, 0, 2, CASH, row(8))], 0.0)
    covered.note_hole()
    for _ in range(2):
        covered.note(compared(4, 0), 6)
    sums.reach(6)
    assert covered.take(sums, again=True) == [0, 0]
    sums.reconcile(lambda shard: 9, 0.0)
    covered.note(compared(9, 0), 6)
    assert covered.take(sums, again=False) == [9, 0]

"""The fold of runs into rows, case by case; tests/property has any portions."""

import pytest

from ledger.domain.balance import NOTHING, Totals
from ledger.domain.fold import NO_ROW, Row, ScalesMixed
from tests.builders import CASH, DEPOSIT, FEES, stripe
from tests.decision_log import DecisionLog, Table
from tests.integration.gl_runs import Leg, Made, made, moved, void_of

A, B, C = stripe(CASH), stripe(DEPOSIT), stripe(FEES)


@pytest.fixture
def log() -> DecisionLog:
    return DecisionLog()


@pytest.fixture
def table() -> Table:
    return Table()


def of_scale(offset: int, amount: int, scale: int) -> Made:
    """CASH and DEPOSIT in CAD of other decimals than usual."""
    return made(offset, Leg(CASH, amount, scale=scale), Leg(DEPOSIT, -amount, scale=scale))


def test_a_run_makes_the_rows_that_it_touches(log: DecisionLog, table: Table) -> None:
    folded = table.fold(log.run(moved(0, 500), moved(1, 30, credit=FEES)))
    assert folded.rows == {
        A: Row(2, Totals(530, 0, 2, 1), NOTHING, broken=False),
        B: Row(2, Totals(0, 500, 1, 0), NOTHING, broken=False),
        C: Row(2, Totals(0, 30, 1, 1), NOTHING, broken=False),
    }
    assert folded.totals == [{stripe: row.live for stripe, row in folded.rows.items()}]


def test_totals_are_those_after_each_run(log: DecisionLog, table: Table) -> None:
    runs = log.run(moved(0, 1)), log.run(end=2), log.run(moved(3, 5, credit=FEES))
    folded = table.fold(*runs)
    assert folded.totals == [
        {A: Totals(1, 0, 1, 0), B: Totals(0, 1, 1, 0)},
        {},
        {A: Totals(6, 0, 2, 3), C: Totals(0, 5, 1, 3)},
    ]
    assert {stripe: row.live for stripe, row in folded.rows.items()} == {
        A: Totals(6, 0, 2, 3), B: Totals(0, 1, 1, 0), C: Totals(0, 5, 1, 3),
    }  # fmt: skip


def test_no_runs_change_nothing(table: Table) -> None:
    assert table.fold() == ({}, [])
    assert table.looked_up == []


def test_a_row_is_looked_up_once_in_a_portion(log: DecisionLog, table: Table) -> None:
    table.fold(log.run(moved(0, 1)), log.run(moved(1, 2)), log.run(moved(2, 4, credit=FEES)))
    assert table.looked_up == [A, B, C]
    assert table.rows[A].live == Totals(7, 0, 3, 2)


def test_what_a_run_voids_is_looked_up_once_too(log: DecisionLog, table: Table) -> None:
    first = log.run(moved(0, 1), moved(1, 2, credit=FEES))
    table.fold(first)
    table.looked_up.clear()
    table.fold(log.run(moved(2, 4)), log.run(voided=[void_of(first, 1, at=3)], end=4))
    assert table.looked_up == [A, B, C]


def test_what_was_folded_before_counts_once(log: DecisionLog, table: Table) -> None:
    runs = log.run(moved(0, 1)), log.run(moved(1, 2, credit=FEES)), log.run(moved(2, 4))
    table.fold(*runs)
    folded = table.fold(*runs)
    assert {stripe: row.live for stripe, row in folded.rows.items()} == {
        A: Totals(7, 0, 3, 2), B: Totals(0, 5, 2, 2), C: Totals(0, 2, 1, 1),
    }  # fmt: skip


@pytest.mark.parametrize(("compared", "has_moved"), [(0, False), (1, True), (9, True)])
def test_the_posted_side_moves_once_the_row_is_compared(
    log: DecisionLog, table: Table, compared: int, has_moved: bool
) -> None:
    table.fold(log.run(moved(0, 1)))
    row = table.fold(log.run(moved(1, 2)), compared=compared).rows[A]
    assert row.posted == (Totals(1, 0, 1, 0) if has_moved else NOTHING)
    assert row.live == Totals(3, 0, 2, 1)


def test_the_posted_side_stays_while_the_row_is_ahead(log: DecisionLog, table: Table) -> None:
    table.fold(log.run(moved(0, 1)))
    table.fold(log.run(moved(1, 2)), compared=1)
    folded = table.fold(log.run(moved(2, 4)), log.run(moved(3, 8)), compared=1)
    # Neither the run before nor the one of the same portion is compared.
    assert folded.rows[A] == Row(2, Totals(15, 0, 4, 3), Totals(1, 0, 1, 0), broken=False)


def test_a_broken_row_stays_broken(log: DecisionLog, table: Table) -> None:
    table.fold(log.run(moved(0, 1)))
    table.rows = {stripe: row._replace(broken=True) for stripe, row in table.rows.items()}
    table.fold(log.run(moved(1, 2, credit=FEES)), log.run(moved(2, 4)))
    assert [table.rows[each].broken for each in (A, B, C)] == [True, True, False]


# Voids.


def test_what_is_void_is_taken_back_in_a_later_portion(log: DecisionLog, table: Table) -> None:
    first = log.run(moved(0, 1), moved(1, 2, credit=FEES))
    table.fold(first)
    folded = table.fold(log.run(moved(2, 4), voided=[void_of(first, 1, at=3)], end=4))
    # The run itself touches no fees: they are in its totals, for the ledger posts them too.
    expected = {A: Totals(5, 0, 2, 3), B: Totals(0, 5, 2, 2), C: Totals(0, 0, 0, 3)}
    assert folded.totals == [expected]
    assert {stripe: row.live for stripe, row in folded.rows.items()} == expected


def test_what_is_void_is_taken_back_in_its_own_portion(log: DecisionLog, table: Table) -> None:
    first = log.run(moved(0, 1), moved(1, 2, credit=FEES))
    last = log.run(voided=[void_of(first, 1, at=2)], end=3)
    folded = table.fold(first, last)
    assert folded.totals == [
        {A: Totals(3, 0, 2, 1), B: Totals(0, 1, 1, 0), C: Totals(0, 2, 1, 1)},
        {A: Totals(1, 0, 1, 2), C: Totals(0, 0, 0, 2)},
    ]
    assert table.rows[B].live == Totals(0, 1, 1, 0)


def test_it_is_taken_back_once_however_often_it_is_folded(log: DecisionLog, table: Table) -> None:
    first = log.run(moved(0, 1), moved(1, 2, credit=FEES))
    voids = [void_of(first, 1, at=2), void_of(first, 0, at=3)]
    runs = first, log.run(moved(4, 8), voided=voids, end=5)
    table.fold(*runs)
    before = dict(table.rows)
    assert before[A].live == Totals(8, 0, 1, 4)
    table.fold(runs[1])
    table.fold(*runs)
    assert table.rows == before


@pytest.mark.parametrize("compared", [0, 2, 4])
def test_a_row_that_a_void_alone_touches_keeps_its_sides(
    log: DecisionLog, table: Table, compared: int
) -> None:
    first = log.run(moved(0, 1), moved(1, 2, credit=FEES))
    table.fold(first)
    table.rows[C] = table.rows[C]._replace(broken=True)
    table.fold(log.run(voided=[void_of(first, 1, at=2)], end=3), compared=compared)
    was = Totals(0, 2, 1, 1) if compared else NOTHING
    assert table.rows[C] == Row(2, Totals(0, 0, 0, 2), was, broken=True)


def test_what_is_left_of_a_void_has_the_decimals_that_the_void_names(
    log: DecisionLog, table: Table
) -> None:
    first = log.run(of_scale(0, 5, scale=4))
    table.fold(first)
    table.fold(log.run(voided=[void_of(first, 0, at=1, scales=[2, 2])], end=2))
    assert table.rows[A] == Row(2, Totals(0, 0, 0, 1), NOTHING, broken=False)
    table.fold(log.run(moved(2, 7)))
    assert table.rows[A].live == Totals(7, 0, 1, 2)


# Decimals.


def test_other_decimals_than_the_row_has_are_a_fault(log: DecisionLog, table: Table) -> None:
    table.fold(log.run(moved(0, 1)))
    before = dict(table.rows)
    run = log.run(of_scale(1, 5, scale=4), of_scale(2, 6, scale=4))
    with pytest.raises(ScalesMixed) as caught:
        table.fold(run)
    assert str(caught.value) == (
        "CAD had 2 decimals and has 4 in the run at decision offset 1, by the transactions at "
        "[1, 2]: what was posted would change its worth. This shard waits. What to do: "
        "docs/runbooks/not-postable.md"
    )
    assert table.rows == before


def test_other_decimals_are_a_fault_within_a_portion_too(log: DecisionLog, table: Table) -> None:
    with pytest.raises(ScalesMixed, match=r"had 2 decimals and has 3 .* offset 1,"):
        table.fold(log.run(moved(0, 1)), log.run(of_scale(1, 5, scale=3)))


def test_the_sentence_names_twenty_transactions_at_most(log: DecisionLog, table: Table) -> None:
    run = log.run(*(of_scale(offset, 1, scale=4) for offset in range(1, 31)))
    table.fold(DecisionLog().run(moved(0, 1)))
    with pytest.raises(ScalesMixed, match=r", 19, 20\]:"):
        table.fold(run)


def test_a_row_without_entries_takes_any_decimals(log: DecisionLog, table: Table) -> None:
    table.rows[A] = NO_ROW._replace(scale=2)
    table.fold(log.run(of_scale(0, 5, scale=4)))
    assert table.rows[A].scale == 4


def test_decimals_may_mix_where_the_older_are_void_further_on(
    log: DecisionLog, table: Table
) -> None:
    first, mixed = log.run(moved(0, 1)), log.run(of_scale(1, 5, scale=4))
    last = log.run(voided=[void_of(first, 0, at=2, scales=[4, 4])], end=3)
    table.fold(first)
    with pytest.raises(ScalesMixed):
        table.fold(mixed)
    table.fold(mixed, void_ahead=last.voided)
    assert table.rows[A].scale == 4
    table.fold(last)
    assert table.rows[A] == Row(4, Totals(5, 0, 1, 2), NOTHING, broken=False)


def test_decimals_may_mix_where_all_of_the_newer_are_void_further_on(
    log: DecisionLog, table: Table
) -> None:
    first, mixed = log.run(moved(0, 1)), log.run(of_scale(1, 5, scale=4), of_scale(2, 6, scale=4))
    voids = [void_of(mixed, offset, at=offset + 2, scales=[2, 2]) for offset in (1, 2)]
    last = log.run(voided=voids, end=5)
    table.fold(first)
    for some in voids:
        with pytest.raises(ScalesMixed):
            table.fold(mixed, void_ahead=[some])
    table.fold(mixed, last, void_ahead=voids)
    assert table.rows[A] == Row(2, Totals(1, 0, 1, 4), NOTHING, broken=False)


def test_a_void_of_something_else_does_not_let_decimals_mix(log: DecisionLog, table: Table) -> None:
    first = log.run(moved(0, 1), moved(1, 2, debit=FEES, credit="income:interest"))
    mixed = log.run(of_scale(2, 5, scale=4))
    table.fold(first)
    with pytest.raises(ScalesMixed):
        table.fold(mixed, void_ahead=[void_of(first, 1, at=3)])

"""Stripes from runs, and balances from stripes."""

import pytest

from ledger.domain.balance import NOTHING, StripeState, Totals, balance_of, newer, totals_after
from tests.builders import CASH, DEPOSIT, content, stripe, totals

RUN = content(
    (5, [(CASH, "CAD", 1000), (DEPOSIT, "CAD", -1000)]),
    (9, [(CASH, "CAD", 30), (CASH, "CAD", -10), (DEPOSIT, "CAD", -20)]),
)
CAD, DEP = stripe(CASH), stripe(DEPOSIT)


def test_a_run_adds_to_its_stripes() -> None:
    assert totals_after(RUN, {}) == {CAD: Totals(1030, 10, 3, 9), DEP: Totals(0, 1020, 2, 9)}


def test_what_was_counted_is_not_counted_again() -> None:
    once = totals_after(RUN, {})
    assert totals_after(RUN, once) == once
    # One stripe's row is ahead of the other's: each is judged by its own offset.
    half = {CAD: Totals(1000, 0, 1, 5)}
    assert totals_after(RUN, half) == once


def test_totals_are_exact_beyond_64_bits() -> None:
    big = 2**63 - 1
    before = {CAD: Totals(big, 0, 1, 0), DEP: Totals(0, big, 1, 0)}
    run = content((1, [(CASH, "CAD", big), (DEPOSIT, "CAD", -big)]))
    assert totals_after(run, before)[CAD] == Totals(2 * big, 0, 2, 1)


def test_currencies_of_an_account_are_stripes_of_their_own() -> None:
    run = content((1, [(CASH, "CAD", 1), (CASH, "USD", -1)]))
    assert totals_after(run, {}) == {
        stripe(CASH, "CAD"): Totals(1, 0, 1, 1),
        stripe(CASH, "USD"): Totals(0, 1, 1, 1),
    }


# The account's side

ONE = totals(500, 200, 3, 7)
MORE = totals(900, 200, 4, 12)


@pytest.mark.parametrize(
    ("states", "posted", "pending", "entries", "status"),
    [
        ([], "0.00", "0.00", 0, "reconciled"),
        ([StripeState(ONE, None, False)], "3.00", "0.00", 3, "reconciled"),
        ([StripeState(ONE, MORE, False)], "3.00", "4.00", 3, "pending"),
        ([StripeState(NOTHING, ONE, False)], "0.00", "3.00", 0, "pending"),
        ([StripeState(ONE, None, True)], "3.00", "0.00", 3, "break"),
        ([StripeState(ONE, None, True), StripeState(ONE, MORE, False)], "6.00", "4.00", 6, "break"),
        ([StripeState(ONE, MORE, False), StripeState(ONE, None, True)], "6.00", "4.00", 6, "break"),
        (
            [StripeState(ONE, MORE, False), StripeState(ONE, None, False)],
            "6.00",
            "4.00",
            6,
            "pending",
        ),
    ],
)
def test_a_balance_is_the_sum_of_its_stripes(states, posted, pending, entries, status) -> None:
    balance = balance_of(CASH, "CAD", 2, states)
    assert (balance.posted, balance.pending, balance.entries, balance.status) == (
        posted,
        pending,
        entries,
        status,
    )


def test_a_balance_is_on_the_accounts_normal_side() -> None:
    states = [StripeState(ONE, MORE, False)]
    assert balance_of(CASH, "CAD", 2, states)[3:7] == ("3.00", "4.00", "5.00", "2.00")
    assert balance_of(DEPOSIT, "CAD", 2, states)[3:7] == ("-3.00", "-4.00", "5.00", "2.00")


def test_a_balance_outgrows_64_bits_exactly() -> None:
    state = StripeState(totals(10**30 + 1, 0, 2, 1), None, False)
    assert balance_of(CASH, "CAD", 2, [state] * 3).posted == "3" + "0" * 27 + "0.03"


def test_the_later_state_wins_part_by_part() -> None:
    settled = StripeState(MORE, None, False)
    ahead = StripeState(ONE, MORE, False)
    assert newer(None, ahead) == ahead
    assert newer(ahead, settled) == settled
    assert newer(settled, ahead) == settled
    older_live = StripeState(NOTHING, totals(1000, 200, 5, 20), False)
    assert newer(settled, older_live) == StripeState(MORE, older_live.live, False)
    assert newer(StripeState(ONE, None, True), StripeState(NOTHING, MORE, False)) == StripeState(
        ONE, MORE, True
    )


def test_a_break_opens_and_closes_at_the_same_offset() -> None:
    fine, broken = StripeState(ONE, None, False), StripeState(ONE, None, True)
    assert newer(fine, broken) == broken
    assert newer(broken, fine) == fine

"""Stripes from runs, and balances from stripes."""

import pytest

from ledger.domain.balance import NOTHING, AccountStripes, Totals, totals_after
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


def test_totals_as_text() -> None:
    big = Totals(10**30, 0, 7, 2**62)
    assert Totals.read(big.text()) == big
    assert NOTHING.text() == "0 0 0 -1"


# The account's side

ONE = totals(500, 200, 3, 7)
MORE = totals(900, 200, 4, 12)


def holding(
    *parts: tuple[Totals | None, Totals | None], broken: bool = False, scale: int = 2
) -> AccountStripes:
    """Of each shard what is reconciled, and what is decided."""
    made = AccountStripes(scale)
    for shard, (settled, live) in enumerate(parts):
        if settled:
            made.reconcile(shard, settled)
        if live:
            made.decide(shard, live)
    made.broken = frozenset({0} if broken else ())
    return made


@pytest.mark.parametrize(
    ("held", "posted", "pending", "entries", "status"),
    [
        (holding(), "0.00", "0.00", 0, "reconciled"),
        (holding((ONE, None)), "3.00", "0.00", 3, "reconciled"),
        (holding((ONE, MORE)), "3.00", "4.00", 3, "pending"),
        (holding((None, ONE)), "0.00", "3.00", 0, "pending"),
        (holding((ONE, None), broken=True), "3.00", "0.00", 3, "break"),
        (holding((ONE, MORE), (ONE, None), broken=True), "6.00", "4.00", 6, "break"),
        (holding((ONE, MORE), (ONE, None)), "6.00", "4.00", 6, "pending"),
        (holding((ONE, MORE), (ONE, MORE)), "6.00", "8.00", 6, "pending"),
    ],
)
def test_a_balance_is_the_sum_of_its_stripes(
    held: AccountStripes, posted: str, pending: str, entries: int, status: str
) -> None:
    balance = held.balance(CASH, "CAD")
    assert (balance.posted, balance.pending, balance.entries, balance.status) == (
        posted,
        pending,
        entries,
        status,
    )


def test_a_balance_is_on_the_accounts_normal_side() -> None:
    held = holding((ONE, MORE))
    assert held.balance(CASH, "CAD")[3:7] == ("3.00", "4.00", "5.00", "2.00")
    assert held.balance(DEPOSIT, "CAD")[3:7] == ("-3.00", "-4.00", "5.00", "2.00")


def test_a_balance_outgrows_64_bits_exactly() -> None:
    part = (totals(10**30 + 1, 0, 2, 1), None)
    assert holding(part, part, part).balance(CASH, "CAD").posted == "3" + "0" * 27 + "0.03"


def test_what_is_known_changes_nothing() -> None:
    held = holding((MORE, None))
    assert not held.reconcile(0, MORE)
    assert not held.reconcile(0, ONE)
    assert not held.decide(0, MORE)
    assert not held.decide(0, ONE)
    assert held.balance(CASH, "CAD") == holding((MORE, None)).balance(CASH, "CAD")


def test_what_settles_is_ahead_no_longer() -> None:
    held = holding((ONE, MORE))
    assert held.latest(0) == MORE
    assert held.reconcile(0, MORE)
    assert not held.ahead
    held.decide(0, totals(1000, 200, 5, 20))
    assert held.reconcile(0, totals(950, 200, 5, 15))
    assert held.ahead == {0: totals(1000, 200, 5, 20)}


def test_a_holding_is_kept_as_far_as_it_is_reconciled() -> None:
    held = holding((ONE, MORE), (None, ONE), (MORE, None), broken=True, scale=8)
    kept = AccountStripes.decode(held.encode())
    same = holding((ONE, None), (None, None), (MORE, None), broken=True, scale=8)
    assert kept.balance(CASH, "CAD") == same.balance(CASH, "CAD")
    assert kept.encode() == held.encode()
    assert AccountStripes.decode(AccountStripes(0).encode()).balance(CASH, "CAD").posted == "0"

"""Every report's parts add up to its total to the last unit, in any currency and at any depth."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain import money
from ledger.gl.books import BalanceRow
from ledger.gl.lookups import Register, RegisterLine, Sides
from ledger.reports.asked import Asked, books
from ledger.reports.lines import LINES, Entries
from ledger.reports.parquet import decimal_of
from ledger.reports.rates import Rate, rates_to, rounded
from ledger.reports.rendered import as_csv
from ledger.reports.report import Amount, Report, wrong_sums
from ledger.reports.sheets import RESULT, ROUNDING, SHEETS
from ledger.reports.workbook import is_exact
from tests.integration.gl_runs import NOW

ACCOUNTS = (
    "assets:bank:one", "assets:bank:two", "equity:capital", "expenses:rent", "income:fees",
    "liabilities:deposits:1", "liabilities:deposits:2",
)  # fmt: skip
SCALES = {"CAD": 2, "JPY": 0, "ETH": 18, "BHD": 3}
MOST = 10**30
DAY = 86_400_000_000

entries = st.lists(
    st.tuples(
        st.sampled_from(ACCOUNTS), st.sampled_from(ACCOUNTS), st.sampled_from(sorted(SCALES)),
        st.integers(1, MOST),
    ),
    max_size=12,
)  # fmt: skip
rates = st.tuples(st.integers(1, 10**9), st.integers(0, 9)).map(
    lambda found: money.show(*found)
).filter(lambda text: Fraction(text) > 0)  # fmt: skip


def rows_of(moves: Sequence[tuple[str, str, str, int]]) -> list[BalanceRow]:
    """Balances of transactions with two legs each: they balance in every currency."""
    sums: dict[tuple[str, str], list[int]] = {}
    for debit, credit, currency, amount in moves:
        for account, side in ((debit, 0), (credit, 1)):
            found = sums.setdefault((account, currency), [0, 0, 0])
            found[side] += amount
            found[2] += 1
    return [
        BalanceRow(account, currency, SCALES[currency], *found)
        for (account, currency), found in sorted(sums.items())
    ]


@pytest.mark.parametrize("name", SHEETS)
@given(
    now=entries, then=st.none() | entries, depth=st.none() | st.integers(1, 3),
    no_zero=st.booleans(), presentation=st.sampled_from([None, "CAD", "JPY", "KWD"]),
    by=st.lists(rates, min_size=4, max_size=4),
)  # fmt: skip
def test_every_total_is_the_sum_of_its_parts_and_both_sides_are_equal(
    name: str, now: Any, then: Any, depth: Any, no_zero: bool, presentation: Any, by: list[str]
) -> None:
    given_rates = [
        Rate(code, presentation or "", rate, "a test", "2026-01-01")
        for code, rate in zip(SCALES, by, strict=True)
        if code != presentation
    ]
    asked = Asked(
        labels=("now",) if then is None else ("now", "then"),
        depth=depth,
        has_zeros=not no_zero,
        presentation=presentation,
        rates=given_rates,
    )
    instants = [rows_of(each) for each in (now, then) if each is not None]
    report = SHEETS[name](books(asked, *instants))
    assert wrong_sums(report) == []
    assert list(report.differences) == []
    # The same in the file that people calculate with.
    assert wrong_in_csv(report) == []


def wrong_in_csv(report: Report) -> list[str]:
    """Totals of the first amounts in CSV that are not the sum of the lines above them."""
    found = list(csv.DictReader(io.StringIO(as_csv(report), newline="")))
    if report.name != "trial-balance":
        return []
    wrong = []
    for total in found:
        if total["row"] == "total" and total["account"] == "All types":
            lines = [each for each in found
                     if each["row"] == "line" and each["currency"] == total["currency"]]  # fmt: skip
            wrong += [
                total["currency"]
                for side in ("net_debit", "net_credit")
                if sum((exact(each[side]) for each in lines), Fraction(0)) != exact(total[side])
            ]
    return wrong


def exact(text: str) -> Fraction:
    return Fraction(text)


@given(now=entries, by=st.lists(rates, min_size=4, max_size=4))
def test_the_rounding_is_less_than_half_a_unit_for_each_balance(now: Any, by: list[str]) -> None:
    given_rates = [Rate(code, "KWD", rate, "a test", "2026-01-01")
                   for code, rate in zip(SCALES, by, strict=True)]  # fmt: skip
    rows = rows_of(now)
    made = books(Asked(presentation="KWD", rates=given_rates), rows)
    assert made.rounding is not None
    assert 2 * abs(made.rounding[0]) <= len(rows)
    table = rates_to("KWD", 3, given_rates)
    for row in rows:
        value = table.exact(row.debits - row.credits, row.currency, row.scale)
        assert abs(2 * (rounded(value) - value)) <= 1


@given(now=entries)
def test_the_result_is_the_same_in_both_statements(now: Any) -> None:
    made = books(Asked(), rows_of(now))
    results = {}
    for name, label in (("balance-sheet", RESULT), ("income-statement", "Result")):
        for row in SHEETS[name](made).all_rows():
            if row.cells[0] == label:
                results[name, row.cells[1]] = row.cells[2]
    for (name, currency), amount in results.items():
        assert results["balance-sheet", currency] == amount, name
    assert ROUNDING not in {row.cells[0] for row in SHEETS["balance-sheet"](made).rows}


lines = st.lists(
    st.tuples(
        st.sampled_from(sorted(SCALES)), st.integers(-MOST, MOST).filter(bool), st.integers(0, 5)
    ),
    max_size=12,
)


@pytest.mark.parametrize("name", LINES)
@given(found=lines, account=st.sampled_from(ACCOUNTS), before=st.integers(0, MOST))
def test_entries_add_up_from_the_opening_to_the_closing_balance(
    name: str, found: Any, account: str, before: int
) -> None:
    register = register_of(found, before)
    report = LINES[name](Entries({account: register}))
    assert wrong_sums(report) == []
    balance = next(place for place, each in enumerate(report.columns)
                   if each.key in {"balance", "closing"})  # fmt: skip
    ends: dict[str, Amount] = {}
    for row in report.all_rows():
        cell = row.cells[balance]
        if isinstance(cell, Amount):
            if row.kind == "total" and cell.currency in ends:
                assert ends[cell.currency] == cell
            ends[cell.currency] = cell
    assert ends.keys() == register.closing.keys()


def register_of(found: Any, before: int) -> Register:
    made, closing = [], {code: Sides(scale, before, 0, 1) for code, scale in SCALES.items()}
    for offset, (currency, amount, day) in enumerate(sorted(found, key=lambda each: each[2])):
        scale, debits, credits, count = closing[currency]
        closing[currency] = Sides(
            scale, debits + max(amount, 0), credits + max(-amount, 0), count + 1
        )
        at = NOW + day * DAY
        made.append(RegisterLine(at, at, 0, offset, 0, f"t-{offset}", "k", "", "", currency, scale,
                                 amount))  # fmt: skip
    return Register({}, closing, made)


@given(st.integers(-(10**40), 10**40), st.integers(0, 18))
def test_a_number_in_a_workbook_reads_back_as_the_amount(minor: int, scale: int) -> None:
    if is_exact(Amount(minor, "CAD", scale)):
        # As the library writes it, and as a spreadsheet reads and shows it: a double, 15 digits.
        written = "%.16G" % Decimal(minor).scaleb(-scale)  # noqa: UP031 - as a double
        shown = "%.15G" % Decimal(written)  # noqa: UP031 - as a double
        assert Decimal(shown) == Decimal(minor).scaleb(-scale)


@given(st.integers(-(2**63), 2**63), st.integers(0, 18))
def test_any_entry_fits_a_decimal_of_parquet(minor: int, scale: int) -> None:
    found = decimal_of(minor, scale, 18)
    assert Fraction(found) == Fraction(minor, 10**scale)
    assert found.as_tuple().exponent == -18

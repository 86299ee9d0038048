"""Trial balance, balance sheet and income statement, of two instants and in one currency."""

from typing import Any

import pytest

from ledger.gl.books import BalanceRow
from ledger.reports.asked import Asked, books
from ledger.reports.rates import Rate, RatesError, read_rates
from ledger.reports.report import Amount, Report, wrong_sums
from ledger.reports.sheets import RESULT, ROUNDING, SHEETS

NOW = [
    BalanceRow("assets:bank:one", "CAD", 2, 100_00, 0, 1),
    BalanceRow("assets:bank:two", "CAD", 2, 50_00, 50_00, 2),
    BalanceRow("assets:bank:two", "JPY", 0, 300, 0, 1),
    BalanceRow("equity:capital", "CAD", 2, 0, 60_00, 1),
    BalanceRow("expenses:rent", "CAD", 2, 15_00, 0, 1),
    BalanceRow("income:fees", "CAD", 2, 0, 35_00, 3),
    BalanceRow("liabilities:deposits:1", "CAD", 2, 0, 20_00, 1),
    BalanceRow("liabilities:deposits:2", "JPY", 0, 0, 300, 1),
]
THEN = [
    BalanceRow("assets:bank:one", "CAD", 2, 60_00, 0, 1),
    BalanceRow("equity:capital", "CAD", 2, 0, 60_00, 1),
]
RATES = [Rate("JPY", "CAD", "0.0091", "Bank of Canada", "2026-11-30")]


def made(name: str, *instants: Any, **asked: Any) -> Report:
    report = SHEETS[name](books(Asked(**asked), *(instants or (NOW,))))
    assert wrong_sums(report) == []
    return report


def shown(report: Report) -> list[tuple[str, ...]]:
    return [
        tuple("" if cell is None else str(cell) for cell in row.cells) for row in report.all_rows()
    ]


def test_a_balance_sheet_balances_with_the_result_in_equity() -> None:
    report = made("balance-sheet", currencies=("CAD",))
    assert shown(report) == [
        ("Assets", "CAD", ""),
        ("assets:bank:one", "CAD", "100.00"),
        ("assets:bank:two", "CAD", "0.00"),
        ("Total assets", "CAD", "100.00"),
        ("Liabilities", "CAD", ""),
        ("liabilities:deposits:1", "CAD", "20.00"),
        ("Total liabilities", "CAD", "20.00"),
        ("Equity", "CAD", ""),
        ("equity:capital", "CAD", "60.00"),
        (RESULT, "CAD", "20.00"),
        ("Total equity", "CAD", "80.00"),
        ("Total liabilities and equity", "CAD", "100.00"),
    ]
    assert report.differences == []
    assert [row.depth for row in report.rows[:4]] == [0, 1, 1, 0]


def test_an_income_statement_ends_with_the_result() -> None:
    rows = shown(made("income-statement", currencies=("CAD",)))
    assert rows[-1] == ("Result", "CAD", "20.00")
    assert ("Total income", "CAD", "35.00") in rows
    assert ("Total expenses", "CAD", "15.00") in rows


def test_a_trial_balance_has_totals_by_type_and_of_all() -> None:
    report = made("trial-balance", depth=2, has_zeros=False)
    assert ("assets:bank", "CAD", "100.00", "0.00", "3") in shown(report)
    assert [tuple(map(str, each.cells)) for each in report.totals] == [
        ("Assets", "CAD", "100.00", "0.00", "3"),
        ("Liabilities", "CAD", "0.00", "20.00", "1"),
        ("Equity", "CAD", "0.00", "60.00", "1"),
        ("Income", "CAD", "0.00", "35.00", "3"),
        ("Expenses", "CAD", "15.00", "0.00", "1"),
        ("All types", "CAD", "115.00", "115.00", "9"),
        ("Assets", "JPY", "300", "0", "1"),
        ("Liabilities", "JPY", "0", "300", "1"),
        ("All types", "JPY", "300", "300", "2"),
    ]


def test_hidden_zeros_are_in_no_row_and_change_no_total() -> None:
    whole, hidden = made("balance-sheet"), made("balance-sheet", has_zeros=False)
    assert ("assets:bank:two", "CAD", "0.00") in shown(whole)
    assert set(shown(whole)) - set(shown(hidden)) == {("assets:bank:two", "CAD", "0.00")}


@pytest.mark.parametrize("name", SHEETS)
def test_two_instants_stand_beside_each_other_with_the_change(name: str) -> None:
    report = made(name, NOW, THEN, labels=("now", "then"))
    if name == "balance-sheet":
        assert ("assets:bank:one", "CAD", "100.00", "60.00", "40.00") in shown(report)
        assert ("Total liabilities and equity", "CAD", "100.00", "60.00", "40.00") in shown(report)
    if name == "trial-balance":
        row = next(each for each in shown(report) if each[0] == "equity:capital")
        assert row == ("equity:capital", "CAD", "0.00", "60.00", "0.00", "60.00", "0.00", "1")
    assert report.differences == []


def test_a_presentation_currency_balances_by_its_rounding_row() -> None:
    rows = [*NOW, BalanceRow("assets:cash", "JPY", 0, 51, 0, 1),
            BalanceRow("income:fees", "JPY", 0, 0, 17, 1),
            BalanceRow("equity:capital", "JPY", 0, 0, 17, 1),
            BalanceRow("liabilities:deposits:3", "JPY", 0, 0, 17, 1)]  # fmt: skip
    report = made("balance-sheet", rows, presentation="CAD", rates=RATES)
    found = {row[0]: row[2] for row in shown(report)}
    # 51 yen are 0.4641 dollars, 17 yen 0.1547: three times 0.15 are one cent less than 0.46.
    assert found["assets:cash"] == "0.46"
    assert found["liabilities:deposits:3"] == "0.15"
    assert found[ROUNDING] == "0.01"
    assert found["Total assets"] == found["Total liabilities and equity"]
    assert report.differences == []
    conditions = {each.name: each.value for each in report.conditions}
    assert conditions["rate"] == "1 JPY = 0.0091 CAD (Bank of Canada, 2026-11-30)"
    assert "half to even" in conditions["rounding"]
    trial = made("trial-balance", rows, presentation="CAD", rates=RATES)
    assert trial.differences == []
    assert ROUNDING in {row[0] for row in shown(trial)}


def test_rounding_hides_no_imbalance() -> None:
    rows = [*NOW, BalanceRow("assets:cash", "JPY", 0, 10_000, 0, 1)]
    for name in ("balance-sheet", "trial-balance"):
        report = made(name, rows, presentation="CAD", rates=RATES)
        assert len(report.differences) == 1


def test_a_currency_without_a_rate_is_named() -> None:
    with pytest.raises(RatesError, match="no rate from CAD, JPY to EUR"):
        made("balance-sheet", presentation="EUR", rates=RATES)
    with pytest.raises(RatesError, match="neither a currency of this ledger"):
        made("balance-sheet", presentation="NOPE", rates=RATES)


def test_what_does_not_balance_is_said() -> None:
    rows = [*NOW, BalanceRow("assets:cash", "CAD", 2, 1, 0, 1)]
    report = made("balance-sheet", rows)
    assert report.differences == [
        (
            "CAD, now: assets are 100.01 and liabilities and equity are 100.00. `faust-ledger verify` "
            "shows what is wrong with the journal."
        )
    ]
    assert len(made("trial-balance", rows).differences) == 1


def test_a_total_that_is_not_the_sum_of_its_parts_is_found() -> None:
    report = made("balance-sheet")
    rows = list(report.rows)
    place = next(at for at, row in enumerate(rows) if row.cells[0] == "assets:bank:one")
    rows[place] = rows[place]._replace(cells=("assets:bank:one", "CAD", Amount(100_01, "CAD", 2)))
    wrong = Report(report.name, report.title, report.columns, rows)
    assert wrong_sums(wrong) == ["Total assets: now is not the sum of its parts."]


def test_nothing_makes_an_empty_report() -> None:
    for name in SHEETS:
        assert shown(made(name, [])) == []


CSV = "from,to,rate,source,at\n"


def test_rates_are_read_from_csv_and_json() -> None:
    text = f"{CSV}JPY,CAD,0.0091,Bank of Canada,2026-11-30\r\n"
    as_json = (
        '[{"from": "JPY", "to": "CAD", "rate": "0.0091", "source": "Bank of Canada", '
        '"at": "2026-11-30"}]'
    )
    assert read_rates(text) == read_rates("\ufeff" + text) == read_rates(as_json) == RATES


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "The first line"),
        ("from,to,rate\nUSD,CAD,1", "The first line"),
        (f"{CSV}USD,CAD,1e3,ECB,2026-11-30", "line 2: '1e3' is no rate"),
        (f'{CSV}USD,CAD,"1,3650",ECB,2026-11-30', "no rate"),
        (f"{CSV}USD,CAD,0.000,ECB,2026-11-30", "no rate"),
        (f"{CSV}USD,CAD,-1,ECB,2026-11-30", "no rate"),
        (f"{CSV}USD,CAD,nan,ECB,2026-11-30", "no rate"),
        (f"{CSV}USD,USD,1,ECB,2026-11-30", "from one currency to another"),
        (f"{CSV}USD,CAD,1.3,,2026-11-30", "names its source"),
        (f"{CSV}USD,CAD,1.3,ECB,30.11.2026", "names its source"),
        (f"{CSV}USD,CAD,1.3,ECB", "each a text"),
        (f"{CSV}USD,CAD,1.3,ECB,2026-11-30,x", "each a text"),
        ("[1]", "an array of objects"),
        ("{", "is no JSON"),
        ('[{"from": "USD", "to": "CAD", "rate": 1.3, "source": "ECB", "at": "2026-11-30"}]',
         "each a text"),
    ],
)  # fmt: skip
def test_rates_that_cannot_be_believed_are_refused(text: str, why: str) -> None:
    with pytest.raises(RatesError, match=why):
        read_rates(text)


def test_two_rates_from_one_currency_are_refused() -> None:
    with pytest.raises(RatesError, match="two rates from JPY to CAD"):
        made("balance-sheet", presentation="CAD", rates=[*RATES, *RATES])


def test_entries_of_hidden_accounts_are_counted_in_the_total() -> None:
    report = made("trial-balance", currencies=("CAD",), has_zeros=False)
    assert report.totals[0].cells == (
        "Assets",
        "CAD",
        Amount(100_00, "CAD", 2),
        Amount(0, "CAD", 2),
        3,
    )

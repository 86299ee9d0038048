"""Register, statement of account, movements by day, and breaks by age."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ledger.gl.lookups import Register, Sides
from ledger.gl.memory import MemoryJournal
from ledger.reports.ageing import DAY, AgedBreak, aged, ageing
from ledger.reports.lines import CLOSING, LINES, OPENING, Entries
from ledger.reports.report import Report, wrong_sums
from tests.integration.gl_runs import CASH, DEPOSIT, NOW, Chain, Leg, made, moved


@pytest.fixture
def journal() -> MemoryJournal:
    books, chain = MemoryJournal(), Chain()
    books.post(0, books.watermark(0), [chain.run(
        moved(0, 1_250_00, effective_at=NOW + DAY, description="Payroll"),
        made(1, Leg(DEPOSIT, 5_00), Leg("income:fees", -4_00), Leg(CASH, -1_00)),
        made(2, Leg(CASH, 300, "JPY", 0), Leg(DEPOSIT, -300, "JPY", 0)),
    )])  # fmt: skip
    return books


def shown(report: Report) -> list[tuple[str, ...]]:
    assert wrong_sums(report) == []
    return [
        tuple("" if cell is None else str(cell) for cell in row.cells) for row in report.all_rows()
    ]


def entries(journal: MemoryJournal, *accounts: str, **asked: Any) -> Entries:
    found = {each: journal.register(each, **asked) for each in accounts}
    return Entries(found, is_whole=not asked)


def test_a_statement_goes_from_the_opening_to_the_closing_balance(journal: MemoryJournal) -> None:
    report = LINES["statement"](entries(journal, DEPOSIT, start=NOW + DAY))
    assert shown(report) == [
        (DEPOSIT, "", "", "", "", "", ""),
        (OPENING, "", "", "", "", "-5.00", "CAD"),
        (OPENING, "", "", "", "", "300", "JPY"),
        ("2026-01-02", "t-0", "Payroll", "", "1250.00", "1245.00", "CAD"),
        (CLOSING, "", "", "0.00", "1250.00", "1245.00", "CAD"),
        (CLOSING, "", "", "0", "0", "300", "JPY"),
    ]
    assert report.differences == []


def test_a_register_has_all_that_is_known_of_an_entry(journal: MemoryJournal) -> None:
    report = LINES["register"](entries(journal, CASH))
    row = next(each for each in shown(report) if each[1] == "t-2")
    assert row[7:13] == (
        "deposit", DEPOSIT, "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000002Z", "0", "2",
    )  # fmt: skip


def test_movements_are_by_day_and_go_from_opening_to_closing(journal: MemoryJournal) -> None:
    report = LINES["movements"](entries(journal, CASH))
    assert shown(report) == [
        ("2026-01-01", "CAD", "0.00", "0.00", "1.00", "-1.00", "-1.00", "1"),
        ("2026-01-02", "CAD", "-1.00", "1250.00", "0.00", "1250.00", "1249.00", "1"),
        ("2026-01-01", "JPY", "0", "300", "0", "300", "300", "1"),
        ("All days", "CAD", "0.00", "1250.00", "1.00", "1249.00", "1249.00", "2"),
        ("All days", "JPY", "0", "300", "0", "300", "300", "1"),
    ]


def test_the_days_are_those_of_the_time_zone(journal: MemoryJournal) -> None:
    found = {CASH: journal.register(CASH)}
    report = LINES["movements"](Entries(found, zone=ZoneInfo("America/Toronto")))
    assert {row[0] for row in shown(report)} == {"2025-12-31", "2026-01-01", "All days"}


def test_an_account_without_entries_has_an_empty_report(journal: MemoryJournal) -> None:
    assert shown(LINES["statement"](entries(journal, "assets:none"))) == [
        ("assets:none", "", "", "", "", "", "")
    ]
    assert shown(LINES["movements"](entries(journal, "assets:none"))) == []


@pytest.mark.parametrize("name", LINES)
def test_entries_that_are_not_the_balance_are_said(journal: MemoryJournal, name: str) -> None:
    whole = journal.register(CASH)
    wrong = Register(whole.watermarks, {**whole.closing, "CAD": Sides(2, 999, 100, 2)}, whole.lines)
    [sentence] = LINES[name](Entries({CASH: wrong}, is_whole=True)).differences
    assert "do not add up to its balance" in sentence
    assert LINES[name](Entries({CASH: wrong})).differences == []


def test_breaks_are_by_age_with_totals() -> None:
    now = NOW + 100 * DAY
    breaks = [
        AgedBreak("assets:cash", "CAD", 2, 0, now - DAY // 2, 100_00, 99_00),
        aged("assets:cash", "CAD", 2, 1, now - 40 * DAY, Sides(2, 5, 0, 1), None),
        AgedBreak("assets:bank", "CAD", 2, 1, now - 41 * DAY, 0, 7),
    ]
    report = ageing(breaks, now)
    assert [row[:6] for row in shown(report)[:2]] == [
        ("assets:bank", "CAD", "1", "2026-03-01T00:00:00.000000Z", "41", "over 30 days"),
        ("assets:cash", "CAD", "1", "2026-03-02T00:00:00.000000Z", "40", "over 30 days"),
    ]
    assert shown(report)[3:] == [
        ("less than 1 day", "CAD", "", "", "", "less than 1 day", "100.00", "99.00", "1.00", "1"),
        ("over 30 days", "CAD", "", "", "", "over 30 days", "0.05", "0.07", "-0.02", "2"),
    ]
    assert shown(ageing([], now)) == []

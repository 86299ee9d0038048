"""The rows of a register: an opening balance, entries, and the balance after each."""

import json
from zoneinfo import ZoneInfo

import pytest
import typer

from ledger.cli.register import (
    differences,
    end_option,
    print_lines,
    register_rows,
    table_columns,
)
from ledger.gl.lookups import Register, Sides
from ledger.gl.memory import MemoryJournal
from tests.integration.gl_runs import CASH, DEPOSIT, NOW, Chain, Leg, made, moved

HOUR = 3_600_000_000
DAY = 24 * HOUR


@pytest.fixture
def journal():
    books, chain = MemoryJournal(), Chain()
    books.post(0, books.watermark(0), [chain.run(
        moved(0, 1_250_00, effective_at=NOW + DAY, description="Payroll"),
        made(1, Leg(DEPOSIT, 5_00), Leg("income:fees", -4_00), Leg(CASH, -1_00)),
        made(2, Leg(CASH, 300, "JPY", 0), Leg(DEPOSIT, -300, "JPY", 0)),
    )])  # fmt: skip
    return books


def test_lines_are_on_the_normal_side_with_the_other_side(journal):
    rows = register_rows(DEPOSIT, journal.register(DEPOSIT), "effective")
    keys = ("date", "transaction_id", "debit", "credit", "balance", "currency", "other_side")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("2026-01-01", "t-1", "5.00", None, "-5.00", "CAD", "several"),
        ("2026-01-01", "t-2", None, "300", "300", "JPY", CASH),
        ("2026-01-02", "t-0", None, "1250.00", "1245.00", "CAD", CASH),
    ]
    assert rows[0]["other_accounts"] == [CASH, "income:fees"]
    assert [row["line"] for row in rows] == ["entry"] * 3
    assert (rows[2]["effective_at"], rows[2]["recorded_at"]) == (
        "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z",
    )  # fmt: skip
    json.dumps(rows)
    by_record = register_rows(DEPOSIT, journal.register(DEPOSIT, by="recorded"), "recorded")
    assert [row["date"] for row in by_record] == ["2026-01-01"] * 3
    assert [row["transaction_id"] for row in by_record] == ["t-0", "t-1", "t-2"]


def test_a_cut_begins_with_the_opening_balance(journal):
    rows = register_rows(DEPOSIT, journal.register(DEPOSIT, start=NOW + DAY), "effective")
    assert [(row["line"], row["currency"], row["balance"]) for row in rows] == [
        ("opening", "CAD", "-5.00"), ("opening", "JPY", "300"), ("entry", "CAD", "1245.00"),
    ]  # fmt: skip
    assert {row["date"] for row in rows[:2]} == {None}


def test_the_last_balance_of_each_currency_is_the_closing_one(journal):
    found = journal.register(CASH, limit=1)
    last = {row["currency"]: row["balance"] for row in register_rows(CASH, found, "effective")}
    assert last == {"CAD": "1249.00", "JPY": "300"}


def test_entries_that_do_not_add_up_are_a_finding(journal):
    whole = journal.register(CASH)
    assert list(differences(CASH, whole, {})) == []
    wrong = Register(whole.watermarks, whole.closing | {"CAD": Sides(2, 999, 100, 2)}, whole.lines)
    [sentence] = differences(CASH, wrong, {})
    assert "do not add up to its balance" in sentence
    # What is cut has a balance before it.
    cut = journal.register(CASH, limit=1)
    assert list(differences(CASH, cut, {"limit": 1})) == []
    assert list(differences(CASH, cut, {"start": NOW})) == []
    assert len(list(differences(CASH, wrong, {"limit": 9}))) == 1


def test_the_table_has_a_column_for_each_and_no_cut_amount(journal, capsys):
    print_lines(CASH, register_rows(CASH, journal.register(CASH, limit=1), "effective"), {})
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["date", "id", "kind"]
    assert [line.split() for line in lines] == [
        ["opening", "balance", "-1.00", "CAD"],
        ["opening", "balance", "300", "JPY"],
        ["2026-01-02", "t-0", "deposit", "Payroll", "1250.00", "1249.00", "CAD", DEPOSIT],
    ]
    print_lines("assets:x", [], {})
    assert "No entry of assets:x is in the general ledger. " in capsys.readouterr().err
    print_lines("assets:x", [], {"currency": "USD"})
    assert "for what was asked. `faust-ledger accounts list" in capsys.readouterr().err


def test_of_one_currency_its_column_goes_first_where_the_terminal_is_narrow():
    drops = {each.key: each.drop for each in table_columns([{"currency": "CAD"}])}
    assert min((drop, key) for key, drop in drops.items() if drop) == (1, "currency")
    several = table_columns([{"currency": "CAD"}, {"currency": "JPY"}])
    assert {each.key: each.drop for each in several}["currency"] == 0


def test_dates_are_those_of_the_time_zone(journal):
    toronto = ZoneInfo("America/Toronto")
    assert end_option(None, "2025-12-31", toronto) == NOW + 5 * HOUR
    assert end_option("2026-01-01", None, toronto) == NOW + 5 * HOUR
    rows = register_rows(DEPOSIT, journal.register(DEPOSIT), "effective", toronto)
    assert [row["date"] for row in rows] == ["2025-12-31", "2025-12-31", "2026-01-01"]


def test_through_is_the_end_of_a_day():
    assert end_option(None, "2026-01-01") == NOW + DAY
    assert end_option("2026-01-01", None) == NOW
    assert end_option(None, None) is None
    for end, through in (("2026-01-01", "2026-01-01"), (None, "2026-01-01T00:00:00Z")):
        with pytest.raises(typer.BadParameter):
            end_option(end, through)

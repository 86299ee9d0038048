"""Views for people's own tools: decimal amounts, readable by finance, in the way of nothing."""

from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import DBAPIError

from ledger.gl.postgresql import PostgresJournal, shadows
from ledger.gl.postgresql.migrate import upgrade
from ledger.gl.postgresql.views import VIEWS
from tests.integration.gl_runs import CASH, DEPOSIT, NOW, Chain, Leg, made, moved, void_of

if TYPE_CHECKING:
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.integration.gl_database"]
DAY = 86_400_000_000


@pytest.fixture
def filled(server: str) -> Any:
    """A database of its own, with a void transaction and a currency of 18 decimals."""
    from tests.integration.gl_database import new_database

    with new_database(server) as database:
        upgrade(database.owner)
        chain = Chain()
        wei = Leg(CASH, 9 * 10**18, "ETH", 18)
        first = chain.run(
            moved(0, 1_250_00, description="Payroll", effective_at=NOW + DAY),
            made(1, Leg(CASH, 300, "JPY", 0), Leg(DEPOSIT, -300, "JPY", 0)),
            made(2, wei, wei._replace(account="equity:capital", amount=-wei.amount)),
            moved(3, 99_00),
        )
        second = chain.run(moved(5, 5), voided=[void_of(first, 3, at=4)])
        with closing(PostgresJournal(database.service)) as journal:
            journal.post(0, journal.watermark(0), [first])
            journal.post(0, journal.watermark(0), [second])
        yield database


def asked(database: "Database", query: str) -> list[tuple[Any, ...]]:
    """As finance."""
    with (
        database.engine(database.as_role("ledger_finance")) as engine,
        engine.connect() as connection,
    ):
        return list(map(tuple, connection.exec_driver_sql(query)))


def test_finance_reads_decimal_amounts(filled: "Database") -> None:
    assert asked(
        filled,
        "SELECT account, currency, balance::text, normal_side FROM ledger_views.balances ORDER BY 1, 2",
    ) == [
        (CASH, "CAD", "1250.05", "debit"),
        (CASH, "ETH", "9.000000000000000000", "debit"),
        (CASH, "JPY", "300", "debit"),
        ("equity:capital", "ETH", "9.000000000000000000", "credit"),
        (DEPOSIT, "CAD", "1250.05", "credit"),
        (DEPOSIT, "JPY", "300", "credit"),
    ]
    sums = "SELECT currency, sum(net_debit) = sum(net_credit) FROM ledger_views.trial_balance GROUP BY 1"
    assert {equal for _, equal in asked(filled, sums)} == {True}


def test_entries_and_days_are_what_is_not_void(filled: "Database") -> None:
    rows = asked(filled, "SELECT transaction_id, side, debit, credit, net FROM ledger_views.entries"
                         " WHERE currency = 'CAD' ORDER BY log_offset, entry")  # fmt: skip
    assert [row[:2] for row in rows] == [
        ("t-0", "debit"), ("t-0", "credit"), ("t-5", "debit"), ("t-5", "credit"),
    ]  # fmt: skip
    assert rows[1][2:] == (None, Decimal("1250.00"), Decimal("-1250.00"))
    days = asked(filled, "SELECT day::text, debits::text, credits::text, entries FROM"
                         f" ledger_views.movements_by_day WHERE account = '{CASH}' AND"
                         " currency = 'CAD' ORDER BY 1")  # fmt: skip
    assert days == [("2026-01-01", "0.05", "0.00", 1), ("2026-01-02", "1250.00", "0.00", 1)]


def test_a_condition_on_an_account_is_looked_up_by_index(filled: "Database") -> None:
    plan = asked(filled, "EXPLAIN SELECT * FROM ledger_views.entries WHERE account = 'assets:cash'")
    text = "\n".join(row[0] for row in plan)
    assert "Function Scan" not in text, text


def test_nobody_changes_anything_by_a_view(filled: "Database") -> None:
    for view in VIEWS:
        with pytest.raises(DBAPIError, match=r"cannot delete from view|permission denied"):
            asked(filled, f"DELETE FROM ledger_views.{view}")


def test_views_follow_the_tables_that_replace_others(filled: "Database") -> None:
    before = asked(filled, "SELECT count(*) FROM ledger_views.entries")
    shadows.create_shadow(filled.owner, "anew", "a test")
    shadows.require_switchable(filled.owner, "anew")
    with shadows.posting_held(filled.owner) as connection:
        shadows.switch(connection, "anew", "anew_before")
    upgrade(filled.owner)
    assert before == [(8,)]
    assert asked(filled, "SELECT count(*) FROM ledger_views.entries") == [(0,)]


def test_upgrading_again_makes_what_is_missing(filled: "Database") -> None:
    filled.run("DROP VIEW ledger_views.movements_by_day")
    upgrade(filled.owner)
    assert len(asked(filled, "SELECT * FROM ledger_views.movements_by_day")) == 8

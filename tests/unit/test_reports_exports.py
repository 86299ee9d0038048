"""Exports of the journal and of balances, and the programs that read them."""

import csv
import io
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.cli.report_output import written
from ledger.errors import LedgerError
from ledger.gl.memory import MemoryJournal
from ledger.reports.exports import Nets, journal_of, write_balances_csv, write_journal_csv
from ledger.reports.parquet import decimal_of, write_balances_parquet, write_journal_parquet
from ledger.reports.plain_text import (
    Names,
    beancount,
    beancount_account,
    beancount_currency,
    hledger,
)
from tests.integration.gl_runs import CASH, DEPOSIT, NOW, Chain, Leg, made, moved, void_of

DAY = 86_400_000_000
TEXT = 'say "hi" \\ ; |\n=1+1 Łódź'
WEI = Leg("assets:a_b:c", 123_456_789_012_345_678, "ETH", 18)


@pytest.fixture
def journal() -> MemoryJournal:
    """Two shards; names that other programs do not take; a transaction that is void."""
    books, chain = MemoryJournal(), Chain()
    first = chain.run(
        moved(0, 1_250_00, description=TEXT, effective_at=NOW + DAY),
        made(1, Leg(DEPOSIT, 5_00), Leg("income:fees", -4_00), Leg(CASH, -1_00)),
        made(2, Leg(CASH, 300, "JPY", 0), Leg(DEPOSIT, -300, "JPY", 0), description="=1+1"),
        made(3, WEI, WEI._replace(account="liabilities:a.b", amount=-WEI.amount)),
        made(4, Leg("assets:a.b", 7_00), Leg("assets:a_b", -7_00)),
        moved(5, 99_00),
    )
    second = chain.run(moved(7, 1_00), voided=[void_of(first, 5, at=6)])
    books.post(0, books.watermark(0), [first])
    books.post(0, books.watermark(0), [second])
    other = Chain(shard=1)
    books.post(1, books.watermark(1), [other.run(moved(0, 42, debit="assets:cash:till"))])
    return books


def nets(journal: MemoryJournal) -> dict[tuple[str, str], Decimal]:
    """The balances of the general ledger, without those that are zero: debits above zero."""
    return {
        (row.account, row.currency): Decimal(row.debits - row.credits).scaleb(-row.scale)
        for row in journal.balances()
        if row.debits != row.credits
    }


def test_a_void_transaction_is_in_no_export(journal: MemoryJournal) -> None:
    ids = {each.transaction_id for each in journal_of(journal).transactions()}
    assert ids == {"t-0", "t-1", "t-2", "t-3", "t-4", "t-7"}


def test_the_journal_as_csv_adds_up_to_the_balances(journal: MemoryJournal) -> None:
    file = io.StringIO(newline="")
    count = write_journal_csv(journal_of(journal), file)
    file.seek(0)
    rows = list(csv.DictReader(file))
    assert len(rows) == count
    assert rows[0]["description"] == TEXT
    assert {row["description"] for row in rows if row["transaction_id"] == "t-2"} == {"'=1+1"}
    sums: dict[tuple[str, str], Decimal] = {}
    for row in rows:
        key = row["account"], row["currency"]
        change = Decimal(row["debit"] or "0") - Decimal(row["credit"] or "0")
        sums[key] = sums.get(key, Decimal(0)) + change
    assert {key: amount for key, amount in sums.items() if amount} == nets(journal)


def test_balances_as_csv_are_on_the_normal_side(journal: MemoryJournal) -> None:
    file = io.StringIO(newline="")
    write_balances_csv(journal.balances(), file)
    file.seek(0)
    rows = {(row["account"], row["currency"]): row for row in csv.DictReader(file)}
    assert rows[DEPOSIT, "JPY"]["balance"] == "300"
    assert rows["assets:a_b:c", "ETH"]["balance"] == "0.123456789012345678"
    assert rows["assets:a_b", "CAD"]["balance"] == "-7.00"


def test_parquet_has_exact_decimals(journal: MemoryJournal) -> None:
    import pyarrow.parquet

    file = io.BytesIO()
    count = write_journal_parquet(journal_of(journal), file)
    found = pyarrow.parquet.read_table(io.BytesIO(file.getvalue()))
    assert found.num_rows == count
    assert str(found.schema.field("amount").type) == "decimal128(38, 18)"
    sums: dict[tuple[str, str], Decimal] = {}
    for row in found.to_pylist():
        assert row["amount"].scaleb(row["scale"]) == row["minor_units"]
        key = row["account"], row["currency"]
        signed = row["amount"] if row["side"] == "debit" else -row["amount"]
        sums[key] = sums.get(key, Decimal(0)) + signed
    assert {key: amount for key, amount in sums.items() if amount} == nets(journal)
    first = found.to_pylist()[0]
    assert first["description"] == TEXT
    assert first["effective_at"].isoformat() == "2026-01-02T00:00:00+00:00"


def test_balances_as_parquet(journal: MemoryJournal) -> None:
    import pyarrow.parquet

    file = io.BytesIO()
    write_balances_parquet(journal.balances(), file)
    found = pyarrow.parquet.read_table(io.BytesIO(file.getvalue())).to_pylist()
    assert {
        (row["account"], row["currency"]): row["debits"] - row["credits"]
        for row in found
        if row["debits"] != row["credits"]
    } == nets(journal)


def test_a_decimal_that_is_too_long_is_refused() -> None:
    assert decimal_of(10**37, 0, 0) == 10**37
    with pytest.raises(LedgerError, match="more than 38 digits"):
        decimal_of(10**38, 0, 0)


@pytest.mark.parametrize(
    ("code", "name"),
    [("assets:cash", "Assets:Cash"), ("liabilities:deposits:2378", "Liabilities:Deposits:2378"),
     ("assets:a_b.c", "Assets:A-b-c")],
)  # fmt: skip
def test_accounts_have_names_that_beancount_takes(code: str, name: str) -> None:
    assert beancount_account(code) == name


@pytest.mark.parametrize(
    ("code", "name"),
    [("CAD", "CAD"), ("us_T1", "UST1"), ("1INCH", "X1INCHX"), ("X", "XXX"), ("TRUE", "XTRUEX")],
)
def test_currencies_have_names_that_beancount_takes(code: str, name: str) -> None:
    assert beancount_currency(code) == name


def test_no_two_accounts_share_a_name() -> None:
    names = Names(beancount_account)
    assert [names.of(each) for each in ("assets:a_b", "assets:a.b", "assets:a-b", "assets:a_b")] == [
        "Assets:A-b", "Assets:A-b-2", "Assets:A-b-3", "Assets:A-b",
    ]  # fmt: skip


def text_of(form: Any, journal: MemoryJournal) -> str:
    return "".join(f"{line}\n" for line in form(journal_of(journal), Nets()))


def test_beancount_reads_the_export_and_has_the_same_balances(journal: MemoryJournal) -> None:
    from beancount import loader
    from beancount.core import data, realization

    found, errors, _ = loader.load_string(text_of(beancount, journal))
    assert errors == []
    codes = {each.account: each.meta["code"] for each in found if isinstance(each, data.Open)}
    currencies = {each.currency: each.meta["code"]
                  for each in found if isinstance(each, data.Commodity)}  # fmt: skip
    balances = {
        (codes[account.account], currencies[position.units.currency]): position.units.number
        for account in realization.iter_children(realization.realize(found), leaf_only=False)
        for position in account.balance
    }
    assert {key: number for key, number in balances.items() if number} == nets(journal)
    # It checks them itself as well, and sees what is changed.
    wrong = text_of(beancount, journal).replace("1250.00", "1250.01", 1)
    assert loader.load_string(wrong)[1] != []
    [first] = [each for each in found if isinstance(each, data.Transaction)
               and each.meta["position"] == "0:0"]  # fmt: skip
    assert first.narration == 'say "hi" \\ ; | =1+1 Łódź'


HLEDGER = shutil.which("hledger")


@pytest.mark.skipif(HLEDGER is None, reason="hledger is not installed: apt-get install hledger")
def test_hledger_reads_the_export_and_has_the_same_balances(
    journal: MemoryJournal, tmp_path: Path
) -> None:
    assert HLEDGER is not None
    file = tmp_path / "ledger.journal"
    file.write_text(text_of(hledger, journal), encoding="utf-8")
    command = [HLEDGER, "--file", str(file), "balance", "--flat", "--no-total", "--layout", "bare",
               "--output-format", "csv"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {
        (row["account"], row["commodity"].strip('"')): Decimal(row["balance"])
        for row in rows
        if Decimal(row["balance"])
    } == nets(journal)


def test_hledger_is_given_its_own_form(journal: MemoryJournal) -> None:
    lines = text_of(hledger, journal).splitlines()
    assert lines[0] == "decimal-mark ."
    assert '2026-01-02 * deposit | say "hi" \\ , / =1+1 Łódź  ; transaction_id: t-0' in lines
    assert '    assets:cash  1250.00 "CAD"' in lines
    assert f'    {DEPOSIT}  0 "JPY" = -300 "JPY"' in lines


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("before")

    def fails(opened: Any) -> int:
        opened.write("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(LedgerError, match="cannot be written: No space left on device"):
        written(file, fails, "w")
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]

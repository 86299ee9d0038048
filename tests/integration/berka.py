"""The bank's transactions of 1993 (../shared/data/README.md) as double entry, and what it says.

    rows = read(find())
    line = transaction(rows[0])     # for `faust-ledger publish`
    expected = balances(rows)       # by account, exact

The client's account is a liability of the bank; the other leg follows from what happened.
"""

import csv
import gzip
import os
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

FILE = "data/berka-1993.csv.gz"
DEPOSITS, CURRENCY = "liabilities:deposits", "CZK"
TOLERANCE = Decimal("0.50")
"""The bank rounds interest to 0.1, its own balance with it."""


class Row(NamedTuple):
    """One line of the file; `amount` as written, above zero, in Czech crowns."""

    trans_id: str
    account_id: str
    day: date
    type: str
    operation: str
    amount: str
    balance: Decimal
    k_symbol: str
    bank: str
    counterparty: str

    @property
    def account(self) -> str:
        """The client's, in the ledger."""
        return f"{DEPOSITS}:{self.account_id}"

    @property
    def incoming(self) -> bool:
        """Credit to the client."""
        return self.type == "PRIJEM"

    @property
    def change(self) -> Decimal:
        """What it adds to the client's balance."""
        return Decimal(self.amount) if self.incoming else -Decimal(self.amount)


def find() -> Path | None:
    """The file, or None where the folder is missing; FAUST_LEDGER_SHARED says where else it is."""
    beside = Path(__file__).parents[2].parent / "shared"
    file = Path(os.environ.get("FAUST_LEDGER_SHARED", beside)) / FILE
    return file if file.exists() else None


def read(file: Path) -> list[Row]:
    """In the order of the file, which is by day."""
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        lines = csv.reader(text, delimiter=";")
        next(lines)
        return [_row(line) for line in lines]


def _row(line: list[str]) -> Row:
    trans_id, account_id, day, type_, operation, amount, balance, symbol, bank, counterparty = line
    when = datetime.strptime(f"19{day}", "%Y%m%d").replace(tzinfo=UTC).date()
    return Row(
        trans_id, account_id, when, type_, operation, amount, Decimal(balance), symbol.strip(),
        bank, counterparty,
    )  # fmt: skip


def transaction(row: Row) -> dict[str, Any]:
    """As a line for `faust-ledger publish`; effective at noon of its day."""
    kind, other = _what(row)
    debit, credit = (other, row.account) if row.incoming else (row.account, other)
    named = {
        "k_symbol": row.k_symbol,
        "bank": row.bank,
        "account": row.counterparty.strip(),
    }
    return {
        "transaction_id": f"berka-{row.trans_id}",
        "kind": kind,
        "description": " ".join(filter(None, (row.type, row.operation, row.k_symbol))),
        "effective_at": f"{row.day}T12:00:00Z",
        "ordering_key": row.account,
        "entries": [
            {"account": debit, "side": "debit", "amount": row.amount, "currency": CURRENCY},
            {"account": credit, "side": "credit", "amount": row.amount, "currency": CURRENCY},
        ],
        "metadata": {name: text for name, text in named.items() if text},
    }


# What the bank itself books says so in k_symbol, whatever the operation.
_BOOKED = {
    "UROK": ("interest", "expenses:interest"),
    "SLUZBY": ("fee", "income:fees:statements"),
    "SANKC. UROK": ("penalty_interest", "income:penalty-interest"),
}
_CASH = {
    "VKLAD": ("cash_deposit", "assets:cash"),
    "VYBER": ("cash_withdrawal", "assets:cash"),
    "VYBER KARTOU": ("card_withdrawal", "assets:cards"),
}


def _what(row: Row) -> tuple[str, str]:
    """Kind and the other leg's account. Raises KeyError for what the file does not have."""
    if row.k_symbol in _BOOKED:
        return _BOOKED[row.k_symbol]
    if row.k_symbol == "UVER":
        return "loan_payment", f"assets:loans:{row.account_id}"
    if row.operation in _CASH:
        return _CASH[row.operation]
    kind = {"PREVOD Z UCTU": "transfer_in", "PREVOD NA UCET": "transfer_out"}[row.operation]
    return kind, f"assets:banks:{row.bank or 'unnamed'}"


def balances(rows: Iterable[Row]) -> dict[str, Decimal]:
    """The exact sum of each account's transactions."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        sums[row.account] += row.change
    return dict(sums)


AccountDay = tuple[str, date]


def stated(rows: Iterable[Row]) -> dict[AccountDay, list[Decimal]]:
    """The bank's own balances by account and day; the order within a day is not known."""
    days: dict[AccountDay, list[Decimal]] = defaultdict(list)
    for row in rows:
        days[row.account, row.day].append(row.balance)
    return dict(days)


def end_of(day: date) -> int:
    """The first instant after it, in microseconds since 1970."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    return int(midnight.timestamp()) * 1_000_000

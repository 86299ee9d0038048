"""Exports of the journal and of balances: what they count, and as CSV.

An export counts what was posted up to its positions, read once at its beginning, and leaves out
what is void there; so a journal that is written while others post adds up all the same.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TextIO

from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.domain.transaction import shown_time
from ledger.gl.books import Books
from ledger.gl.rows import PostedTransaction
from ledger.reports.figures import Sided
from ledger.reports.rendered import safe_for_spreadsheets

JOURNAL = (
    "shard", "offset", "entry", "transaction_id", "kind", "description", "effective_at",
    "recorded_at", "account", "currency", "debit", "credit", "reverses", "metadata",
)  # fmt: skip
BALANCES = ("account", "currency", "debits", "credits", "balance", "entries")
"""`balance` is on the account's normal side."""


@dataclass(frozen=True, slots=True)
class JournalExport:
    """The journal up to `positions`, by shard the offset before which everything is counted."""

    books: Books
    positions: Mapping[int, int]
    void: frozenset[tuple[int, int]]

    def transactions(self) -> Iterator[PostedTransaction]:
        """By shard, in order of offset, streamed."""
        for shard, end in sorted(self.positions.items()):
            for each in self.books.transactions(shard, 0, end):
                if (each.shard, each.offset) not in self.void:
                    yield each


def journal_of(books: Books) -> JournalExport:
    """The journal as it is now."""
    positions = {shard: mark.end for shard, mark in books.watermarks().items()}
    # A void after these positions does not count yet.
    void = frozenset(
        (each.shard, each.offset)
        for each in books.voids()
        if each.void_offset < positions.get(each.shard, 0)
    )
    return JournalExport(books, positions, void)


class Net(NamedTuple):
    """What an account has in a currency: minor units, debits less credits."""

    account: str
    currency: str
    scale: int
    amount: int


class Nets:
    """Adds up what passes, for the balances at the end of an export; counts its `entries`."""

    def __init__(self) -> None:
        self.entries = 0
        self._found: dict[tuple[str, str], Net] = {}

    def add(self, transaction: PostedTransaction) -> None:
        """Add the entries of a transaction."""
        self.entries += len(transaction.entries)
        for account, currency, scale, amount in transaction.entries:
            known = self._found.get((account, currency), Net(account, currency, scale, 0))
            self._found[account, currency] = known._replace(amount=known.amount + amount)

    def sorted(self) -> list[Net]:
        """By account and currency."""
        return [self._found[key] for key in sorted(self._found)]


def write_journal_csv(export: JournalExport, file: TextIO) -> int:
    """A line for each entry. Returns how many there are."""
    out = csv.writer(file)
    out.writerow(JOURNAL)
    count = 0
    for each in export.transactions():
        for row in _entries(each):
            out.writerow(map(safe_for_spreadsheets, row))
            count += 1
    return count


def _entries(each: PostedTransaction) -> Iterator[list[str]]:
    for number, (account, currency, scale, amount) in enumerate(each.entries):
        shown = money.show(abs(amount), scale)
        yield [
            str(each.shard), str(each.offset), str(number), each.transaction_id, each.kind,
            each.description, shown_time(each.effective_at), shown_time(each.recorded_at), account,
            currency, shown if amount > 0 else "", shown if amount < 0 else "", each.reverses,
            each.metadata,
        ]  # fmt: skip


def write_balances_csv(rows: Iterable[Sided], file: TextIO) -> int:
    """A line for each account and currency. Returns how many there are."""
    out = csv.writer(file)
    out.writerow(BALANCES)
    count = 0
    for each in rows:
        balance = on_normal_side(each.account, debits=each.debits, credits=each.credits)
        amounts = (money.show(amount, each.scale)
                   for amount in (each.debits, each.credits, balance))  # fmt: skip
        out.writerow([each.account, each.currency, *amounts, each.entries])
        count += 1
    return count

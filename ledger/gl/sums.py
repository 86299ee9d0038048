"""Double entry of a journal: every transaction balances, every stripe is the sum of its entries."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ledger.domain import money
from ledger.domain.balance import NOTHING, Totals
from ledger.domain.checks import MIN_ENTRIES
from ledger.domain.run import Stripe
from ledger.gl.books import LOWEST_OFFSET, Books, Snapshot
from ledger.gl.rows import JournalFinding, PostedTransaction, PostedVoid, RowKey


class CurrencySums(NamedTuple):
    """Debits and credits of the whole journal in one currency, minor units."""

    scale: int
    debits: int
    credits: int


@dataclass(frozen=True, slots=True)
class DoubleEntry:
    """Sums by currency, the number of transactions, and findings on those that do not balance."""

    sums: Mapping[str, CurrencySums]
    transactions: int
    findings: list[JournalFinding]


def double_entry(books: Books, voids: Iterable[PostedVoid] = ()) -> DoubleEntry:
    """Debits and credits of every transaction that is not void, and of all of them together."""
    voided = {(each.shard, each.offset) for each in voids}
    sums: dict[str, CurrencySums] = {}
    findings: list[JournalFinding] = []
    count = 0
    for shard in books.watermarks():
        for transaction in books.transactions(shard, LOWEST_OFFSET):
            if (shard, transaction.offset) in voided:
                continue
            count += 1
            sides = _sides(transaction)
            for currency, (scale, debits, credits) in sides.items():
                known = sums.get(currency, CurrencySums(scale, 0, 0))
                sums[currency] = CurrencySums(scale, known.debits + debits, known.credits + credits)
            findings += _imbalance(transaction, sides)
    return DoubleEntry(dict(sorted(sums.items())), count, findings)


def _sides(transaction: PostedTransaction) -> dict[str, CurrencySums]:
    sides: dict[str, CurrencySums] = {}
    for _, currency, scale, amount in transaction.entries:
        _, debits, credits = sides.get(currency, CurrencySums(scale, 0, 0))
        sides[currency] = CurrencySums(scale, debits + max(amount, 0), credits + max(-amount, 0))
    return sides


def _imbalance(
    transaction: PostedTransaction, sides: Mapping[str, CurrencySums]
) -> Iterator[JournalFinding]:
    name = f"Transaction {transaction.transaction_id!r} at offset {transaction.offset}"
    row = RowKey.of("entries", shard=transaction.shard, log_offset=transaction.offset)
    count = len(transaction.entries)
    if count < MIN_ENTRIES:
        sentence = f"{name} has {count} entries; every transaction has two or more."
        yield JournalFinding.about(row, sentence)
    for currency, (scale, debits, credits) in sides.items():
        if debits != credits:
            yield JournalFinding.about(
                row,
                f"{name} does not balance in {currency}: debits {money.show(debits, scale)}, "
                f"credits {money.show(credits, scale)}.",
            )


def stripes_against_entries(
    books: Books, shard: int, snapshot: Snapshot, voids: Sequence[PostedVoid]
) -> list[JournalFinding]:
    """The stripes of the snapshot against the sums of the entries before its watermark.

    `voids`: of the shard, read after the snapshot.
    """
    watermark, stored = snapshot
    # A transaction that was voided since the snapshot is in its stripes.
    before = {v.offset: v for v in voids if v.decisions_offset < watermark.decisions_offset}
    transactions = books.transactions(shard, LOWEST_OFFSET, watermark.end)
    counted: dict[Stripe, Totals] = {}
    add_entries(counted, (each for each in transactions if each.offset not in before))
    for void in before.values():
        counted |= void.moved(counted)
    return [
        _difference(shard, stripe, stored.get(stripe, NOTHING), counted.get(stripe, NOTHING))
        for stripe in sorted(stored.keys() | counted.keys())
        if stored.get(stripe) != counted.get(stripe)
    ]


def _difference(shard: int, stripe: Stripe, stored: Totals, counted: Totals) -> JournalFinding:
    parts = [
        f"{name} {had} stored, {should} by its entries"
        for name, had, should in zip(Totals._fields, stored, counted, strict=True)
        if had != should
    ]
    return JournalFinding(
        shard,
        max(stored.offset, counted.offset),
        f"The totals of {stripe.account} in {stripe.currency} (minor units) are not the sum of "
        f"its entries: {'; '.join(parts) or 'a row without entries'}.",
        RowKey.of("stripes", **stripe._asdict(), shard=shard),
    )


def add_entries(
    sums: dict[Stripe, Totals], transactions: Iterable[PostedTransaction]
) -> dict[Stripe, Totals]:
    """Count the entries in `sums`; returns the new totals of the stripes that they touch."""
    touched: dict[Stripe, Totals] = {}
    for transaction in transactions:
        for account, currency, _, amount in transaction.entries:
            stripe = Stripe(account, currency)
            known = sums.get(stripe, NOTHING)
            touched[stripe] = sums[stripe] = Totals(
                known.debits + max(amount, 0),
                known.credits + max(-amount, 0),
                known.entries + 1,
                transaction.offset,
            )
    return touched

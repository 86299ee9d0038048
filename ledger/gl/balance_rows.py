"""Rows of balances: which are asked for, and what they had before something was voided."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from ledger.gl.books import BalanceRow
from ledger.gl.posting import posted_transactions
from ledger.gl.rows import PostedVoid


def left_out_then(
    found: Iterable[PostedVoid], effective_before: int | None, recorded_before: int
) -> Iterator[BalanceRow]:
    """A row for each entry that was never posted, because a void came before that.

    Of those that were recorded before the time, and void since.
    """
    for void in found:
        if void.was_posted or void.recorded_at < recorded_before:
            continue
        for each in posted_transactions(void.shard, void.taken):
            is_before = effective_before is None or each.effective_at < effective_before
            if is_before and each.recorded_at < recorded_before:
                for account, currency, scale, amount in each.entries:
                    yield BalanceRow(account, currency, scale, max(amount, 0), max(-amount, 0), 1)


def with_rows(rows: list[BalanceRow], added: Sequence[BalanceRow]) -> list[BalanceRow]:
    """Rows by account and currency with others added to them, sorted."""
    if not added:
        return rows
    sums = {row[:2]: row for row in rows}
    for row in added:
        known = sums.get(row[:2], row._replace(debits=0, credits=0, entries=0))
        sums[row[:2]] = known._replace(
            debits=known.debits + row.debits,
            credits=known.credits + row.credits,
            entries=known.entries + row.entries,
        )
    return sorted(sums.values())


def is_wanted(account: str, named: Collection[str] | None, prefix: str | None) -> bool:
    """Whether the account is one of those named, and under the path."""
    inside = prefix is None or account == prefix or account.startswith(f"{prefix}:")
    return inside and (named is None or account in named)

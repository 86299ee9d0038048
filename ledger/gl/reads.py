"""Queries that several readers of a SQL database share; times in microseconds."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, exists, func, or_, select

from ledger.domain.run import Watermark
from ledger.gl.balance_rows import is_wanted, left_out_then, with_rows
from ledger.gl.books import BalanceQuery, BalanceRow, times_of
from ledger.gl.rows import PostedVoid
from ledger.gl.tables import currencies, entries, shards, stripes, transactions, voids

# Oracle takes no more in one list.
_NAMES_AT_ONCE = 1_000

# Of an entry, minor units.
DEBIT = case((entries.c.side == "D", entries.c.amount), else_=0)
CREDIT = case((entries.c.side == "C", entries.c.amount), else_=0)
VOIDED = exists().where(
    voids.c.shard == entries.c.shard, voids.c.log_offset == entries.c.log_offset
)
"""Whether an entry's transaction is void."""


def read_watermarks(connection: Connection, shard: int | None = None) -> dict[int, Watermark]:
    """By shard: of all that have a run, or of one."""
    query = select(shards).order_by(shards.c.shard)
    if shard is not None:
        query = query.where(shards.c.shard == shard)
    return {
        row.shard: Watermark(
            row.decisions_offset, row.end_offset, bytes(row.digest), row.recorded_until
        )
        for row in connection.execute(query)
    }


def read_voids(connection: Connection, shard: int | None) -> list[PostedVoid]:
    """Of the shard, or of all, in order."""
    query = select(voids).order_by(voids.c.shard, voids.c.log_offset)
    rows = connection.execute(query if shard is None else query.where(voids.c.shard == shard))
    return [PostedVoid._make((*row[:8], bytes(row[8]), bool(row[9]))) for row in rows]


def read_balances(connection: Connection, asked: BalanceQuery) -> list[BalanceRow]:
    """Several queries for many accounts: the connection must be in a repeatable read."""
    accounts, prefix, known = asked.get("accounts"), asked.get("prefix"), asked.get("known_before")
    effective, recorded = times_of(asked)
    is_present = effective is None and recorded is None
    account = stripes.c.account if is_present else entries.c.account
    query = _stripe_sums() if is_present else _entry_sums(effective, recorded)
    # Nearly never any; without voids entries are summed as if there were no such table.
    found = [] if is_present else read_voids(connection, None)
    if found:
        query = query.where(
            ~(VOIDED if known is None else VOIDED.where(voids.c.recorded_at < known))
        )
    if prefix is not None:
        query = query.where(is_under(account, prefix))
    queries = [query]
    if accounts is not None:
        queries = [query.where(account.in_(part)) for part in parts(accounts)]
    rows = [
        BalanceRow(account, currency, scale, int(debits), int(credits), int(count))
        for each in queries
        for account, currency, scale, debits, credits, count in connection.execute(each)
    ]
    left_out = [] if known is None else left_out_then(found, effective, known)
    return with_rows(rows, [row for row in left_out if is_wanted(row.account, accounts, prefix)])


def parts(names: Sequence[str]) -> Iterator[list[str]]:
    """The names, sorted, each once, as many at once as a query takes."""
    once = sorted(set(names))
    return (once[at : at + _NAMES_AT_ONCE] for at in range(0, len(once), _NAMES_AT_ONCE))


def is_under(account: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """The account `prefix` itself and those below it, by whole segments of the path."""
    return or_(account == prefix, account.startswith(f"{prefix}:", autoescape=True))


def _stripe_sums() -> Select[Any]:
    key = (stripes.c.account, stripes.c.currency, currencies.c.scale)
    sums = map(func.sum, (stripes.c.debits, stripes.c.credits, stripes.c.entries))
    joined = stripes.join(currencies, currencies.c.code == stripes.c.currency)
    return select(*key, *sums).select_from(joined).group_by(*key).order_by(*key[:2])


def _entry_sums(effective_before: int | None, recorded_before: int | None) -> Select[Any]:
    limits = (
        (transactions.c.effective_at, effective_before),
        (transactions.c.recorded_at, recorded_before),
    )
    key = (entries.c.account, entries.c.currency, currencies.c.scale)
    joined = entries.join(currencies, currencies.c.code == entries.c.currency).join(
        transactions,
        (transactions.c.shard == entries.c.shard)
        & (transactions.c.log_offset == entries.c.log_offset),
    )
    return (
        select(*key, func.sum(DEBIT), func.sum(CREDIT), func.count())
        .select_from(joined)
        .where(*(time < before for time, before in limits if before is not None))
        .group_by(*key)
        .order_by(*key[:2])
    )

"""Queries of single transactions and accounts, in SQL that PostgreSQL and Oracle understand."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, func, select

from ledger.domain.run import Watermark
from ledger.gl.lookups import (
    SEARCHED,
    FoundTransaction,
    LookupResult,
    PostedIn,
    Register,
    RegisterLine,
    RegisterQuery,
    ReversedBy,
    Sides,
)
from ledger.gl.posting import posted_transactions
from ledger.gl.reads import CREDIT, DEBIT, VOIDED, read_voids, read_watermarks
from ledger.gl.rows import PostedTransaction, PostedVoid
from ledger.gl.tables import currencies, entries, runs, shards, stripes, transactions, voids

_SIGNED = DEBIT - CREDIT
_JOINED = entries.join(
    transactions,
    and_(
        transactions.c.shard == entries.c.shard,
        transactions.c.log_offset == entries.c.log_offset,
    ),
)
_LEGS = (
    # Entries of a currency whose row is missing are read as well.
    select(entries.c.account, entries.c.currency, func.coalesce(currencies.c.scale, 0), _SIGNED)
    .outerjoin(currencies, currencies.c.code == entries.c.currency)
    .order_by(entries.c.entry)
)
_REVERSAL = (
    transactions.c.transaction_id,
    transactions.c.shard,
    transactions.c.log_offset,
    transactions.c.effective_at,
    transactions.c.recorded_at,
)
_LINE = (
    transactions.c.effective_at,
    transactions.c.recorded_at,
    entries.c.shard,
    entries.c.log_offset,
    entries.c.entry,
    transactions.c.transaction_id,
    transactions.c.kind,
    transactions.c.description,
    transactions.c.reverses,
    entries.c.currency,
    currencies.c.scale,
    _SIGNED,
)


def find(connection: Connection, transaction_id: str) -> LookupResult:
    """By index; the connection must be in a repeatable read."""
    marks = read_watermarks(connection)
    voids = {(each.shard, each.offset): each for each in read_voids(connection, None)}
    posted = [*_posted(connection, transaction_id), *_left_out(voids.values(), transaction_id)]
    found = []
    for each in sorted(posted, key=lambda one: (one.recorded_at, one.shard, one.offset)):
        mark = marks.get(each.shard, Watermark())
        reversals, searched = _reversals(connection, each, mark.end)
        void = voids.get((each.shard, each.offset))
        reversed_by = [ReversedBy._make((*row, (row[1], row[2]) in voids)) for row in reversals]
        run = _posted_in(connection, each, mark)
        found.append(FoundTransaction(each, run, void, reversed_by, searched))
    return LookupResult(marks, found)


def _posted(connection: Connection, transaction_id: str) -> Iterator[PostedTransaction]:
    query = select(transactions).where(transactions.c.transaction_id == transaction_id)
    for row in connection.execute(query).all():
        is_its = (entries.c.shard == row.shard) & (entries.c.log_offset == row.log_offset)
        legs = connection.execute(_LEGS.where(is_its))
        yield PostedTransaction._make((*row, [(*leg[:3], int(leg[3])) for leg in legs]))


def _left_out(voids: Any, transaction_id: str) -> Iterator[PostedTransaction]:
    """Of voids without rows in `transactions`: few, or none at all."""
    each: PostedVoid
    for each in voids:
        if not each.was_posted and each.transaction_id == transaction_id:
            yield from posted_transactions(each.shard, each.taken)


def _posted_in(connection: Connection, each: PostedTransaction, mark: Watermark) -> PostedIn | None:
    """Its run, by bisection: runs of a shard are in the order of their decision offsets."""
    low, high = 0, mark.decisions_offset
    query = (
        select(runs.c.decisions_offset, runs.c.start_offset, runs.c.end_offset, runs.c.posted_at)
        .where(runs.c.shard == each.shard)
        .order_by(runs.c.decisions_offset)
        .limit(1)
    )
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(query.where(runs.c.decisions_offset >= middle)).first()
        if row is None or each.offset < row.start_offset:
            high = middle
        elif each.offset < row.end_offset:
            return PostedIn._make(row)
        else:
            low = row.decisions_offset + 1
    return None


def _reversals(
    connection: Connection, each: PostedTransaction, end: int
) -> tuple[Sequence[Any], int]:
    """Rows of what reverses it, and the position before which they were looked for.

    No index has what a transaction reverses. A reversal is in the same shard and touches the same
    accounts, so that the entries of the one with the fewest are read.
    """
    account = _rarest(connection, sorted({leg[0] for leg in each.entries}))
    if account is not None:
        query = select(*_REVERSAL).distinct().select_from(_JOINED)
        query = query.where(entries.c.account == account)
        searched = end
    else:
        query, searched = select(*_REVERSAL), min(end, each.offset + 1 + SEARCHED)
    query = query.where(
        transactions.c.shard == each.shard,
        transactions.c.log_offset > each.offset,
        transactions.c.log_offset < searched,
        transactions.c.reverses == each.transaction_id,
    ).order_by(transactions.c.log_offset)
    return connection.execute(query).all(), searched


def _rarest(connection: Connection, accounts: Sequence[str]) -> str | None:
    """The account with the fewest entries; None where that is more than SEARCHED."""
    count = func.sum(stripes.c.entries)
    query = (
        select(stripes.c.account, count)
        .where(stripes.c.account.in_(accounts))
        .group_by(stripes.c.account)
        .order_by(count, stripes.c.account)
        .limit(1)
    )
    row = connection.execute(query).first()
    return row.account if row is not None and row[1] <= SEARCHED else None


def posted_at(connection: Connection) -> dict[int, int]:
    """By shard, by key."""
    last = and_(
        runs.c.shard == shards.c.shard, runs.c.decisions_offset == shards.c.decisions_offset - 1
    )
    query = select(shards.c.shard, runs.c.posted_at).join_from(shards, runs, last)
    return dict(connection.execute(query.order_by(shards.c.shard)).all())


def register(connection: Connection, account: str, asked: RegisterQuery) -> Register:
    """Several queries: the connection must be in a repeatable read."""
    marks = read_watermarks(connection)
    # Nearly never any; without them entries are read as if there were no such table.
    skips_voids = connection.execute(select(voids.c.shard).limit(1)).first() is not None
    closing = connection.execute(_closing(account, asked, skips_voids=skips_voids))
    sums = {
        currency: Sides(scale, int(debits), int(credits), int(count))
        for currency, scale, debits, credits, count in closing
    }
    page = _lines(account, asked, skips_voids=skips_voids)
    rows = connection.execute(page).all()
    others = _others(connection, page) if rows else {}
    lines = [_line(row, others) for row in reversed(rows)]
    return Register(marks, sums, lines)


def _line(row: Any, others: Mapping[tuple[int, int, str, bool], list[str]]) -> RegisterLine:
    *fields, amount = row
    is_credit = amount < 0
    accounts = sorted(others.get((row.shard, row.log_offset, row.currency, is_credit), ()))
    return RegisterLine._make((*fields, int(amount), accounts))


def _closing(account: str, asked: RegisterQuery, *, skips_voids: bool) -> Select[Any]:
    end, currency = asked.get("end"), asked.get("currency")
    table = stripes if end is None else entries
    key = (table.c.currency, currencies.c.scale)
    if end is None:
        sums = map(func.sum, (stripes.c.debits, stripes.c.credits, stripes.c.entries))
        query = select(*key, *sums).select_from(
            stripes.join(currencies, currencies.c.code == stripes.c.currency)
        )
    else:
        query = select(*key, func.sum(DEBIT), func.sum(CREDIT), func.count()).select_from(
            _JOINED.join(currencies, currencies.c.code == entries.c.currency)
        )
        query = query.where(_time(asked) < end)
        if skips_voids:
            query = query.where(~VOIDED)
    if currency is not None:
        query = query.where(table.c.currency == currency)
    return query.where(table.c.account == account).group_by(*key).order_by(table.c.currency)


def _time(asked: RegisterQuery) -> Any:
    by_effect = asked.get("by", "effective") == "effective"
    return transactions.c.effective_at if by_effect else transactions.c.recorded_at


def _lines(account: str, asked: RegisterQuery, *, skips_voids: bool) -> Select[Any]:
    """The newest first, so that a limit takes the last ones."""
    time, start, end = _time(asked), asked.get("start"), asked.get("end")
    currency, limit = asked.get("currency"), asked.get("limit")
    joined = _JOINED.join(currencies, currencies.c.code == entries.c.currency)
    query = select(*_LINE).select_from(joined).where(entries.c.account == account)
    if currency is not None:
        query = query.where(entries.c.currency == currency)
    if start is not None:
        query = query.where(time >= start)
    if end is not None:
        query = query.where(time < end)
    if skips_voids:
        query = query.where(~VOIDED)
    # Of one effective time in the order of the ledger, or a balance is seen that there never was.
    axes = dict.fromkeys((time, transactions.c.recorded_at))
    place = (*axes, entries.c.shard, entries.c.log_offset, entries.c.entry)
    query = query.order_by(*(column.desc() for column in place))
    return query if limit is None else query.limit(limit)


def _others(
    connection: Connection, lines: Select[Any]
) -> dict[tuple[int, int, str, bool], list[str]]:
    """By transaction, currency and whether an entry is a credit: accounts on the other side."""
    page = lines.subquery()
    keys = select(page.c.shard, page.c.log_offset).distinct().subquery()
    columns = (
        entries.c.shard,
        entries.c.log_offset,
        entries.c.currency,
        entries.c.side,
        entries.c.account,
    )
    is_its = and_(entries.c.shard == keys.c.shard, entries.c.log_offset == keys.c.log_offset)
    query = select(*columns).distinct().select_from(entries.join(keys, is_its))
    found: dict[tuple[int, int, str, bool], list[str]] = {}
    for shard, offset, currency, side, account in connection.execute(query):
        found.setdefault((shard, offset, currency, side == "D"), []).append(account)
    return found

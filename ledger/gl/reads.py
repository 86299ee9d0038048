"""Queries of the journal, in SQL that PostgreSQL and Oracle understand; times in microseconds."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, case, exists, func, or_, select

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.books import Accepted, BalanceQuery, BalanceRow, Snapshot, TimeAxis
from ledger.gl.rows import PostedRun, PostedTransaction, PostedVoid
from ledger.gl.tables import currencies, entries, runs, shards, stripes, transactions, voids

_PAGE = 1_000
# Oracle takes no more in one list.
_NAMES_AT_ONCE = 1_000

_DEBIT = case((entries.c.side == "D", entries.c.amount), else_=0)
_CREDIT = case((entries.c.side == "C", entries.c.amount), else_=0)
_WATERMARKS = select(shards).order_by(shards.c.shard)
_VOIDED = exists().where(
    voids.c.shard == entries.c.shard, voids.c.log_offset == entries.c.log_offset
)
_VOIDS = select(voids).order_by(voids.c.shard, voids.c.log_offset)
_TOTALS = (stripes.c.debits, stripes.c.credits, stripes.c.entries, stripes.c.last_offset)


def read_watermark(connection: Connection, shard: int) -> Watermark:
    """Zeros before the shard's first run."""
    row = connection.execute(_WATERMARKS.where(shards.c.shard == shard)).one_or_none()
    return Watermark() if row is None else _watermark(row)


def read_watermarks(connection: Connection) -> dict[int, Watermark]:
    """By shard."""
    return {row.shard: _watermark(row) for row in connection.execute(_WATERMARKS)}


def _watermark(row: Any) -> Watermark:
    return Watermark(row.decisions_offset, row.end_offset, bytes(row.digest), row.recorded_until)


def read_scales(connection: Connection) -> dict[str, int]:
    """By code."""
    return {row.code: row.scale for row in connection.execute(select(currencies))}


def read_voids(connection: Connection, shard: int | None) -> list[PostedVoid]:
    """Of the shard, or of all, in order."""
    query = _VOIDS if shard is None else _VOIDS.where(voids.c.shard == shard)
    rows = connection.execute(query)
    return [PostedVoid._make((*row[:8], bytes(row[8]), bool(row[9]))) for row in rows]


def _has_voids(connection: Connection) -> bool:
    """Nearly never true; without voids entries are summed as if there were no such table."""
    return connection.execute(select(voids.c.shard).limit(1)).first() is not None


def read_snapshot(connection: Connection, shard: int, since: int) -> Snapshot:
    """Two queries and one snapshot: the connection must be in a repeatable read."""
    query = select(stripes.c.account, stripes.c.currency, *_TOTALS).where(
        stripes.c.shard == shard, stripes.c.last_offset >= since
    )
    head = read_watermark(connection, shard)
    rows = connection.execute(query)
    return Snapshot(head, {Stripe(*row[:2]): Totals(*row[2:]) for row in rows})


def read_stripes(connection: Connection) -> Iterator[tuple[int, Stripe, Totals]]:
    """By account, currency and shard, streamed; the connection is busy until the end."""
    key = (stripes.c.account, stripes.c.currency, stripes.c.shard)
    query = select(stripes.c.shard, *key[:2], *_TOTALS).order_by(*key)
    for row in connection.execute(query, execution_options={"yield_per": _PAGE}):
        yield row[0], Stripe(*row[1:3]), Totals(*row[3:])


def totals_before(connection: Connection, shard: int, end: int) -> dict[Stripe, Totals]:
    """The sums of the shard's entries at positions before `end`, without those void by now."""
    query = (
        select(
            entries.c.account,
            entries.c.currency,
            func.sum(_DEBIT),
            func.sum(_CREDIT),
            func.count(),
            func.max(entries.c.log_offset),
        )
        .where(entries.c.shard == shard, entries.c.log_offset < end)
        .group_by(entries.c.account, entries.c.currency)
    )
    found = read_voids(connection, shard)
    if found:
        query = query.where(~_VOIDED)
    totals = {
        Stripe(account, currency): Totals(int(debits), int(credits), count, last)
        for account, currency, debits, credits, count, last in connection.execute(query)
    }
    for void in found:
        if void.void_offset < end:
            totals |= void.moved(totals)
    return totals


def read_balances(connection: Connection, asked: BalanceQuery) -> list[BalanceRow]:
    """Several queries for many accounts: the connection must be in a repeatable read."""
    accounts, prefix, as_of = asked.get("accounts"), asked.get("prefix"), asked.get("as_of")
    query = _stripe_sums() if as_of is None else _entry_sums(as_of, asked.get("by", "effective"))
    if as_of is not None and _has_voids(connection):
        query = query.where(~_VOIDED)
    account = stripes.c.account if as_of is None else entries.c.account
    if prefix is not None:
        query = query.where(_is_under(account, prefix))
    if accounts is None:
        queries = [query]
    else:
        queries = [query.where(account.in_(part)) for part in _parts(accounts)]
    rows = [row for each in queries for row in connection.execute(each)]
    return [
        BalanceRow(account, currency, scale, int(debits), int(credits), int(count))
        for account, currency, scale, debits, credits, count in rows
    ]


def read_accepted(connection: Connection, ids: Sequence[str]) -> dict[str, Accepted]:
    """By id, where it was accepted; the last time, should it have been more than once."""
    found: dict[str, Accepted] = {}
    columns = transactions.c
    query = select(
        columns.transaction_id,
        columns.shard,
        columns.log_offset,
        columns.created_at,
        columns.recorded_at,
    )
    for part in _parts(ids):
        rows = connection.execute(query.where(columns.transaction_id.in_(part)))
        for name, shard, offset, created_at, recorded_at in rows:
            known_from = max(created_at, recorded_at)
            if name not in found or found[name].known_from < known_from:
                found[name] = Accepted(shard, offset, known_from)
    return found


def _parts(names: Sequence[str]) -> Iterator[list[str]]:
    """The names, sorted, each once, as many at once as a query takes."""
    once = sorted(set(names))
    return (once[at : at + _NAMES_AT_ONCE] for at in range(0, len(once), _NAMES_AT_ONCE))


def _is_under(account: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """The account `prefix` itself and those below it, by whole segments of the path."""
    return or_(account == prefix, account.startswith(f"{prefix}:", autoescape=True))


def _stripe_sums() -> Select[Any]:
    key = (stripes.c.account, stripes.c.currency, currencies.c.scale)
    sums = map(func.sum, (stripes.c.debits, stripes.c.credits, stripes.c.entries))
    joined = stripes.join(currencies, currencies.c.code == stripes.c.currency)
    return select(*key, *sums).select_from(joined).group_by(*key).order_by(*key[:2])


def _entry_sums(as_of: int, by: TimeAxis) -> Select[Any]:
    time = transactions.c.effective_at if by == "effective" else transactions.c.recorded_at
    key = (entries.c.account, entries.c.currency, currencies.c.scale)
    joined = entries.join(currencies, currencies.c.code == entries.c.currency).join(
        transactions,
        (transactions.c.shard == entries.c.shard)
        & (transactions.c.log_offset == entries.c.log_offset),
    )
    return (
        select(*key, func.sum(_DEBIT), func.sum(_CREDIT), func.count())
        .select_from(joined)
        .where(time < as_of)
        .group_by(*key)
        .order_by(*key[:2])
    )


def run_pages(engine: Engine, shard: int, after: int) -> Iterator[PostedRun]:
    """Each page in a transaction of its own, so that a slow reader keeps none open."""
    columns = [column for column in runs.c if column is not runs.c.posted_at]
    query = select(*columns).where(runs.c.shard == shard).order_by(runs.c.decisions_offset)
    while True:
        with engine.connect() as connection:
            page = connection.execute(
                query.where(runs.c.decisions_offset >= after).limit(_PAGE)
            ).all()
        for row in page:
            digests, decided_with = map(bytes, row[4:7]), bytes(row[10] or b"")
            yield PostedRun._make((*row[:4], *digests, *row[7:10], decided_with))
        if len(page) < _PAGE:
            return
        after = page[-1].decisions_offset + 1


def transaction_pages(
    engine: Engine, shard: int, start: int, end: int | None
) -> Iterator[PostedTransaction]:
    """As `run_pages`; what was posted never changes, so pages need no common snapshot."""
    query = select(transactions).where(transactions.c.shard == shard)
    query = query.order_by(transactions.c.log_offset).limit(_PAGE)
    if end is not None:
        query = query.where(transactions.c.log_offset < end)
    while True:
        with engine.connect() as connection:
            page = connection.execute(query.where(transactions.c.log_offset >= start)).all()
            if not page:
                return
            last = page[-1].log_offset
            found = _entries_of(connection, shard, page[0].log_offset, last)
        for row in page:
            yield PostedTransaction._make((*row, found.get(row.log_offset, [])))
        if len(page) < _PAGE:
            return
        start = last + 1


def _entries_of(
    connection: Connection, shard: int, first: int, last: int
) -> dict[int, list[tuple[str, str, int, int]]]:
    """By offset, from `first` to `last` inclusive."""
    query = (
        select(
            entries.c.log_offset,
            entries.c.account,
            entries.c.currency,
            # Entries of a currency whose row is missing are read as well.
            func.coalesce(currencies.c.scale, 0),
            case((entries.c.side == "D", entries.c.amount), else_=-entries.c.amount),
        )
        .outerjoin(currencies, currencies.c.code == entries.c.currency)
        .where(entries.c.shard == shard, entries.c.log_offset.between(first, last))
        .order_by(entries.c.log_offset, entries.c.entry)
    )
    found: dict[int, list[tuple[str, str, int, int]]] = defaultdict(list)
    for offset, account, currency, scale, amount in connection.execute(query):
        found[offset].append((account, currency, scale, int(amount)))
    return found

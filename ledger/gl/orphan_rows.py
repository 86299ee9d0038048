"""The search for rows that no run accounts for, in SQL that PostgreSQL and Oracle understand.

Rows at positions that are not posted are looked up by ranges of the primary keys, so that a large
journal costs no more than a small one; the other checks read tables from end to end.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    func,
    or_,
    select,
    text,
    union_all,
)

from ledger.gl import orphans
from ledger.gl.orphans import NAMED_ROWS, RECENT_RUNS, PostedPositions, RunCount, limited, recent
from ledger.gl.reads import read_watermarks
from ledger.gl.rows import JournalFinding, RowKey
from ledger.gl.tables import currencies, entries, runs, shards, stripes, transactions, voids

_HOUR = text("interval '1' hour")
_EARLIEST = 946_684_800_000_000
"""The year 2000 in microseconds since 1970."""


def find_orphans(
    connection: Connection, count: int, *, whole: bool, rules: Iterable[JournalFinding]
) -> list[JournalFinding]:
    """As `Books.orphans`; the connection must be in a repeatable read.

    `rules`: findings on the database's own rules, read only if `whole`.
    """
    posted = PostedPositions(count, read_watermarks(connection))
    parts: list[Iterable[JournalFinding]] = [
        posted.shards_beyond(),
        _at_no_end(connection, posted),
        _currencies(connection),
        *(
            _outside(connection, posted, table, position)
            for table, position in (
                (runs, runs.c.decisions_offset),
                (transactions, transactions.c.log_offset),
                (voids, voids.c.log_offset),
            )
        ),
        _entries_outside(connection, posted),
        _stripes(connection, posted),
    ]
    if whole:
        parts += [rules, _misnumbered(connection), _misdated(connection)]
    else:
        parts += [_miscounted(connection, shard) for shard in posted.marks]
    return list(limited(chain.from_iterable(parts)))


def _outside(
    connection: Connection, posted: PostedPositions, table: Table, position: Column[int]
) -> Iterator[JournalFinding]:
    columns = (table.c.shard, position)
    for shard, offset in _rows_outside(connection, posted, table.name, columns):
        yield posted.orphan(RowKey.of(table.name, shard=shard, **{position.name: offset}), shard)


def _entries_outside(connection: Connection, posted: PostedPositions) -> Iterator[JournalFinding]:
    columns = (entries.c.shard, entries.c.log_offset, entries.c.entry)
    rows = _rows_outside(connection, posted, "entries", columns)
    yield from orphans.entries_at(posted, rows[:NAMED_ROWS])
    if len(rows) > NAMED_ROWS:
        yield orphans.more("entries")


def _rows_outside(
    connection: Connection, posted: PostedPositions, table: str, key: tuple[Column[int], ...]
) -> list[Any]:
    """Keys of rows at positions that are not posted, one more than the limit of them."""
    shard, position = key[:2]
    ranges: list[ColumnElement[bool]] = []
    ends = posted.ends(table)
    for before, after in pairwise([-1, *ends, posted.shards]):
        if after - before > 1:
            ranges.append(and_(shard > before, shard < after))
    ranges += [shard < 0, shard >= posted.shards]
    for each, end in ends.items():
        ranges += [and_(shard == each, position < 0), and_(shard == each, position >= end)]
    parts = [select(*key).where(within).order_by(*key).limit(NAMED_ROWS + 1) for within in ranges]
    # Each in a subquery: Oracle takes no ORDER BY in a part of a union.
    found = union_all(*(select(part.subquery()) for part in parts))
    return list(connection.execute(found.limit(NAMED_ROWS + 1)))


def _at_no_end(connection: Connection, posted: PostedPositions) -> Iterator[JournalFinding]:
    ends = and_(
        runs.c.shard == shards.c.shard,
        runs.c.decisions_offset == shards.c.decisions_offset - 1,
        runs.c.end_offset == shards.c.end_offset,
        runs.c.digest == shards.c.digest,
        runs.c.recorded_until == shards.c.recorded_until,
    )
    query = select(shards.c.shard).outerjoin_from(shards, runs, ends).where(runs.c.shard.is_(None))
    for (shard,) in connection.execute(query.order_by(shards.c.shard)):
        if shard in posted.marks:
            yield orphans.no_run_ends_at(shard, posted.marks[shard])


def _miscounted(connection: Connection, shard: int) -> Iterator[JournalFinding]:
    columns = (runs.c.decisions_offset, runs.c.start_offset, runs.c.end_offset, runs.c.accepted)
    last = select(*columns).where(runs.c.shard == shard).order_by(runs.c.decisions_offset.desc())
    found = recent([RunCount(*row) for row in connection.execute(last.limit(RECENT_RUNS))])
    if found and _count(connection, shard, found[0].start, found[-1].end) == sum(
        run.accepted for run in found
    ):
        return
    for run in found:
        present = _count(connection, shard, run.start, run.end)
        if present != run.accepted:
            yield orphans.miscounted(shard, run, present)


def _count(connection: Connection, shard: int, start: int, end: int) -> int:
    """Transactions at positions [start, end), those that were left out included."""
    counts = [
        select(func.count()).where(
            table.c.shard == shard, table.c.log_offset >= start, table.c.log_offset < end, *more
        )
        for table, more in ((transactions, ()), (voids, (voids.c.was_posted == 0,)))
    ]
    present, left_out = (count.scalar_subquery() for count in counts)
    return int(connection.scalar(select(present + left_out)) or 0)


def _currencies(connection: Connection) -> Iterator[JournalFinding]:
    used = {row.currency for row in connection.execute(select(stripes.c.currency).distinct())}
    known = {row.code for row in connection.execute(select(currencies.c.code))}
    for code in sorted(used ^ known):
        yield orphans.missing_currency(code) if code in used else orphans.unused_currency(code)


def _stripes(connection: Connection, posted: PostedPositions) -> Iterator[JournalFinding]:
    mark = and_(shards.c.shard == stripes.c.shard, shards.c.shard.between(0, posted.shards - 1))
    offset = stripes.c.last_offset
    query = (
        select(stripes.c.account, stripes.c.currency, stripes.c.shard)
        .outerjoin_from(stripes, shards, mark)
        .where(or_(shards.c.shard.is_(None), offset < 0, offset >= shards.c.end_offset))
        .limit(NAMED_ROWS + 1)
    )
    for account, currency, shard in connection.execute(query):
        row = RowKey.of("stripes", account=account, currency=currency, shard=shard)
        yield posted.orphan(row, shard)


def _misnumbered(connection: Connection) -> Iterator[JournalFinding]:
    key = (entries.c.shard, entries.c.log_offset)
    count, first, last = func.count(), func.min(entries.c.entry), func.max(entries.c.entry)
    known = func.count(transactions.c.shard)
    theirs = and_(transactions.c.shard == key[0], transactions.c.log_offset == key[1])
    query = (
        select(*key, count, first, last, known)
        .outerjoin_from(entries, transactions, theirs)
        .group_by(*key)
        .having(or_(known == 0, first != 0, last != count - 1))
        .limit(NAMED_ROWS + 1)
    )
    for shard, offset, entry_count, first_entry, last_entry, there in connection.execute(query):
        yield orphans.misnumbered(
            shard, offset, count=entry_count, first=first_entry, last=last_entry,
            transaction=there > 0,
        )  # fmt: skip


def _misdated(connection: Connection) -> Iterator[JournalFinding]:
    # The database may be moved to a server whose clock is up to an hour behind.
    late = runs.c.posted_at > func.current_timestamp() + _HOUR
    query = select(runs.c.shard, runs.c.decisions_offset)
    query = query.where(or_(late, runs.c.posted_at < _EARLIEST)).limit(NAMED_ROWS + 1)
    for shard, offset in connection.execute(query):
        yield orphans.misdated(shard, offset)

"""The lines of an account in SQL: those of its stripes, merged."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    or_,
    select,
    true,
    tuple_,
)

from ledger.domain.history import ZERO, Figures
from ledger.domain.run import Content
from ledger.gl.history.books import LineKey
from ledger.gl.history.memory import content_texts, void_texts
from ledger.gl.history.paging import Bounds, RawLine, Texts
from ledger.gl.history.stripe_figures import added_up
from ledger.gl.history.tables import accounts, lines, stripes
from ledger.gl.reads import CREDIT, DEBIT
from ledger.gl.tables import entries, transactions, voids

_AT_ONCE = 1_000
_TRANSACTION = (
    transactions.c.shard,
    transactions.c.log_offset,
    transactions.c.transaction_id,
    transactions.c.kind,
    transactions.c.description,
    transactions.c.reverses,
    transactions.c.metadata,
)
Place = tuple[int, int]
"""Shard and offset."""


class SqlLines:
    """`LineSource` of one account, in all currencies or one; the connection's in a snapshot."""

    def __init__(self, connection: Connection, account: str, currency: str | None) -> None:
        self._connection = connection
        self._chosen: ColumnElement[bool] = accounts.c.account == account
        if currency is not None:
            self._chosen &= accounts.c.currency == currency

    def figures_through(self, key: LineKey, *, including: bool) -> Mapping[str, Figures]:
        last = (
            select(lines.c.debits, lines.c.credits, lines.c.entries)
            .where(lines.c.stripe == stripes.c.id, _is_before(key, including=including))
            .order_by(lines.c.recorded_at.desc(), lines.c.n.desc())
            .limit(1)
            .lateral("last_line")
        )
        query = select(accounts.c.currency, *last.c).select_from(_STRIPES.join(last, true()))
        found: dict[str, Figures] = {}
        for currency, debits, credits, count in self._connection.execute(query.where(self._chosen)):
            figures = Figures(int(debits), int(credits), count)
            found[currency] = added_up((found.get(currency, ZERO), figures))
        return found

    def lines(self, bounds: Bounds, limit: int, *, backwards: bool) -> Sequence[RawLine]:
        rows = self._connection.execute(self._merged(bounds, limit, backwards=backwards))
        return [RawLine(LineKey(*row[:4]), *row[4:]) for row in rows]

    def _merged(self, bounds: Bounds, limit: int, *, backwards: bool) -> Select[Any]:
        """As many of each stripe as of all; then the first of all."""
        own_order = [lines.c.recorded_at, lines.c.n]
        own = (
            select(lines)
            .where(lines.c.stripe == stripes.c.id)
            .where(~_is_before(bounds.low, including=True))
            .where(_is_before(bounds.high, including=False))
            .where(lines.c.recorded_at.between(bounds.low.recorded_at, bounds.high.recorded_at))
            .order_by(*_directed(own_order, backwards=backwards))
            .limit(limit)
            .lateral("own")
        )
        key = [own.c.recorded_at, stripes.c.shard, own.c.log_offset, own.c.entry]
        rest = (own.c.effective_at, own.c.amount, own.c.change)
        return (
            select(*key, accounts.c.currency, accounts.c.scale, *rest)
            .select_from(_STRIPES.join(own, true()))
            .where(self._chosen)
            .order_by(*_directed(key, backwards=backwards))
            .limit(limit)
        )

    def texts(self, lines: Sequence[RawLine]) -> Mapping[LineKey, Texts]:
        places = list(dict.fromkeys((line.key.shard, line.key.offset) for line in lines))
        found: dict[Place, Texts] = {}
        for at in range(0, len(places), _AT_ONCE):
            found |= self._posted(places[at : at + _AT_ONCE])
        if missing := [place for place in places if place not in found]:
            found |= self._voids(missing)
        made = ((line.key, found.get((line.key.shard, line.key.offset))) for line in lines)
        return {key: texts for key, texts in made if texts is not None}

    def _posted(self, places: Sequence[Place]) -> dict[Place, Texts]:
        legs: dict[Place, list[tuple[str, str, int]]] = {}
        is_leg = tuple_(entries.c.shard, entries.c.log_offset).in_(places)
        columns = (entries.c.shard, entries.c.log_offset, entries.c.account, entries.c.currency)
        query = select(*columns, DEBIT - CREDIT).where(is_leg)
        for shard, offset, account, currency, amount in self._connection.execute(query):
            legs.setdefault((shard, offset), []).append((account, currency, int(amount)))
        is_one = tuple_(transactions.c.shard, transactions.c.log_offset).in_(places)
        return {
            (row[0], row[1]): Texts._make((*row[2:], legs.get((row[0], row[1]), [])))
            for row in self._connection.execute(select(*_TRANSACTION).where(is_one))
        }

    def _voids(self, places: Sequence[Place]) -> dict[Place, Texts]:
        """Of lines that take a transaction back, and of transactions that were never posted."""
        columns = (voids.c.shard, voids.c.log_offset, voids.c.void_offset, voids.c.reason,
                   voids.c.content)  # fmt: skip
        shards = sorted({shard for shard, _ in places})
        found: dict[Place, Texts] = {}
        for row in self._connection.execute(select(*columns).where(voids.c.shard.in_(shards))):
            [(offset, taken)] = content_texts(Content.decode(bytes(row.content)))
            found[row.shard, offset] = taken
            found[row.shard, row.void_offset] = void_texts(taken, row.reason)
        return found


_STRIPES: FromClause = stripes.join(accounts, accounts.c.id == stripes.c.account_id)


def _is_before(key: LineKey, *, including: bool) -> ColumnElement[bool]:
    """Whether a stripe's line is before `key` among the account's, or is that line."""
    entry = lines.c.entry <= key.entry if including else lines.c.entry < key.entry
    same_offset = and_(lines.c.log_offset == key.offset, entry)
    same_shard = and_(
        stripes.c.shard == key.shard, or_(lines.c.log_offset < key.offset, same_offset)
    )
    same_time = and_(
        lines.c.recorded_at == key.recorded_at, or_(stripes.c.shard < key.shard, same_shard)
    )
    return and_(
        lines.c.recorded_at <= key.recorded_at,
        or_(lines.c.recorded_at < key.recorded_at, same_time),
    )


def _directed(
    columns: Sequence[ColumnElement[Any]], *, backwards: bool
) -> list[ColumnElement[Any]]:
    return [column.desc() if backwards else column for column in columns]

"""Books over SQLAlchemy: queries that PostgreSQL and Oracle understand; times in microseconds."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Unpack

from sqlalchemy import Column, Connection, Engine, Select, case, func, select

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl import lookup_reads
from ledger.gl.books import Accepted, BalanceQuery, BalanceSnapshot, Books, Snapshot
from ledger.gl.lookups import LookupResult, Register, RegisterQuery
from ledger.gl.orphan_rows import find_orphans
from ledger.gl.reads import CREDIT, DEBIT, VOIDED, parts, read_balances, read_voids, read_watermarks
from ledger.gl.rows import JournalFinding, PostedRun, PostedTransaction, PostedVoid
from ledger.gl.tables import currencies, entries, runs, stripes, transactions

_PAGE = 1_000
_TOTALS = (stripes.c.debits, stripes.c.credits, stripes.c.entries, stripes.c.last_offset)


class SqlBooks(Books):
    """`read`: connections that are in a repeatable read. `faults`: the driver's errors as ours."""

    def __init__(self, read: Engine, faults: Callable[[], AbstractContextManager[None]]) -> None:
        self._read, self._faults = read, faults
        self._marks = read

    @contextmanager
    def _reading(self, engine: Engine | None = None) -> Iterator[Connection]:
        with self._faults(), (engine or self._read).connect() as connection:
            yield connection

    def broken_rules(self, connection: Connection) -> Iterable[JournalFinding]:
        """Rules of the tables that are missing or broken, if the database has a catalogue."""
        return ()

    def watermark(self, shard: int) -> Watermark:
        with self._reading(self._marks) as connection:
            return read_watermarks(connection, shard).get(shard, Watermark())

    def watermarks(self) -> Mapping[int, Watermark]:
        with self._reading(self._marks) as connection:
            return read_watermarks(connection)

    def snapshot(self, shard: int, since: int) -> Snapshot:
        query = select(stripes.c.account, stripes.c.currency, *_TOTALS).where(
            stripes.c.shard == shard, stripes.c.last_offset >= since
        )
        with self._reading() as connection:
            head = read_watermarks(connection, shard).get(shard, Watermark())
            rows = connection.execute(query)
            return Snapshot(head, {Stripe(*row[:2]): Totals(*row[2:]) for row in rows})

    def balance_snapshot(self, **query: Unpack[BalanceQuery]) -> BalanceSnapshot:
        with self._reading() as connection:
            return BalanceSnapshot(read_watermarks(connection), read_balances(connection, query))

    def scales(self) -> Mapping[str, int]:
        with self._reading() as connection:
            return {row.code: row.scale for row in connection.execute(select(currencies))}

    def accepted(self, ids: Sequence[str]) -> Mapping[str, Accepted]:
        found: dict[str, Accepted] = {}
        columns = transactions.c
        names = ("transaction_id", "shard", "log_offset", "created_at", "recorded_at")
        query = select(*(columns[name] for name in names))
        with self._reading() as connection:
            for part in parts(ids):
                rows = connection.execute(query.where(columns.transaction_id.in_(part)))
                for name, shard, offset, created_at, recorded_at in rows:
                    known_from = max(created_at, recorded_at)
                    if name not in found or found[name].known_from < known_from:
                        found[name] = Accepted(shard, offset, known_from)
        return found

    def _pages(
        self, query: Select[Any], position: Column[int], start: int
    ) -> Iterator[Sequence[Any]]:
        """Rows from `start` on, each page in a transaction of its own.

        So a slow reader keeps none open. What was posted never changes: pages need no common
        snapshot.
        """
        query = query.order_by(position).limit(_PAGE)
        while True:
            with self._reading() as connection:
                page = connection.execute(query.where(position >= start)).all()
            if page:
                yield page
            if len(page) < _PAGE:
                return
            start = page[-1]._mapping[position] + 1

    def find(self, transaction_id: str) -> LookupResult:
        with self._reading() as connection:
            return lookup_reads.find(connection, transaction_id)

    def posted_at(self) -> Mapping[int, int]:
        with self._reading() as connection:
            return lookup_reads.posted_at(connection)

    def register(self, account: str, **query: Unpack[RegisterQuery]) -> Register:
        with self._reading() as connection:
            return lookup_reads.register(connection, account, query)

    def runs(self, shard: int, after: int = 0) -> Iterator[PostedRun]:
        columns = [column for column in runs.c if column is not runs.c.posted_at]
        query = select(*columns).where(runs.c.shard == shard)
        for page in self._pages(query, runs.c.decisions_offset, after):
            for row in page:
                digests, decided_with = map(bytes, row[4:7]), bytes(row[10] or b"")
                yield PostedRun._make((*row[:4], *digests, *row[7:10], decided_with))

    def transactions(
        self, shard: int, start: int = 0, end: int | None = None
    ) -> Iterator[PostedTransaction]:
        query = select(transactions).where(transactions.c.shard == shard)
        if end is not None:
            query = query.where(transactions.c.log_offset < end)
        for page in self._pages(query, transactions.c.log_offset, start):
            found = self._entries(shard, page[0].log_offset, page[-1].log_offset)
            for row in page:
                yield PostedTransaction._make((*row, found.get(row.log_offset, [])))

    def _entries(
        self, shard: int, first: int, last: int
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
        with self._reading() as connection:
            for offset, account, currency, scale, amount in connection.execute(query):
                found[offset].append((account, currency, scale, int(amount)))
        return found

    def voids(self, shard: int | None = None) -> list[PostedVoid]:
        with self._reading() as connection:
            return read_voids(connection, shard)

    def stripes(self) -> Iterator[tuple[int, Stripe, Totals]]:
        """By account, currency and shard; the connection is busy until the end."""
        key = (stripes.c.account, stripes.c.currency, stripes.c.shard)
        query = select(stripes.c.shard, *key[:2], *_TOTALS).order_by(*key)
        with self._reading() as connection:
            for row in connection.execute(query, execution_options={"yield_per": _PAGE}):
                yield row[0], Stripe(*row[1:3]), Totals(*row[3:])

    def orphans(self, shards: int, *, whole: bool = True) -> list[JournalFinding]:
        with self._reading() as connection:
            rules = self.broken_rules(connection)
            return find_orphans(connection, shards, whole=whole, rules=rules)

    def totals_before(self, shard: int, end: int) -> dict[Stripe, Totals]:
        """The sums of the shard's entries at positions before `end`, without those void by now."""
        key = (entries.c.account, entries.c.currency)
        sums = (func.sum(DEBIT), func.sum(CREDIT), func.count(), func.max(entries.c.log_offset))
        query = select(*key, *sums).group_by(*key)
        query = query.where(entries.c.shard == shard, entries.c.log_offset < end)
        with self._reading() as connection:
            found = read_voids(connection, shard)
            rows = connection.execute(query.where(~VOIDED) if found else query)
            totals = {
                Stripe(account, currency): Totals(int(debits), int(credits), count, last)
                for account, currency, debits, credits, count, last in rows
            }
        for void in found:
            if void.void_offset < end:
                totals |= void.moved(totals)
        return totals

    def close(self) -> None:
        self._read.dispose()

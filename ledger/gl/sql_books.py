"""Books over SQLAlchemy: what every SQL database has in common when it is read."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Unpack

from sqlalchemy import Connection, Engine

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl import lookup_reads, reads
from ledger.gl.books import Accepted, BalanceQuery, BalanceSnapshot, Books, Snapshot
from ledger.gl.lookups import LookupResult, Register, RegisterQuery
from ledger.gl.orphan_rows import find_orphans
from ledger.gl.rows import JournalFinding, PostedRun, PostedTransaction, PostedVoid


class SqlBooks(Books):
    """`read`: connections that are in a repeatable read. `faults`: the driver's errors as ours."""

    def __init__(self, read: Engine, faults: Callable[[], AbstractContextManager[None]]) -> None:
        self._read, self._faults = read, faults

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._faults(), self._read.connect() as connection:
            yield connection

    def broken_rules(self, connection: Connection) -> Iterable[JournalFinding]:
        """Rules of the tables that are missing or broken, if the database has a catalogue."""
        return ()

    def watermark(self, shard: int) -> Watermark:
        with self._reading() as connection:
            return reads.read_watermark(connection, shard)

    def watermarks(self) -> Mapping[int, Watermark]:
        with self._reading() as connection:
            return reads.read_watermarks(connection)

    def snapshot(self, shard: int, since: int) -> Snapshot:
        with self._reading() as connection:
            return reads.read_snapshot(connection, shard, since)

    def balance_snapshot(self, **query: Unpack[BalanceQuery]) -> BalanceSnapshot:
        with self._reading() as connection:
            known = reads.read_watermarks(connection)
            return BalanceSnapshot(known, reads.read_balances(connection, query))

    def scales(self) -> Mapping[str, int]:
        with self._reading() as connection:
            return reads.read_scales(connection)

    def accepted(self, ids: Sequence[str]) -> Mapping[str, Accepted]:
        with self._reading() as connection:
            return reads.read_accepted(connection, ids)

    def find(self, transaction_id: str) -> LookupResult:
        with self._reading() as connection:
            return lookup_reads.find(connection, transaction_id)

    def register(self, account: str, **query: Unpack[RegisterQuery]) -> Register:
        with self._reading() as connection:
            return lookup_reads.register(connection, account, query)

    def runs(self, shard: int, after: int = 0) -> Iterator[PostedRun]:
        with self._faults():
            yield from reads.run_pages(self._read, shard, after)

    def transactions(
        self, shard: int, start: int = 0, end: int | None = None
    ) -> Iterator[PostedTransaction]:
        with self._faults():
            yield from reads.transaction_pages(self._read, shard, start, end)

    def voids(self, shard: int | None = None) -> list[PostedVoid]:
        with self._reading() as connection:
            return reads.read_voids(connection, shard)

    def stripes(self) -> Iterator[tuple[int, Stripe, Totals]]:
        with self._reading() as connection:
            yield from reads.read_stripes(connection)

    def orphans(self, shards: int, *, whole: bool = True) -> list[JournalFinding]:
        with self._reading() as connection:
            rules = self.broken_rules(connection)
            return find_orphans(connection, shards, whole=whole, rules=rules)

    def totals_before(self, shard: int, end: int) -> dict[Stripe, Totals]:
        """The sums of the shard's entries before the position `end`."""
        with self._reading() as connection:
            return reads.totals_before(connection, shard, end)

    def close(self) -> None:
        self._read.dispose()

"""Reading a general ledger in Oracle, and posting to it."""

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ledger.domain.balance import Totals
from ledger.domain.run import Content, Stripe, Watermark
from ledger.gl.journal import Posting, Prepared
from ledger.gl.oracle import rules
from ledger.gl.oracle.connection import engine
from ledger.gl.oracle.faults import OracleError, faults_translated
from ledger.gl.oracle.posting import (
    add,
    add_currencies,
    add_runs,
    entry_rows,
    first_refused,
    move_shards,
    transaction_rows,
)
from ledger.gl.posting import scales_together
from ledger.gl.reads import read_watermarks
from ledger.gl.rows import JournalFinding
from ledger.gl.sql_books import SqlBooks
from ledger.gl.sql_journal import SqlJournal
from ledger.gl.tables import entries, transactions

_READ_SECONDS = 1_800
"""A round trip of a report or an audit that takes longer is cancelled."""
POST_SECONDS = 30
"""A round trip of a posting that takes longer is cancelled, to be tried again."""


class OracleBooks(SqlBooks):
    """`Books` over SQLAlchemy and python-oracledb; connects when first asked.

    `url`: `ledger.gl.oracle.address` has its parameters. `driver`: python-oracledb unless given.
    """

    def __init__(self, url: str, *, driver: ModuleType | None = None) -> None:
        read = engine(
            url,
            seconds=_READ_SECONDS,
            read_only=True,
            driver=driver,
            pool_size=2,
            max_overflow=8,
            pool_pre_ping=True,
        )
        super().__init__(read, faults_translated)

    def history_findings(self) -> list[JournalFinding]:
        """Nothing: history is not kept in Oracle."""
        return []

    def broken_rules(self, connection: Connection) -> Iterable[JournalFinding]:
        return rules.broken(connection)


class OracleJournal(OracleBooks, SqlJournal):
    """`Journal` over SQLAlchemy and python-oracledb; arguments as OracleBooks has them."""

    def __init__(self, url: str, *, driver: ModuleType | None = None) -> None:
        super().__init__(url, driver=driver)
        self.post_with(
            engine(url, seconds=POST_SECONDS, driver=driver, pool_size=1, max_overflow=0)
        )

    def _rows(self, shard: int, contents: Sequence[Content]) -> tuple[Any, Any]:
        return transaction_rows(shard, contents), entry_rows(shard, contents)

    def _first_refused(self, posting: Posting) -> str:
        with faults_translated(), self._posting() as connection:
            return first_refused(connection, posting)

    def _post_all(self, prepared: Sequence[Prepared]) -> list[dict[Stripe, Totals]]:
        scales = self._unknown(scales_together(prepared))
        with faults_translated(), self._posting() as connection:
            move_shards(connection, prepared)
            add_currencies(connection, scales)
            for place, table in enumerate((transactions, entries)):
                rows = [row for each in prepared for row in each.rows[place]]
                add(connection, table, rows)
            totals = add_runs(connection, [each.posting for each in prepared])
            try:
                connection.commit()
            except DBAPIError as error:
                self._require_committed(prepared, error)
        self._scales.update(scales)
        return totals

    def _require_committed(self, prepared: Sequence[Prepared], error: DBAPIError) -> None:
        """Raise `error` again unless the shards' rows show that the commit has been made.

        The connection was lost while the commit was under way. If the rows are where they were, the
        commit may still be made, after this has looked: the posting is then tried again, and the
        comparison of the shard's row decides.
        """
        if not OracleError.of(error.orig or error).is_passing:
            raise error
        try:
            with self._read.connect() as connection:
                marks = read_watermarks(connection)
        except DBAPIError:
            raise error from None
        if any(marks.get(each.posting.shard, Watermark()) != each.after for each in prepared):
            raise error

"""Reading a general ledger in PostgreSQL, and posting to it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine

from ledger.domain.balance import Totals
from ledger.domain.run import Content, Stripe
from ledger.gl.journal import Posting, Prepared
from ledger.gl.postgresql import copying, rules
from ledger.gl.postgresql.connection import DATABASE_LOCK_SECONDS, engine, faults_translated
from ledger.gl.postgresql.history_checks import HistoryChecks
from ledger.gl.postgresql.posting import (
    END_ABANDONED,
    Opening,
    add_runs,
    first_refused,
    move_shards,
    open_shard,
)
from ledger.gl.posting import scales_together
from ledger.gl.rows import JournalFinding
from ledger.gl.sql_books import SqlBooks
from ledger.gl.sql_journal import SqlJournal

_READ_SECONDS = 1_800
"""A statement of a report or an audit that takes longer is cancelled."""
POST_SECONDS = 30
"""A statement of a posting that takes longer is cancelled, to be tried again."""


class PostgresBooks(SqlBooks):
    """`Books` over SQLAlchemy and psycopg; connects when first asked.

    `url` as SQLAlchemy has it, `postgresql+psycopg://role:password@host:port/database`. Connects to
    the server directly: a pooler that forbids startup options refuses its timeouts. `schema`: of a
    shadow ledger (`ledger.gl.postgresql.shadows`), and of nothing else; None for the live one.
    `read`: an engine to read with, instead of one of `url`.
    """

    def __init__(self, url: str, *, schema: str | None = None, read: Engine | None = None) -> None:
        super().__init__(read or _read_engine(url, schema), faults_translated)

    def history_findings(self) -> list[JournalFinding]:
        with self._reading() as connection:
            return list(HistoryChecks(connection).findings())

    def broken_rules(self, connection: Connection) -> Iterable[JournalFinding]:
        return rules.broken(connection)


class PostgresJournal(PostgresBooks, SqlJournal):
    """`Journal` over SQLAlchemy and psycopg; arguments as PostgresBooks has them."""

    def __init__(self, url: str, *, schema: str | None = None) -> None:
        super().__init__(url, schema=schema)
        # Postings look up by primary key alone. Without statistics, in a ledger's first minute,
        # the planner would read whole tables instead, and a prepared statement would stay so.
        # Autocommit, with a BEGIN of our own: psycopg's would be a round trip by itself.
        post = engine(
            url,
            seconds=POST_SECONDS,
            idle_seconds=POST_SECONDS,
            pool_size=1,
            max_overflow=0,
            schema=schema,
            settings={"enable_seqscan": "off"},
            isolation_level="AUTOCOMMIT",
        )
        self.post_with(post)

    def _rows(self, shard: int, contents: Sequence[Content]) -> tuple[Any, Any]:
        return copying.transaction_rows(shard, contents), copying.entry_rows(shard, contents)

    def _first_refused(self, posting: Posting) -> str:
        with faults_translated(), self._driver() as driver:
            return first_refused(driver, posting)

    def _post_all(self, prepared: Sequence[Prepared]) -> list[dict[Stripe, Totals]]:
        scales = self._unknown(scales_together(prepared))
        transactions, entries = zip(*(each.rows for each in prepared), strict=True)
        with faults_translated(), self._driver() as driver:
            try:
                move_shards(driver, prepared, scales)
            except psycopg.errors.LockNotAvailable:
                self._end_abandoned()
                raise
            if any(entries):
                rows = copying.transaction_stream(transactions)
                copying.copy_rows(driver, copying.COPY_TRANSACTIONS, rows)
                copying.copy_rows(driver, copying.COPY_ENTRIES, b"".join(entries))
            totals = add_runs(driver, [each.posting for each in prepared])
        self._scales.update(scales)
        return totals

    def _end_abandoned(self) -> None:
        with self._read.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            driver.execute(END_ABANDONED, {"secs": DATABASE_LOCK_SECONDS})

    @contextmanager
    def _driver(self) -> Iterator[psycopg.Connection[Any]]:
        """The driver's own connection that posts, as `_posting`."""
        with self._posting() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            yield driver

    def start_at(self, shard: int, start: Opening) -> None:
        """Have a shadow's shard begin at a watermark, as if all before it were posted."""
        with faults_translated(), self._driver() as driver:
            open_shard(driver, shard, start)


def _read_engine(url: str, schema: str | None) -> Engine:
    return engine(
        url,
        seconds=_READ_SECONDS,
        idle_seconds=_READ_SECONDS,
        schema=schema,
        pool_size=2,
        max_overflow=8,
        pool_pre_ping=True,
        isolation_level="REPEATABLE READ",
        execution_options={"postgresql_readonly": True},
    )

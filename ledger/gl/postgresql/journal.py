"""Reading a general ledger in PostgreSQL, and posting to it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe
from ledger.errors import LedgerError
from ledger.gl.books import Snapshot
from ledger.gl.journal import Journal, NotPostable, Posting, Prepared
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
from ledger.gl.posting import follow, same_scale, scales_of, scales_together
from ledger.gl.rows import JournalFinding
from ledger.gl.sql_books import SqlBooks

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


class PostgresJournal(PostgresBooks, Journal):
    """`Journal` over SQLAlchemy and psycopg; arguments as PostgresBooks has them."""

    def __init__(self, url: str, *, schema: str | None = None) -> None:
        super().__init__(url, schema=schema)
        # Postings look up by primary key alone. Without statistics, in a ledger's first minute,
        # the planner would read whole tables instead, and a prepared statement would stay so.
        # Autocommit, with a BEGIN of our own: psycopg's would be a round trip by itself.
        self._post = engine(
            url,
            seconds=POST_SECONDS,
            idle_seconds=POST_SECONDS,
            pool_size=1,
            max_overflow=0,
            schema=schema,
            settings={"enable_seqscan": "off"},
            isolation_level="AUTOCOMMIT",
        )
        # Within the time of a posting: workers read watermarks every few seconds to notice a
        # database that hangs.
        self._marks = self._post
        self._scales: dict[str, int] = {}

    def prepare(self, posting: Posting) -> Prepared:
        shard, before, runs = posting
        after = follow(shard, before, runs)
        contents = [content for run in runs if (content := run.posted).offsets]
        rows = copying.transaction_rows(shard, contents), copying.entry_rows(shard, contents)
        return Prepared(posting, after, scales_of(contents), rows)

    def post_all(self, prepared: Sequence[Prepared]) -> list[dict[Stripe, Totals]]:
        if not prepared:
            return []
        try:
            return self._post_all(prepared)
        except NotPostable as error:
            # Several postings are first retried one by one; an error without a cause is not the
            # database's but a contradiction in what was prepared.
            if len(prepared) > 1 or error.__cause__ is None:
                raise
            raise NotPostable(f"{self._refused(prepared[0].posting)}{error}") from error

    def _refused(self, posting: Posting) -> str:
        """The transaction that is refused, to stand before a sentence; empty if not found."""
        with suppress(LedgerError), faults_translated(), self._driver() as driver:
            return first_refused(driver, posting)
        return ""

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

    def _unknown(self, scales: Mapping[str, int]) -> dict[str, int]:
        """Currencies that this journal has not seen committed; NotPostable on a change."""
        for code in scales.keys() & self._scales.keys():
            same_scale(code, scales[code], self._scales[code])
        return {code: scale for code, scale in scales.items() if code not in self._scales}

    @contextmanager
    def _driver(self) -> Iterator[psycopg.Connection[Any]]:
        """The driver's own connection; after any error it is closed, which ends its transaction."""
        with self._post.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            try:
                yield driver
            except BaseException:
                connection.invalidate()
                raise

    def snapshot(self, shard: int, since: int) -> Snapshot:
        # Asked when it is not certain what the database has: it may have been restored from a
        # backup, and then lack currencies that this journal has seen committed.
        self._scales.clear()
        return super().snapshot(shard, since)

    def start_at(self, shard: int, start: Opening) -> None:
        """Have a shadow's shard begin at a watermark, as if all before it were posted."""
        with faults_translated(), self._driver() as driver:
            open_shard(driver, shard, start)

    def close(self) -> None:
        self._post.dispose()
        super().close()


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

"""Posting to a general ledger in PostgreSQL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.errors import LedgerError
from ledger.gl import reads
from ledger.gl.books import Snapshot
from ledger.gl.journal import Journal, NotPostable, Posting, Prepared
from ledger.gl.opening import Opening, write_opening
from ledger.gl.postgresql import copying, refused
from ledger.gl.postgresql.books import PostgresBooks
from ledger.gl.postgresql.connection import DATABASE_LOCK_SECONDS, engine, faults_translated
from ledger.gl.postgresql.posting import ADD_TO_STRIPES, END_ABANDONED, add_runs, move_shards
from ledger.gl.posting import follow, same_scale, scales_of, scales_together

POST_SECONDS = 30
"""A statement of a posting that takes longer is cancelled, to be tried again."""


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
        self._scales: dict[str, int] = {}

    # Watermarks are read on the connection that posts, and within the time of a posting: workers
    # look at them every few seconds to notice a database that hangs.

    def watermark(self, shard: int) -> Watermark:
        with faults_translated(), self._post.connect() as connection:
            return reads.read_watermark(connection, shard)

    def watermarks(self) -> Mapping[int, Watermark]:
        with faults_translated(), self._post.connect() as connection:
            return reads.read_watermarks(connection)

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
        contents = [run.posted for run in posting.runs]
        with suppress(LedgerError), faults_translated(), self._driver() as driver:
            found = refused.first_refused(driver, posting.shard, contents, ADD_TO_STRIPES)
            return "" if found is None else f"{found.transaction_id!r} at offset {found.offset}: "
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
        with faults_translated(), self._post.connect() as connection:
            connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                write_opening(connection, shard, start)

    def close(self) -> None:
        self._post.dispose()
        super().close()

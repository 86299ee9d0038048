"""Reading a general ledger in Oracle, and posting to it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.errors import LedgerError
from ledger.gl.books import Snapshot
from ledger.gl.journal import Journal, NotPostable, Posting, Prepared
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
from ledger.gl.posting import follow, same_scale, scales_of, scales_together
from ledger.gl.reads import read_watermarks
from ledger.gl.rows import JournalFinding
from ledger.gl.sql_books import SqlBooks
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


class OracleJournal(OracleBooks, Journal):
    """`Journal` over SQLAlchemy and python-oracledb; arguments as OracleBooks has them."""

    def __init__(self, url: str, *, driver: ModuleType | None = None) -> None:
        super().__init__(url, driver=driver)
        self._post = engine(url, seconds=POST_SECONDS, driver=driver, pool_size=1, max_overflow=0)
        # Within the time of a posting: workers read watermarks every few seconds to notice a
        # database that hangs.
        self._marks = self._post
        self._scales: dict[str, int] = {}

    def prepare(self, posting: Posting) -> Prepared:
        shard, before, runs = posting
        after = follow(shard, before, runs)
        contents = [content for run in runs if (content := run.posted).offsets]
        rows = transaction_rows(shard, contents), entry_rows(shard, contents)
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
        with suppress(LedgerError), faults_translated(), self._posting() as connection:
            return first_refused(connection, posting)
        return ""

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

    def _unknown(self, scales: Mapping[str, int]) -> dict[str, int]:
        """Currencies that this journal has not seen committed; NotPostable on a change."""
        for code in scales.keys() & self._scales.keys():
            same_scale(code, scales[code], self._scales[code])
        return {code: scale for code, scale in scales.items() if code not in self._scales}

    @contextmanager
    def _posting(self) -> Iterator[Connection]:
        """The connection that posts; after any error it is closed, which ends its transaction."""
        with self._post.connect() as connection:
            try:
                yield connection
            except BaseException:
                connection.invalidate()
                raise

    def snapshot(self, shard: int, since: int) -> Snapshot:
        # Asked when it is not certain what the database has: it may have been restored from a
        # backup, and then lack currencies that this journal has seen committed.
        self._scales.clear()
        return super().snapshot(shard, since)

    def close(self) -> None:
        self._post.dispose()
        super().close()

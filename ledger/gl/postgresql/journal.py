"""The general ledger in PostgreSQL."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

import psycopg
from sqlalchemy import Connection

from ledger.domain.balance import Totals, totals_after
from ledger.domain.run import Stripe, Watermark
from ledger.errors import LedgerError
from ledger.gl import opening, orphan_rows, reads
from ledger.gl.postgresql import copying, refused, rules
from ledger.gl.postgresql.connection import LOCK_SECONDS, engine, faults_translated
from ledger.gl.journal import (
    Accepted,
    BalanceRow,
    Books,
    JournalUnavailable,
    NotPostable,
    Orphan,
    PostedRun,
    PostedTransaction,
    PostedVoid,
    Posting,
    PostingRun,
    Prepared,
    Snapshot,
    Superseded,
    TimeAxis,
)
from ledger.gl.opening import Opening
from ledger.gl.posting import follow, same_scale, scales_of, scales_together
from ledger.gl.reads import Connects
from ledger.gl.tables import to_datetime

POST_SECONDS = 30
"""A statement of a posting that takes longer is given up, to be tried again."""
READ_SECONDS = 1_800
"""The same for reports and audits."""

_INSERT_SHARD = """
INSERT INTO shards (shard, decisions_offset, end_offset, digest, recorded_until)
VALUES (%(shard)s, %(decisions_offset)s, %(end)s, %(digest)s, %(recorded_until)s)
ON CONFLICT (shard) DO NOTHING
"""
# A second poster waits here for the first one's commit, then finds no such row.
_MOVE_SHARD = """
UPDATE shards
SET decisions_offset = %(decisions_offset)s, end_offset = %(end)s, digest = %(digest)s,
    recorded_until = %(recorded_until)s
WHERE shard = %(shard)s AND decisions_offset = %(before_offset)s
    AND end_offset = %(before_end)s AND digest = %(before_digest)s
"""
# A writer that was paused or cut off in the middle keeps the shard's row locked, perhaps for ever:
# no timeout ends a COPY that waits for its rows, and idle_in_transaction_session_timeout is off
# once psycopg's pipeline has sent a Flush after its Sync. Its transaction is nobody's any more.
_END_ABANDONED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE usename = current_user AND datname = current_database() AND wait_event = 'ClientRead'
    AND xact_start IS NOT NULL
    AND state_change < clock_timestamp() - make_interval(secs => %(secs)s)
"""
# In order of code, so that two shards that bring the same new currencies cannot deadlock.
_INSERT_CURRENCIES = """
INSERT INTO currencies (code, scale)
SELECT code, scale FROM unnest(%(codes)s::text[], %(scales)s::smallint[]) AS new (code, scale)
ORDER BY code COLLATE "C"
ON CONFLICT (code) DO NOTHING
"""
_SELECT_CURRENCIES = "SELECT code, scale FROM currencies WHERE code = ANY (%(codes)s)"
_INSERT_RUN = """
INSERT INTO runs (shard, decisions_offset, start_offset, end_offset, follows, digest,
    outcomes_digest, recorded_until, reference_offset, accepted, reference_digest)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
# Sums what was stored and not what was sent, so what reconciliation compares was counted twice.
# Both ends are given so that the primary key is chosen even before the first ANALYZE.
_ADD_TO_STRIPES = """
INSERT INTO stripes AS known (account, currency, shard, debits, credits, entries, last_offset)
SELECT account, currency, shard, coalesce(sum(amount) FILTER (WHERE side = 'D'), 0),
    coalesce(sum(amount) FILTER (WHERE side = 'C'), 0), count(*), max(log_offset)
FROM entries
WHERE shard = %(shard)s AND log_offset >= %(start)s AND log_offset < %(end)s
GROUP BY account, currency, shard
ON CONFLICT (account, currency, shard) DO UPDATE
SET debits = known.debits + excluded.debits, credits = known.credits + excluded.credits,
    entries = known.entries + excluded.entries, last_offset = excluded.last_offset
RETURNING account, currency, debits::text, credits::text, entries, last_offset
"""


_INSERT_VOID = """
INSERT INTO voids (shard, log_offset, void_offset, recorded_at, run_offset, decisions_offset,
    authority, reason, content, was_posted)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (shard, log_offset) DO NOTHING
"""
_TAKE_BACK = """
INSERT INTO stripes AS known (account, currency, shard, debits, credits, entries, last_offset)
VALUES (%(account)s, %(currency)s, %(shard)s, 0, 0, 0, %(at)s)
ON CONFLICT (account, currency, shard) DO UPDATE
SET debits = known.debits - %(debits)s, credits = known.credits - %(credits)s,
    entries = known.entries - %(entries)s, last_offset = greatest(known.last_offset, %(at)s)
RETURNING account, currency, debits::text, credits::text, entries, last_offset
"""


class _Open:
    """In an engine's place, one connection that stays open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        yield self._connection

    def dispose(self) -> None:
        """It is the caller's."""


class PostgresJournal:
    """`Journal` over SQLAlchemy and psycopg; connects when first asked.

    `url` as SQLAlchemy has it, `postgresql+psycopg://role:password@host:port/database`. Talks to
    the server directly: a pooler that forbids startup options refuses its timeouts. `schema`: of a
    shadow ledger (`ledger.gl.postgresql.shadows`), and of nothing else; None for the live one.
    """

    def __init__(self, url: str, *, schema: str | None = None) -> None:
        where = {} if schema is None else {"search_path": schema}
        # Postings look up by primary key alone. Without statistics, in a ledger's first minute,
        # the planner would read whole tables instead, and a prepared statement would stay so.
        # Autocommit, with a BEGIN of our own: psycopg's would be a round trip by itself.
        self._post: Connects = engine(
            url,
            seconds=POST_SECONDS,
            idle_seconds=POST_SECONDS,
            pool_size=1,
            max_overflow=0,
            settings={"enable_seqscan": "off", **where},
            isolation_level="AUTOCOMMIT",
        )
        self._read: Connects = engine(
            url,
            seconds=READ_SECONDS,
            idle_seconds=READ_SECONDS,
            settings=where,
            pool_size=2,
            max_overflow=8,
            pool_pre_ping=True,
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
        )
        self._scales: dict[str, int] = {}

    @classmethod
    def within(cls, connection: Connection) -> Self:
        """What one open transaction sees, to be read and no more; closing it closes nothing."""
        made = cls.__new__(cls)
        made._post = made._read = _Open(connection)
        made._scales = {}
        return made

    def watermark(self, shard: int) -> Watermark:
        with faults_translated(), self._post.connect() as connection:
            return reads.watermark(connection, shard)

    def watermarks(self) -> Mapping[int, Watermark]:
        with faults_translated(), self._post.connect() as connection:
            return reads.watermarks(connection)

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
            # With others it is tried alone first; without a cause it is of what was prepared.
            if len(prepared) > 1 or error.__cause__ is None:
                raise
            raise NotPostable(f"{self._named(prepared[0].posting)}{error}") from error

    def _named(self, posting: Posting) -> str:
        """Which transaction is refused, before a sentence, as far as that can be found out."""
        contents = [run.posted for run in posting.runs]
        with suppress(LedgerError), faults_translated(), self._driver() as driver:
            if (found := refused.first(driver, posting.shard, contents, _ADD_TO_STRIPES)) is None:
                return ""
            return f"{found.transaction_id!r} at offset {found.offset}: "
        return ""

    def _post_all(self, prepared: Sequence[Prepared]) -> list[dict[Stripe, Totals]]:
        scales = self._unknown(scales_together(prepared))
        transactions, entries = zip(*(each.rows for each in prepared), strict=True)
        with faults_translated(), self._driver() as driver:
            try:
                _move(driver, prepared, scales)
            except psycopg.errors.LockNotAvailable:
                self._end_abandoned()
                raise
            if any(entries):
                copying.write(
                    driver, copying.COPY_TRANSACTIONS, copying.transaction_stream(transactions)
                )
                copying.write(driver, copying.COPY_ENTRIES, b"".join(entries))
            totals = _settle(driver, [each.posting for each in prepared])
        self._scales.update(scales)
        return totals

    def post(
        self, shard: int, before: Watermark, runs: Sequence[PostingRun]
    ) -> dict[Stripe, Totals]:
        posting = Posting(shard, before, runs)
        return self.post_all([self.prepare(posting)])[0] if runs else {}

    def _end_abandoned(self) -> None:
        with self._read.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            driver.execute(_END_ABANDONED, {"secs": LOCK_SECONDS})

    def _unknown(self, scales: Mapping[str, int]) -> dict[str, int]:
        """Currencies that this journal has not seen committed; InvariantBroken on a change."""
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

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with faults_translated(), self._read.connect() as connection:
            yield connection

    def snapshot(self, shard: int, since: int) -> Snapshot:
        # Asked when it is not certain what the database has: it may be another one than before,
        # put back from a backup, and then lack currencies that this journal has seen committed.
        self._scales.clear()
        with self._reading() as connection:
            return reads.snapshot(connection, shard, since)

    def balances(
        self,
        *,
        accounts: Sequence[str] | None = None,
        prefix: str | None = None,
        as_of: int | None = None,
        by: TimeAxis = "effective",
    ) -> list[BalanceRow]:
        with self._reading() as connection:
            return reads.balances(connection, accounts=accounts, prefix=prefix, as_of=as_of, by=by)

    def scales(self) -> Mapping[str, int]:
        with self._reading() as connection:
            return reads.scales(connection)

    def books(
        self,
        *,
        accounts: Sequence[str] | None = None,
        prefix: str | None = None,
        as_of: int | None = None,
        by: TimeAxis = "effective",
    ) -> Books:
        with self._reading() as connection:
            known = reads.watermarks(connection)
            rows = reads.balances(connection, accounts=accounts, prefix=prefix, as_of=as_of, by=by)
        return Books(known, rows)

    def accepted(self, ids: Sequence[str]) -> Mapping[str, Accepted]:
        with self._reading() as connection:
            return reads.accepted(connection, ids)

    def recorded_until(self) -> Mapping[int, int]:
        with self._reading() as connection:
            return reads.recorded_until(connection)

    def runs(self, shard: int, after: int = 0) -> Iterator[PostedRun]:
        with faults_translated():
            yield from reads.run_pages(self._read, shard, after)

    def transactions(
        self, shard: int, start: int = 0, end: int | None = None
    ) -> Iterator[PostedTransaction]:
        with faults_translated():
            yield from reads.transaction_pages(self._read, shard, start, end)

    def voids(self, shard: int | None = None) -> list[PostedVoid]:
        with self._reading() as connection:
            return reads.posted_voids(connection, shard)

    def stripes(self) -> Iterator[tuple[int, Stripe, Totals]]:
        with self._reading() as connection:
            yield from reads.every_stripe(connection)

    def orphans(self, shards: int, *, whole: bool = True) -> list[Orphan]:
        with self._reading() as connection:
            broken = rules.broken(connection)
            return orphan_rows.find(connection, shards, whole=whole, rules=broken)

    def totals_before(self, shard: int, end: int) -> dict[Stripe, Totals]:
        """What the shard's entries before the position `end` add up to."""
        with self._reading() as connection:
            return reads.totals_before(connection, shard, end)

    def start_at(self, shard: int, start: Opening) -> None:
        """Have a shadow's shard begin at a watermark, as if all before it were posted."""
        with faults_translated(), self._post.connect() as connection:
            connection.execution_options(isolation_level="READ COMMITTED")
            with connection.begin():
                opening.write(connection, shard, start)

    def close(self) -> None:
        self._post.dispose()
        self._read.dispose()


def _move(
    driver: psycopg.Connection[Any], prepared: Sequence[Prepared], scales: Mapping[str, int]
) -> None:
    """Begin, move the shards' rows along, make currencies known: one round trip."""
    # In order of shard, so that two writers of the same ones cannot deadlock.
    moves = [
        (each.posting.shard, each.posting.before, each.after, driver.cursor())
        for each in sorted(prepared, key=lambda each: each.posting.shard)
    ]
    known = driver.cursor()
    with driver.pipeline():
        driver.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
        for shard, before, after, moved in moves:
            statement = _INSERT_SHARD if before == Watermark() else _MOVE_SHARD
            moved.execute(statement, _move_arguments(shard, before, after))
        if scales:
            codes = {"codes": list(scales), "scales": list(scales.values())}
            driver.execute(_INSERT_CURRENCIES, codes)
            known.execute(_SELECT_CURRENCIES, codes)
    for shard, before, _, moved in moves:
        if moved.rowcount != 1:
            raise Superseded(
                f"Shard {shard} is not posted up to decision offset {before.decisions_offset}, end "
                f"{before.end}, as this writer believed: another one has posted since. Nothing was "
                "posted. Read the watermark and go on from there, or give the shard up."
            )
    for code, scale in known.fetchall() if scales else ():
        same_scale(code, scales[code], scale)


def _move_arguments(shard: int, before: Watermark, after: Watermark) -> dict[str, object]:
    return {
        "shard": shard,
        "decisions_offset": after.decisions_offset,
        "end": after.end,
        "digest": after.digest,
        "recorded_until": to_datetime(after.recorded_until),
        "before_offset": before.decisions_offset,
        "before_end": before.end,
        "before_digest": before.digest,
    }


def _settle(
    driver: psycopg.Connection[Any], postings: Sequence[Posting]
) -> list[dict[Stripe, Totals]]:
    """Runs, stripes, commit: one round trip."""
    added, committed = [driver.cursor() for _ in postings], driver.cursor()
    voiding = [(shard, run) for shard, _, runs in postings for run in runs if run.voided]
    with driver.pipeline():
        for (shard, _, runs), cursor in zip(postings, added, strict=True):
            for run in runs:
                driver.execute(_INSERT_RUN, _run_row(run), prepare=True)
                for at, voided in run.left_out:
                    driver.execute(_INSERT_VOID, _void_row(PostedVoid.of(shard, at, voided)))
            bounds = {"shard": shard, "start": runs[0].decision.start, "end": runs[-1].decision.end}
            cursor.execute(_ADD_TO_STRIPES, bounds, prepare=True)
        if not voiding:
            committed.execute("COMMIT")
    taken_back: dict[int, dict[Stripe, Totals]] = {}
    if voiding:
        for shard, run in voiding:
            taken_back.setdefault(shard, {}).update(_take_back(driver, shard, run))
        committed.execute("COMMIT")
    # A transaction that failed answers ROLLBACK, without an error.
    if committed.statusmessage != "COMMIT":
        raise JournalUnavailable(f"The database answered COMMIT with {committed.statusmessage}.")
    return [
        _totals(cursor) | taken_back.get(posting.shard, {})
        for posting, cursor in zip(postings, added, strict=True)
    ]


def _totals(cursor: psycopg.Cursor[Any]) -> dict[Stripe, Totals]:
    return {
        Stripe(account, currency): Totals(int(debits), int(credits), count, offset)
        for account, currency, debits, credits, count, offset in cursor.fetchall()
    }


def _take_back(
    driver: psycopg.Connection[Any], shard: int, run: PostingRun
) -> dict[Stripe, Totals]:
    """Void what the run takes back; of what was left out the stripes' last offset moves alone."""
    found: dict[Stripe, Totals] = {}
    for voided in run.voided:
        content = voided.transaction
        scales = {"codes": content.currencies, "scales": list(voided.scales)}
        driver.execute(_INSERT_CURRENCIES, scales)
        void = PostedVoid.of(shard, run.decisions_offset, voided)
        row = _void_row(void._replace(was_posted=True))
        was_posted = driver.execute(_INSERT_VOID, row).rowcount == 1
        sums = totals_after(content, {})
        for (account, currency), (debits, credits, entries, _) in sums.items():
            counted = (debits, credits, entries) if was_posted else (0, 0, 0)
            names = ("debits", "credits", "entries")
            given = dict(zip(names, counted, strict=True)) | {
                "account": account, "currency": currency, "shard": shard, "at": voided.offset,
            }  # fmt: skip
            found |= _totals(driver.execute(_TAKE_BACK, given))
    return found


def _void_row(void: PostedVoid) -> tuple[object, ...]:
    """What _INSERT_VOID takes."""
    moment, reason = to_datetime(void.recorded_at), void.reason or None
    return (*void[:3], moment, *void[4:7], reason, void.content, int(void.was_posted))


def _run_row(run: PostingRun) -> tuple[object, ...]:
    """What _INSERT_RUN takes."""
    decision = run.decision
    return (
        decision.shard,
        run.decisions_offset,
        decision.start,
        decision.end,
        decision.follows,
        decision.digest,
        decision.outcomes_digest,
        to_datetime(decision.recorded_until),
        decision.reference_offset,
        decision.accepted,
        decision.reference_digest or None,
    )

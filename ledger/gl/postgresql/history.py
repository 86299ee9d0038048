"""Writing history in PostgreSQL."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Engine, text

from ledger.clock import now
from ledger.domain.history import FoldedHistory, Running, fold
from ledger.domain.run import Watermark
from ledger.gl.history.tables import LAYOUT, REMARK, schema_of
from ledger.gl.history.writing import HistoryFold, HistoryWriter, superseded
from ledger.gl.journal import JournalUnavailable
from ledger.gl.postgresql import copying, history_folding, history_tidying
from ledger.gl.postgresql.connection import DATABASE_LOCK_SECONDS, engine, faults_translated
from ledger.gl.postgresql.history_folding import Place
from ledger.gl.postgresql.posting import END_ABANDONED

FOLD_SECONDS = 60
"""A statement that takes longer is cancelled, to be tried again."""
TIDY_SECONDS = 300
"""The same for what is made of lines that were folded."""
REMEMBERED = 100_000
"""Stripes whose totals are kept in memory; some 400 bytes each."""
TOTAL_LINES = 200_000
"""Lines that wait to be counted in totals; a reader adds up so many at most."""

_FIND_REMARK = """
SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace
WHERE nspname = current_schema()
"""


class _Folded(NamedTuple):
    """A fold, its `folded_at`, and what it adds."""

    fold: HistoryFold
    folded_at: int
    added: FoldedHistory


Stripes = dict[tuple[str, str], Running]
"""By account and currency."""


class PostgresHistoryWriter(HistoryWriter):
    """`HistoryWriter` over psycopg; connects when first asked.

    `url` as PostgresJournal has it, of the posting service. It remembers the totals of stripes
    that were folded last: they are those of the database as long as nothing of the shard was folded
    or restored since, which `folded_at` of its position tells.
    """

    def __init__(self, url: str) -> None:
        # As postings: looked up by key alone, also before the tables were first analysed.
        self._engine = engine(
            url,
            seconds=FOLD_SECONDS,
            idle_seconds=FOLD_SECONDS,
            pool_size=1,
            max_overflow=0,
            settings={"enable_seqscan": "off"},
            isolation_level="AUTOCOMMIT",
        )
        # For what is done beside folding: totals and blocks, and ending sessions that are gone.
        self._aside = engine(
            url,
            seconds=TIDY_SECONDS,
            idle_seconds=TIDY_SECONDS,
            pool_size=2,
            isolation_level="AUTOCOMMIT",
        )
        self._stripes = defaultdict[int, Stripes](dict)
        self._left: dict[int, int] = {}
        # Of a process before this one much may be left.
        self._untotalled, self._has_unblocked = TOTAL_LINES, True
        self._may_misscale = True
        self._lock = Lock()

    @contextmanager
    def _driver(self, of: Engine | None = None) -> Iterator[psycopg.Connection[Any]]:
        """The driver's connection, in history's schema; after any error it is closed."""
        with faults_translated(), (of or self._engine).connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            try:
                if not connection.info.get("placed"):
                    ledger = connection.scalar(text("SELECT current_schema()"))
                    ledger = ledger or "public"
                    # The journal's currencies are beside it. Other names of both are history's,
                    # and the first statement of each transaction fails where there is none.
                    connection.exec_driver_sql(
                        f'SET search_path TO "{schema_of(ledger)}", "{ledger}"'
                    )
                    connection.info["placed"] = True
                yield driver
            except BaseException:
                connection.invalidate()
                raise

    def positions(self) -> Mapping[int, Watermark]:
        with self._driver() as driver:
            _require_layout(driver)
            return history_folding.read_positions(driver)

    def fold(self, folds: Sequence[HistoryFold]) -> None:
        try:
            self._fold(folds)
        except BaseException:
            # What is known may be of another state than the database has.
            self._stripes.clear()
            self._left.clear()
            raise

    def _fold(self, folds: Sequence[HistoryFold]) -> None:
        with self._driver() as driver:
            try:
                moved = history_folding.move_positions(driver, folds, now())
            except psycopg.errors.LockNotAvailable:
                self._end_abandoned()
                raise
            for each, (folded_at, before) in zip(folds, moved, strict=True):
                if folded_at is None:
                    raise superseded(each)
                if before is None or before != self._left.get(each.shard):
                    self._stripes.pop(each.shard, None)
            self._learn(driver, folds)
            folded = [
                _Folded(each, at or 0, fold(each.runs, self._stripes[each.shard]))
                for each, (at, _) in zip(folds, moved, strict=True)
            ]
            self._write(driver, folded)
        self._left |= {each.fold.shard: each.folded_at for each in folded}

    def _end_abandoned(self) -> None:
        """End sessions that hold positions and are gone, as posting does."""
        with self._aside.connect() as connection:
            connection.exec_driver_sql(END_ABANDONED, {"secs": DATABASE_LOCK_SECONDS})

    def _learn(self, driver: psycopg.Connection[Any], folds: Sequence[HistoryFold]) -> None:
        """Look up the stripes that are touched and not known."""
        if sum(map(len, self._stripes.values())) > REMEMBERED:
            self._stripes.clear()
        wanted: dict[Place, int] = {}
        for each in folds:
            known = self._stripes[each.shard]
            for run in each.runs:
                for stripe, scale in history_folding.touched(run):
                    if stripe not in known:
                        wanted[each.shard, stripe] = scale
        if wanted:
            found = history_folding.find_stripes(driver, wanted)
            for (shard, stripe), running in found.items():
                self._stripes[shard][stripe] = running

    def _write(self, driver: psycopg.Connection[Any], folded: Sequence[_Folded]) -> None:
        if rows := "".join(
            history_folding.line_rows(each.added.lines, each.folded_at) for each in folded
        ):
            copying.copy_rows(driver, history_folding.COPY_LINES, rows.encode())
        blocks = [block for each in folded for block in each.added.blocks]
        answer = history_folding.finish(
            driver,
            blocks=blocks,
            scales=[pair for each in folded for pair in each.added.rescaled.items()],
            refusals=[
                history_folding.refusal_row(
                    fold.shard, at, refusal, fold.producers.get(refusal.offset, "")
                )
                for fold, _, added in folded
                for at, refusal in added.refusals
            ],
        )
        # PostgreSQL answers COMMIT of a failed transaction with ROLLBACK and no error.
        if answer != "COMMIT":
            raise JournalUnavailable(f"The database answered COMMIT with {answer}.")
        with self._lock:
            self._untotalled += sum(len(each.added.lines) for each in folded)
            self._has_unblocked |= bool(blocks)
            self._may_misscale |= any(each.added.rescaled for each in folded)

    def tidy(self, shards: Sequence[int], *, idle: bool) -> bool:
        with self._lock:
            is_due = self._untotalled >= (1 if idle else TOTAL_LINES)
            has_unblocked, self._has_unblocked = self._has_unblocked, False
            may_misscale, self._may_misscale = self._may_misscale, False
            if is_due:
                self._untotalled = 0
        if not (is_due or has_unblocked or may_misscale):
            return False
        try:
            with self._driver(self._aside) as driver:
                if may_misscale:
                    history_tidying.mend_scales(driver)
                if is_due:
                    history_tidying.count_totals(driver, shards)
                if has_unblocked:
                    has_unblocked = history_tidying.make_blocks(driver, shards)
        except BaseException:
            with self._lock:
                self._untotalled, self._has_unblocked = TOTAL_LINES, True
                self._may_misscale |= may_misscale
            raise
        with self._lock:
            self._has_unblocked |= has_unblocked
        return has_unblocked

    def close(self) -> None:
        self._aside.dispose()
        self._engine.dispose()


def _require_layout(driver: psycopg.Connection[Any]) -> None:
    """Raises JournalUnavailable while history has the tables of another release."""
    row = driver.execute(_FIND_REMARK).fetchone()
    remark = row[0] if row else ""
    if remark.startswith(REMARK) and remark != f"{REMARK}{LAYOUT}":
        raise JournalUnavailable(
            f"History has layout {remark.removeprefix(REMARK)}, of another release, and this one "
            f"writes layout {LAYOUT}. A worker of that release folds it; `faust-ledger up` of this "
            "one makes it again, to be folded from the decision log."
        )

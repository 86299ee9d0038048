"""Writing history in PostgreSQL."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import text

from ledger.clock import now
from ledger.domain.history import FoldedHistory, Running, fold
from ledger.domain.run import Stripe, Watermark
from ledger.gl.history.tables import schema_of
from ledger.gl.history.writing import HistoryFold, HistoryWriter, superseded
from ledger.gl.journal import JournalUnavailable
from ledger.gl.postgresql import copying, history_folding, history_tidying
from ledger.gl.postgresql.connection import engine, faults_translated
from ledger.gl.postgresql.history_folding import Place

FOLD_SECONDS = 60
"""A statement that takes longer is cancelled, to be tried again."""
REMEMBERED = 100_000
"""Stripes whose totals are kept in memory; some 400 bytes each."""
TOTAL_LINES = 200_000
"""Lines that wait to be counted in totals; a reader adds up so many at most."""


class _Folded(NamedTuple):
    """A fold, its `folded_at`, and what it adds."""

    fold: HistoryFold
    folded_at: int
    added: FoldedHistory


@dataclass(slots=True)
class _Stripes:
    """What is known of a shard's stripes: keys and scales, and totals after their last lines."""

    keys: dict[Stripe, tuple[int, int]] = field(default_factory=dict)
    running: dict[Stripe, Running] = field(default_factory=dict)


class PostgresHistoryWriter(HistoryWriter):
    """`HistoryWriter` over psycopg; connects when first asked.

    `url` as PostgresJournal has it, of the posting service. It remembers the totals of stripes
    that were folded last: they are those of the database as long as the shard's position is.
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
        self._stripes = defaultdict[int, _Stripes](_Stripes)
        # Of a process before this one much may be left.
        self._untotalled, self._has_unblocked = TOTAL_LINES, True

    @contextmanager
    def _driver(self) -> Iterator[psycopg.Connection[Any]]:
        """The driver's connection, in history's schema; after any error it is closed."""
        with faults_translated(), self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            try:
                if not connection.info.get("placed"):
                    ledger = connection.scalar(text("SELECT current_schema()"))
                    connection.exec_driver_sql(
                        f'SET search_path TO "{schema_of(ledger or "public")}"'
                    )
                    connection.info["placed"] = True
                yield driver
            except BaseException:
                connection.invalidate()
                raise

    def positions(self) -> Mapping[int, Watermark]:
        with self._driver() as driver:
            return history_folding.read_positions(driver)

    def fold(self, folds: Sequence[HistoryFold]) -> None:
        try:
            self._fold(folds)
        except BaseException:
            # What is known may be of another state than the database has.
            self._stripes.clear()
            raise

    def _fold(self, folds: Sequence[HistoryFold]) -> None:
        with self._driver() as driver:
            moved = history_folding.move_positions(driver, folds, now())
            for each, folded_at in zip(folds, moved, strict=True):
                if folded_at is None:
                    raise superseded(each)
            self._learn(driver, folds)
            folded = [
                _Folded(each, at or 0, fold(each.runs, self._stripes[each.shard].running))
                for each, at in zip(folds, moved, strict=True)
            ]
            self._write(driver, folded)
        for (shard, _, _, _), _, added in folded:
            known = self._stripes[shard]
            for stripe, made in added.stripes.items():
                known.running[stripe] = made.after
                known.keys[stripe] = known.keys[stripe][0], made.scale

    def _learn(self, driver: psycopg.Connection[Any], folds: Sequence[HistoryFold]) -> None:
        """Look up the stripes that are touched and not known."""
        if sum(len(each.keys) for each in self._stripes.values()) > REMEMBERED:
            self._stripes.clear()
        wanted: dict[Place, int] = {}
        for each in folds:
            known = self._stripes[each.shard].keys
            for run in each.runs:
                for stripe, scale in history_folding.scales_of(run):
                    if stripe not in known:
                        wanted[each.shard, stripe] = scale
        if not wanted:
            return
        for (shard, stripe), found in history_folding.find_stripes(driver, wanted).items():
            self._stripes[shard].keys[stripe] = found.key, found.scale
            self._stripes[shard].running[stripe] = found.running

    def _write(self, driver: psycopg.Connection[Any], folded: Sequence[_Folded]) -> None:
        rows: list[str] = []
        unblocked: list[tuple[int, int, int]] = []
        scales: list[tuple[Stripe, int]] = []
        refusals: list[tuple[object, ...]] = []
        for (shard, _, _, producers), folded_at, added in folded:
            for stripe, each in added.stripes.items():
                key, scale = self._stripes[shard].keys[stripe]
                before = self._stripes[shard].running[stripe]
                rows += history_folding.line_rows(key, folded_at, each)
                unblocked += history_folding.completed_blocks(key, before, each)
                if scale != each.scale:
                    scales.append((stripe, each.scale))
            refusals += [
                history_folding.refusal_row(shard, at, each, producers.get(each.offset, ""))
                for at, each in added.refusals
            ]
        if rows:
            copying.copy_rows(driver, history_folding.COPY_LINES, "".join(rows).encode())
        answer = history_folding.finish(
            driver, unblocked=unblocked, scales=scales, refusals=refusals
        )
        # PostgreSQL answers COMMIT of a failed transaction with ROLLBACK and no error.
        if answer != "COMMIT":
            raise JournalUnavailable(f"The database answered COMMIT with {answer}.")
        self._untotalled += len(rows)
        self._has_unblocked |= bool(unblocked)

    def tidy(self, shards: Sequence[int], *, idle: bool) -> bool:
        is_due = self._untotalled >= (1 if idle else TOTAL_LINES)
        if is_due:
            with self._driver() as driver:
                history_tidying.count_totals(driver, shards)
            self._untotalled = 0
        if self._has_unblocked:
            with self._driver() as driver:
                self._has_unblocked = history_tidying.make_blocks(driver, shards)
        return self._has_unblocked

    def close(self) -> None:
        self._engine.dispose()

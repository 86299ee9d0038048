"""Two writers of history with faults: whatever happens, it is the fold of the decisions.

The simulator plays the same to the stage, on a database in memory; this is about the SQL.
FAUST_LEDGER_HISTORY_SEEDS=N is how many worlds: `make fuzz` plays more.
"""

import os
from collections.abc import Callable
from contextlib import closing, suppress
from random import Random

import pytest

from ledger.domain.run import Watermark
from ledger.errors import LedgerError
from ledger.gl.history.writing import HistoryFold
from ledger.gl.journal import JournalUnavailable, Superseded
from ledger.gl.postgresql import PostgresBooks, PostgresJournal, history_tidying
from ledger.gl.postgresql.history import PostgresHistoryWriter
from ledger.gl.postgresql.history_reads import PostgresHistory
from tests.integration.gl_database import Database
from tests.integration.gl_history import emptied
from tests.integration.history_world import World

pytest_plugins = ["tests.integration.gl_database"]
SEEDS = int(os.environ.get("FAUST_LEDGER_HISTORY_SEEDS", "2"))
WRITERS = 2
RUNS = 60
END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Play:
    """Writers of a world's history, each with what it believes to be folded."""

    def __init__(self, database: Database, world: World) -> None:
        self._database, self._world, self._dice = database, world, world.random
        self._writers = [self._opened() for _ in range(WRITERS)]
        self._believed = [dict[int, Watermark]() for _ in range(WRITERS)]
        self._one = 0

    def _opened(self) -> PostgresHistoryWriter:
        return PostgresHistoryWriter(self._database.service)

    def on(self, faults: int) -> None:
        """Until `faults` things were done, and then until all is folded and tidy."""
        acts: list[Callable[[], None]] = [
            *[self._fold] * 12, *[self._fold_twice] * 2, *[self._look] * 4, *[self._tidy] * 4, self._kill,
            self._cut,
        ]  # fmt: skip
        for number in range(faults):
            self._one = self._dice.randrange(WRITERS)
            # What is lost or another's is asked for again by the next fold.
            with suppress(JournalUnavailable, Superseded):
                self._empty() if number == faults // 2 else self._dice.choice(acts)()
        while (found := self._known()) != self._world.positions():
            self._believed[self._one] = found
            with suppress(JournalUnavailable):
                self._fold()
        while self._writers[self._one].tidy(list(self._world.logs), idle=True):
            pass

    def close(self) -> None:
        for writer in self._writers:
            writer.close()

    def _known(self) -> dict[int, Watermark]:
        """Where the database stands; a session that was ended is noticed here."""
        while True:
            with suppress(JournalUnavailable):
                return dict(self._writers[self._one].positions())

    def _next(self) -> list[HistoryFold]:
        """What the writer believes to be next, of some shards."""
        folds, believed = [], self._believed[self._one]
        for shard, log in self._world.logs.items():
            before = believed.get(shard, Watermark())
            at = before.decisions_offset
            if runs := log.runs[at : at + self._dice.randint(0, 4)]:
                folds.append(HistoryFold(shard, before, runs))
        return folds

    def _fold(self) -> None:
        self._folded(self._next())

    def _folded(self, folds: list[HistoryFold]) -> None:
        if not folds:
            return
        try:
            self._writers[self._one].fold(folds)
        except LedgerError:
            self._believed[self._one] = self._known()
            raise
        self._believed[self._one] |= {each.shard: each.runs[-1].after for each in folds}

    def _fold_twice(self) -> None:
        """As where no answer came, and nobody asks the database."""
        if folds := self._next():
            self._folded(folds)
            with pytest.raises(Superseded):
                self._folded(folds)

    def _look(self) -> None:
        """As a shard that is opened: perhaps another one has folded meanwhile."""
        self._believed[self._one] = self._known()

    def _tidy(self) -> None:
        shards = list(self._world.logs)
        self._writers[self._one].tidy(shards, idle=self._dice.random() < 0.7)

    def _kill(self) -> None:
        self._writers[self._one].close()
        self._writers[self._one], self._believed[self._one] = self._opened(), {}

    def _cut(self) -> None:
        """The database ends all sessions."""
        self._database.run(END_SESSIONS)

    def _empty(self) -> None:
        emptied(self._database)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_history_is_the_fold_of_the_decisions(
    database: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_tidying, "SPLIT_LINES", 20)
    emptied(database)
    world = World(Random(seed), effective=("mixed", "one second")[seed % 2])
    world.grow(RUNS)
    with closing(PostgresJournal(database.service)) as journal:
        world.post(journal)
    with closing(Play(database, world)) as play:
        play.on(3 * RUNS)
    with closing(PostgresBooks(database.owner)) as books:
        assert books.history_findings() == []
    with closing(PostgresHistory(database.service)) as reader:
        instants = world.random.sample(world.instants(), 6)
        for effective, recorded in zip([None, *instants], [*instants, None], strict=True):
            found = reader.as_of(effective_before=effective, recorded_before=recorded)
            assert found == (world.positions(), world.sums(effective, recorded))

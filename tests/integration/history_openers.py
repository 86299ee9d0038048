"""Histories of a world, in memory and in PostgreSQL: fixtures of the tests that read history."""

import random
from collections.abc import Callable, Iterator

import pytest

from ledger.gl.history.books import History
from ledger.gl.history.memory import MemoryHistory
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.postgresql.history_reads import PostgresHistory
from tests.integration.gl_database import Database
from tests.integration.history_tables import fill
from tests.integration.history_world import World

Opener = Callable[[World], History]


@pytest.fixture(params=["memory", "postgresql"])
def opener(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens the history of a world; the one before it is gone."""
    if request.param == "memory":
        yield in_memory
        return
    database: Database = request.getfixturevalue("database")
    made = PostgresHistory(database.service)

    def opened(world: World) -> History:
        fill(database, world.portions(), world.random)
        return made

    yield opened
    made.close()


def in_memory(world: World) -> MemoryHistory:
    made = MemoryHistory()
    for each in world.portions():
        made.fold([each])
    return made


class Ledger:
    """A world whose runs are in a journal as well."""

    def __init__(self, world: World, history: History) -> None:
        self.world, self.history = world, history


@pytest.fixture
def ledger(opener: Opener, request: pytest.FixtureRequest) -> Ledger:
    """Busy enough for several pages."""
    world = World(random.Random(11))
    world.grow(80)
    history = opener(world)
    if isinstance(history, PostgresHistory):
        journal = PostgresJournal(request.getfixturevalue("database").service)
        world.post(journal)
        journal.close()
    return Ledger(world, history)

"""A second ledger on the same services, whose general ledger is in an H2 that acts as an Oracle."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from ledger.health.checks.topics import Positions
from ledger.settings import Settings
from ledger.streaming import progress
from ledger.streaming.log import Log
from ledger.streaming.registry import codec_of
from ledger.streaming.topics import topics
from tests import warden
from tests.faults.another import CHANGED, WORKER, Another, environment_of
from tests.faults.world import SESSION_SECONDS, World
from tests.h2.served import ServedDatabase, served


@dataclass
class OnH2(Another):
    """Its commands have the worker's directory: there is no stack of its own."""

    database: ServedDatabase = field(kw_only=True)

    def known(self) -> Positions:
        """What is compared; the database is asked by processes that know where it is."""
        return asyncio.run(_compared(self.settings))

    def posted(self) -> int:
        """How many transactions the general ledger has."""
        return int(self.database.run("SELECT COUNT(*) FROM transactions")[0][0])

    def drop_database(self) -> None:
        """It goes with whoever serves it."""

    def rows(self, *words: object, code: int | None = 0) -> list[dict[str, Any]]:
        """What a command prints as JSON, an object a line."""
        out = self.commands.finish(self.commands.start(*words, "--json"), code=code)
        return [json.loads(line) for line in out.splitlines()]

    def answer(self, *words: object) -> dict[str, Any]:
        """The one object that it prints."""
        (found,) = self.rows(*words)
        return found

    def refusal(self, *words: object) -> str:
        """The sentence with which a command ends; it is one that needs no database."""
        plain = {name: value for name, value in self.commands.environment.items()
                 if name != "PYTHONPATH"}  # fmt: skip
        child = World(self.commands.data_dir, plain).start(*words)
        out, err = child.communicate()
        assert (child.returncode, out) == (3, ""), (words, child.returncode, out, err)
        assert "Traceback" not in err
        return " ".join(err.split())


async def _compared(settings: Settings) -> Positions:
    names, log = topics(settings).progress, Log(settings)
    try:
        codec = await asyncio.to_thread(codec_of, settings)
        shards = range(names.partitions)
        return Positions(compared=await progress.compared(log, codec, names.name, shards))
    finally:
        await log.close()


@contextmanager
def on_h2(world: World) -> Iterator[OnH2]:
    """Prepared by `faust-ledger setup`, its worker started; gone at the end."""
    own = {"prefix": f"o{uuid4().hex[:8]}", "shards": 2, "balance_partitions": 2,
           "session_timeout_seconds": SESSION_SECONDS}  # fmt: skip
    settings = world.settings.model_copy(update=own)
    with served() as database:
        environment = environment_of(settings, *CHANGED) | database.environment
        place = World(warden.new_place(ledger=False), environment)
        made = OnH2(settings, place, place, database=database)
        try:
            place.run("setup", "--json")
            database.add_service()
            made.start()
            place.ready(WORKER)
            yield made
        finally:
            made.remove()

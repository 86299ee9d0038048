"""A second ledger on the same services, whose topics and database may be cut and replaced."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Self
from uuid import uuid4

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from psycopg import sql
from sqlalchemy import make_url

from ledger.health.checks.topics import Positions, read_positions
from ledger.settings import Settings
from ledger.stack import files, identity, postgres
from ledger.stack.prepare import prepare
from ledger.streaming.topics import bring_about, topics
from tests import warden
from tests.faults.flow import Flow
from tests.faults.world import SESSION_SECONDS, World
from tests.waiting import PATIENCE, until

WORKER = "worker-1"
CHANGED = ("prefix", "shards", "balance_partitions", "session_timeout_seconds",
           "bootstrap_servers", "registry_url")  # fmt: skip
"""Settings that are its own, or that no stack of its own has."""
DATABASES = ("database_url", "service_database_url")


def environment_of(settings: Settings, *names: str) -> dict[str, str]:
    """These settings as variables."""
    return {f"FAUST_LEDGER_{each.upper()}": str(getattr(settings, each)) for each in names}


@dataclass
class Another:
    """`world` is its worker's directory; `commands` runs commands on it with the services' own."""

    settings: Settings
    world: World
    commands: World
    supervisor: "subprocess.Popen[bytes] | None" = None

    @cached_property
    def flow(self) -> Flow:
        """Its producer."""
        return Flow(self.settings, name=self.settings.prefix, seed=1)

    def start(self) -> None:
        """Its worker."""
        command = self.world.command("worker", "--data-dir", self.world.data_dir, "--name", WORKER)
        log = self.world.data_dir / "worker.log"
        with log.open("ab") as output:
            environment = {**os.environ, **self.commands.environment}
            self.supervisor = subprocess.Popen(
                command, env=environment, stdout=output, stderr=output
            )

    def stop(self) -> None:
        """Its worker, well."""
        if self.supervisor is not None:
            self.supervisor.terminate()
            self.supervisor.wait(PATIENCE)
            self.supervisor = None

    def known(self) -> Positions:
        """What its topics and its database have."""
        return asyncio.run(read_positions(self.settings))

    def publish(self) -> None:
        """One transaction in each shard; returns once they are compared."""
        places = self.flow.probe()

        def compared() -> bool:
            known = self.known().compared
            return all(shard in known and known[shard].end > at for shard, at in places)

        until(compared, f"comparison of {places}")

    def on_database(self, *statements: str) -> None:
        """As the superuser, from another database; `{name}` is this one's, `{old}` its backup's."""
        place = files.layout(self.commands.data_dir)
        me = identity.load_identity(place)
        assert me is not None
        name = self.settings.prefix
        with postgres.connect(place, me) as connection:
            for each in statements:
                connection.execute(
                    sql.SQL(each).format(
                        name=sql.Identifier(name), old=sql.Identifier(f"{name}_old"),
                        owner=sql.Identifier("ledger_owner"),
                    )
                )  # fmt: skip

    def cut_decisions(self, shard: int) -> None:
        """As retention does: all that the log of decisions holds of the shard."""
        name = topics(self.settings).decisions.name
        end = self.known().decisions[shard][1]

        async def cut() -> None:
            async with admin(self.settings) as asked:
                await asked.delete_records({TopicPartition(name, shard): RecordsToDelete(end)})

        asyncio.run(cut())

    def make_anew(self, topic: str) -> None:
        """Empty."""
        asyncio.run(self._delete([topic]))
        until(lambda: asyncio.run(bring_about(self.settings)).created, "the topic made anew")

    async def _delete(self, names: list[str]) -> None:
        async with admin(self.settings) as asked:
            await asked.delete_topics(names)

    def remove(self) -> None:
        """All of it."""
        self.stop()
        self.flow.close()
        asyncio.run(self._delete([each.name for each in topics(self.settings).all()]))
        self.drop_database()
        self.world.remove()
        warden.left(self.world.data_dir)

    def drop_database(self) -> None:
        """And its backup."""
        self.on_database(
            "DROP DATABASE IF EXISTS {name} WITH (FORCE)",
            "DROP DATABASE IF EXISTS {old} WITH (FORCE)",
        )


class admin(AIOKafkaAdminClient):
    """For `async with`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(bootstrap_servers=settings.bootstrap_servers)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@contextmanager
def another(world: World) -> Iterator[Another]:
    """Prepared, its worker started; gone at the end."""
    name = f"h{uuid4().hex[:8]}"

    def address(url: str) -> str:
        return make_url(url).set(database=name).render_as_string(hide_password=False)

    ours = world.settings
    settings = ours.model_copy(
        update={
            "prefix": name, "shards": 2, "balance_partitions": 2,
            "session_timeout_seconds": SESSION_SECONDS,
            "database_url": address(ours.database_url),
            "service_database_url": address(ours.service_database_url),
        }
    )  # fmt: skip
    commands = World(world.data_dir, environment_of(settings, *CHANGED, *DATABASES))
    made = Another(settings, World(warden.new_place(ledger=False)), commands)
    try:
        made.on_database("CREATE DATABASE {name} OWNER {owner}")
        prepare(settings)
        made.start()
        made.world.ready(WORKER)
        yield made
    finally:
        made.remove()

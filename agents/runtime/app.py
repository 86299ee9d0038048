"""The Faust application: its settings, its stages as agents, and what happens on a fault."""

import logging
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import faust
from faust.types import TP

from agents.runtime.assignor import Assignor
from agents.runtime.membership import Membership
from agents.runtime.runs import Run
from agents.runtime.runtime import Graph, Runtime, Stage, Task
from agents.runtime.stages import Stages
from agents.runtime.transport import Runs, RunTransport
from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.health.application import Health
from ledger.health.exits import Exit
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec
from ledger.streaming.store import is_damage, is_disk_trouble, note_damage
from ledger.streaming.table import Overtaken
from ledger.streaming.topics import topics

RUNS_BUFFERED = 64

log = logging.getLogger(__name__)


class LeaseLost(LedgerError):
    """The broker has not confirmed this worker for a whole session: others own its shards."""


class LedgerApp(faust.App):
    """An application in the consumer group `<prefix>-<name>`; its tables live under `data`.

    `gather_seconds`: from a fetch that brought something to the next one.
    """

    topics: Any  # Faust's own conductor; the ledger's topics are `runtime.topics`

    def __init__(
        self,
        name: str,
        settings: Settings,
        codec: Codec,
        data: Path,
        health: Health | None = None,
        *,
        gather_seconds: float = 0.0,
    ) -> None:
        super().__init__(f"{settings.prefix}-{name}", **_options(name, settings, data))
        self.gather_seconds = gather_seconds
        self.transport = RunTransport(self.conf.broker, self)
        names = topics(settings)
        membership = Membership(self, names.transactions.name)
        health = health or Health()

        def require_lease() -> None:
            lease(membership, health, settings.session_timeout_seconds)

        log_ = Log(settings, lease=require_lease)
        self.runtime = Runtime(settings, names, log_, codec, data, health, membership, self.fault)
        self.stages = Stages(self.runtime)
        self._assigned = ""

    def serve(self, graph: Graph) -> None:
        """Take the runs of each stage's topic, and do the tasks beside them."""
        for stage in graph.stages:
            self._serve(stage)
        for task in graph.tasks:
            self.do(task)

    def _serve(self, stage: Stage) -> None:
        lanes = self.stages.add(stage)

        async def agent(stream: Any) -> None:
            async for event in stream.noack().events():
                runs: list[Run] = event.value
                lanes.put(runs)

        self.agent(self.topic(stage.topic.name, schema=Runs()), name=stage.name)(agent)

    def do(self, task: Task) -> None:
        """Do a task beside the stages."""

        async def guarded() -> None:
            await self.runtime.guarded(task.work(), task.doing)

        guarded.__name__ = task.doing.replace(" ", "_")
        self.task(guarded)

    def fault(self, error: BaseException, doing: str) -> None:
        """End the process at once, before Faust can ack what was not done.

        Everything it knew is in the log and the tables; its successor starts from there.
        """
        log.critical("Fault while %s; this process stops.", doing, exc_info=error)
        if is_damage(error):
            with suppress(OSError):
                note_damage(self.runtime.data)
        logging.shutdown()
        os._exit(exit_of(error))

    def on_rebalance_end(self) -> None:
        super().on_rebalance_end()
        self.runtime.membership.rebalance_ended()
        assigned = shown_partitions(self.consumer.assignment())
        if assigned != self._assigned:
            self._assigned = assigned
            log.info("%s has %s", self.conf.id, assigned or "no partitions")


def lease(membership: Membership, health: Health, session_seconds: int) -> None:
    """Called before every append. Raises LeaseLost when this process was paused past its lease.

    Raises Unavailable when it was awake all the while: then it is the broker that is away, and is
    waited for; nothing is written until it has confirmed the membership.
    """
    age = membership.unconfirmed()
    if age <= session_seconds:
        return
    if health.loop.stood_still(session_seconds / 2, within=age):
        raise LeaseLost(f"No heartbeat was confirmed for {age:.0f} s.")
    raise Unavailable(
        f"The broker has not confirmed this worker's membership for {age:.0f} s. Nothing is "
        "written until it does."
    )


def credentials(settings: Settings) -> faust.SASLCredentials | None:
    """Who we are to Kafka, in Faust's words. Raises LedgerError for a password nobody can read."""
    given = connection.kafka(settings)
    if "sasl_mechanism" not in given:
        return None
    return faust.SASLCredentials(
        username=given["sasl_plain_username"],
        password=given["sasl_plain_password"],
        mechanism=given["sasl_mechanism"],
        ssl_context=given["ssl_context"],
    )


def exit_of(error: BaseException) -> Exit:
    """The status of a process that ends with `error`."""
    if is_damage(error):
        return Exit.DAMAGED
    if is_disk_trouble(error):
        return Exit.DISK
    if isinstance(error, LeaseLost | Overtaken):
        return Exit.REPLACED
    if isinstance(error, InvariantBroken):
        return Exit.BROKEN
    return Exit.SETTINGS if isinstance(error, LedgerError) else Exit.FAULT


def _options(name: str, settings: Settings, data: Path) -> Mapping[str, Any]:
    """Faust's settings."""
    # A member known by its tables: started again after a crash it takes its shards back at once,
    # where a new one would wait until the broker gives up the dead one.
    place = f"{socket.gethostname()}:{data.resolve()}"
    member = f"{name}-{sha256(place.encode()).hexdigest()[:16]}"
    return {
        "broker": [f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
        "broker_credentials": credentials(settings),
        "store": "memory://",
        "datadir": str(data / "faust"),
        "web_enabled": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "processing_guarantee": "at_least_once",
        "producer_acks": -1,
        "consumer_auto_offset_reset": "none",
        "consumer_group_instance_id": member,
        "PartitionAssignor": Assignor,
        # A topic that was recreated is found, and alarmed about, though nothing is written to it.
        "consumer_metadata_max_age_ms": 30_000,
        "consumer_max_fetch_size": 512 * 1024,
        "broker_max_poll_records": None,
        "broker_session_timeout": float(settings.session_timeout_seconds),
        "broker_heartbeat_interval": settings.session_timeout_seconds / 6,
        "broker_request_timeout": 90.0,
        "broker_commit_interval": 1.0,
        "stream_wait_empty": False,
        "stream_buffer_maxsize": max(RUNS_BUFFERED, 5 * (settings.shards + 1)),
        "stream_recovery_delay": 0.0,
        # With tables of our own Faust would choose a round-robin assignor, and a shard's
        # decisions and postings could end up at different workers; its own one, which it
        # chooses when there are standbys, gives topics of as many partitions the same ones.
        "table_standby_replicas": 1,
    }


def shown_partitions(some: Iterable[TP]) -> str:
    """Such as `ledger.posted 0-7, ledger.transactions 0-2 5`."""
    found: dict[str, list[list[int]]] = {}
    for topic, partition in sorted(some):
        spans = found.setdefault(topic, [])
        if spans and spans[-1][1] == partition - 1:
            spans[-1][1] = partition
        else:
            spans.append([partition, partition])
    return ", ".join(
        " ".join([topic, *(f"{a}-{b}" if a < b else str(a) for a, b in spans)])
        for topic, spans in found.items()
    )

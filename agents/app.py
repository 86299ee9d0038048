"""The Faust application: its settings, how a run is taken, and what happens on a fault."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import faust
from faust.types import TP

from agents.assignor import Assignor
from agents.lanes import Lane, Stage
from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.health.application import Health
from ledger.health.exits import Exit
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.delivery import Opener, Run, Runs, RunTransport
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec
from ledger.streaming.store import is_damage, is_disk_trouble, note_damage
from ledger.streaming.table import Overtaken
from ledger.streaming.topics import Topic, Topics, topics

if TYPE_CHECKING:
    from agents.compared import Compared
    from agents.stripes import Row
    from ledger.domain.run import Stripe
    from ledger.streaming.decisions import ValidRun

RUNS_BUFFERED = 64

log = logging.getLogger(__name__)


class LeaseLost(LedgerError):
    """The broker has not confirmed this worker for a whole session: others own its shards."""


class Clearable(Protocol):
    """Where work waits."""

    def clear(self) -> None:
        """Forget it."""


class LedgerApp(faust.App):
    """A Faust application whose agents take runs, and whose state says where to read from."""

    ledger: Settings
    topics: Any  # Faust's own conductor; the ledger's topics are `names`
    names: Topics
    log_: Log
    codec: Codec
    data: Path
    health: Health
    compared: "Compared"
    room: Callable[[int], Awaitable[None]]
    """Returns when reconciliation has room for more of a shard."""
    settled: Callable[[int, "ValidRun"], None]
    """Intake hands on what it has settled of a shard; it is in the decision log already."""
    told: Callable[[int, int, int, Mapping["Stripe", "Row"]], None]
    """Reconciliation hands on the rows of a shard that it has appended to a partition of the
    stripes topic, from an offset on."""
    rebalanced: asyncio.Event
    openers: dict[str, Opener]
    lanes: list[Mapping[Any, "Clearable"]]

    def fault(self, error: BaseException, doing: str) -> None:
        """The process dies at once, before Faust can ack what was not done.

        Everything it knew is in the log and the tables; its successor starts from there.
        """
        log.critical("Fault while %s; this process stops.", doing, exc_info=error)
        if is_damage(error):
            with suppress(OSError):
                note_damage(self.data)
        logging.shutdown()
        os._exit(exit_of(error))

    async def guarded(self, work: Awaitable[None], doing: str) -> None:
        """Do `work`; this process does not outlive its failing."""
        try:
            await work
        except Exception as error:
            self.fault(error, doing)

    def shards(self) -> set[int]:
        """The shards that this process decides."""
        topic = self.names.transactions.name
        return {tp.partition for tp in self.consumer.assignment() if tp.topic == topic}

    def on_rebalance_end(self) -> None:
        super().on_rebalance_end()
        self.rebalanced.set()

    def clear_lanes(self) -> None:
        """Forget the runs that wait: positions are about to be asked for again."""
        for lanes in self.lanes:
            for lane in lanes.values():
                lane.clear()

    def clear_lane(self, tp: TP) -> None:
        """The same of one partition; if its lane had stopped, it goes on."""
        for lanes in self.lanes:
            if (lane := lanes.get(tp)) is not None:
                lane.clear()

    def lease(self) -> None:
        """Called before every append. Raises LeaseLost when this process was paused past its lease.

        Raises Unavailable when it was awake all the while: then it is the broker that is away, and
        is waited for; nothing is written until it has confirmed the membership.
        """
        age = self.consumer.unconfirmed() if self._consumer is not None else 0
        session = self.ledger.session_timeout_seconds
        if age > session:
            if self.health.loop.stood_still(session / 2, within=age):
                raise LeaseLost(f"No heartbeat was confirmed for {age:.0f} s.")
            raise Unavailable(
                f"The broker has not confirmed this worker's membership for {age:.0f} s. Nothing "
                "is written until it does."
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


def new_app(
    name: str, settings: Settings, codec: Codec, data: Path, health: Health | None = None
) -> LedgerApp:
    """An application in the consumer group `<prefix>-<name>`; its tables live under `data`."""
    # A member known by its tables: started again after a crash it takes its shards back at once,
    # where a new one would wait until the broker gives up the dead one.
    place = f"{socket.gethostname()}:{data.resolve()}"
    member = f"{name}-{sha256(place.encode()).hexdigest()[:16]}"
    app = LedgerApp(
        f"{settings.prefix}-{name}",
        broker=[f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
        broker_credentials=credentials(settings),
        store="memory://",
        datadir=str(data / "faust"),
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        processing_guarantee="at_least_once",
        producer_acks=-1,
        consumer_auto_offset_reset="none",
        consumer_group_instance_id=member,
        PartitionAssignor=Assignor,
        # A topic that was made anew is found, and alarmed about, though nothing is written to it.
        consumer_metadata_max_age_ms=30_000,
        consumer_max_fetch_size=512 * 1024,
        broker_max_poll_records=None,
        broker_session_timeout=float(settings.session_timeout_seconds),
        broker_heartbeat_interval=settings.session_timeout_seconds / 6,
        broker_request_timeout=90.0,
        broker_commit_interval=1.0,
        stream_wait_empty=False,
        stream_buffer_maxsize=max(RUNS_BUFFERED, 5 * (settings.shards + 1)),
        stream_recovery_delay=0.0,
        # With tables of our own Faust would choose a round-robin assignor, and a shard's
        # decisions and postings could end up at different workers; its own one, which it
        # chooses when there are standbys, gives topics of as many partitions the same ones.
        table_standby_replicas=1,
    )
    app.transport = RunTransport(app.conf.broker, app)
    app.ledger, app.names, app.codec, app.data = settings, topics(settings), codec, data
    app.log_ = Log(settings, lease=app.lease)
    app.openers, app.lanes, app.rebalanced = {}, [], asyncio.Event()
    app.health = health or Health()
    return app


def take_runs(
    app: LedgerApp,
    topic: Topic,
    *,
    name: str,
    opened: Opener,
    take: Callable[[Run], Awaitable[int]],
) -> None:
    """An agent on `topic`: `opened` says where to read from, `take` is a Lane's."""
    app.openers[topic.name] = opened
    app.health.stages[topic.name] = name
    stage = Stage()
    lanes: dict[TP, Lane] = {}
    app.lanes.append(lanes)

    async def agent(stream: Any) -> None:
        async for event in stream.noack().events():
            runs: list[Run] = event.value
            for run in runs:
                if run.tp not in lanes:
                    lanes[run.tp] = Lane(app, run.tp, take, stage)
                lanes[run.tp].put(run)
            stage.start()

    app.agent(app.topic(topic.name, schema=Runs()), name=name)(agent)

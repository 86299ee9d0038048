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

from agents.lanes import Lane, Stage
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.delivery import Opener, Run, Runs, RunTransport
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec
from ledger.streaming.store import is_damage, is_full_disk, note_damage
from ledger.streaming.topics import Topic, Topics, topics

if TYPE_CHECKING:
    from agents.compared import Compared
    from agents.stripes import Row
    from ledger.domain.run import Stripe
    from ledger.streaming.decisions import ValidRun

FAULT_EXIT = 70
"""sysexits.h's EX_SOFTWARE: the supervisor starts the process again."""
DISK_EXIT = 74
"""EX_IOERR: this worker's disk takes no more."""
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
        os._exit(DISK_EXIT if is_full_disk(error) else FAULT_EXIT)

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
        self.note_ready()

    def clear_lanes(self) -> None:
        """Forget the runs that wait: positions are about to be asked for again."""
        for lanes in self.lanes:
            for lane in lanes.values():
                lane.clear()

    def note_ready(self) -> None:
        """Say so, in the file `ready`, once the state of every partition owned is open."""
        if self.consumer.opened >= self.consumer.assignment():
            self.data.joinpath("ready").touch()

    def lease(self) -> None:
        """Raises LeaseLost when this process may no longer write: called before every append."""
        age = self.consumer.unconfirmed() if self._consumer is not None else 0
        if age > self.ledger.session_timeout_seconds:
            raise LeaseLost(f"No heartbeat was confirmed for {age:.0f} s.")


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


def new_app(name: str, settings: Settings, codec: Codec, data: Path) -> LedgerApp:
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

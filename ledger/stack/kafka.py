"""Apache Kafka as one process that is broker and controller (KRaft), on 127.0.0.1."""

import asyncio
import logging
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.errors import StackError
from ledger.stack import files, java, ports
from ledger.stack.files import Layout
from ledger.stack.identity import Identity
from ledger.stack.parts import Part, spawn
from ledger.stack.ports import HOST, is_open

NAME = "kafka"
READY_SECONDS = 120
STOP_SECONDS = 60
HEAP = "-Xmx512m"

# A topic may set its own limit up to 32 MiB; the broker's must not be the smaller one.
LARGEST_BATCH_BYTES = 34 * 1024 * 1024

PROPERTIES = """\
# Written by `faust-ledger up`; changes are lost at the next start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
# Relative, so that no character in the data directory's path needs escaping here.
log.dirs=data
# A topic that a typing mistake created is worse than an error.
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
transaction.max.timeout.ms=60000
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=8
group.initial.rebalance.delay.ms=0
message.max.bytes={largest}
replica.fetch.max.bytes={largest}
socket.request.max.bytes=104857600
# The log is the record of what was asked: nothing is deleted unless a topic says so.
log.retention.ms=-1
# The default of 128 MiB is a quarter of this heap.
log.cleaner.dedupe.buffer.size=33554432
# After kill -9 the controller does not let the broker in again until its last session is over.
# The defaults, 9 s and 2 s, allow for a network between the two.
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
num.network.threads=3
num.io.threads=4
controlled.shutdown.enable=true
"""

LOGGING = """\
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %p %c{1} %m%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=OUT
"""


def configure(directory: Path, identity: Identity) -> None:
    """Write server.properties and the logging configuration into `directory`."""
    # Nobody outside this process uses it, so it need not be the same at the next start.
    controller_port = ports.choose({identity.kafka_port})
    (directory / "server.properties").write_text(
        PROPERTIES.format(
            host=HOST,
            port=identity.kafka_port,
            controller_port=controller_port,
            largest=LARGEST_BATCH_BYTES,
        )
    )
    (directory / "log4j2.properties").write_text(LOGGING)


def command(place: Layout, jars: list[Path], main: str, *arguments: str) -> list[str]:
    """Java with Kafka's class path and logging, running the class `main`."""
    options = (
        HEAP,
        "-Dlog4j2.configurationFile=log4j2.properties",
        "-Djava.awt.headless=true",
        "-cp",
        java.class_path(jars),
    )
    return java.command(place, NAME, options, (main, *arguments))


def format_storage(place: Layout, identity: Identity, jars: list[Path]) -> None:
    """Make the log directory beside its place and move it there: whole or not at all."""
    if (place.kafka / "data" / "meta.properties").exists():
        return
    shutil.rmtree(place.kafka / "data", ignore_errors=True)
    with files.partial_directory(place.kafka) as partial:
        configure(partial, identity)
        finished = subprocess.run(
            command(
                place,
                jars,
                "kafka.tools.StorageTool",
                "format",
                # One word: an id may begin with a dash, and would pass for an option.
                f"--cluster-id={identity.cluster_id}",
                "-c",
                "server.properties",
            ),
            capture_output=True,
            text=True,
            check=False,
            cwd=partial,
            env=java.environment(),
        )
        if finished.returncode != 0:
            raise StackError(
                f"Kafka's storage in {place.kafka} could not be prepared:\n"
                f"{(finished.stdout + finished.stderr).strip()}"
            )
        (partial / "data").replace(place.kafka / "data")


def start(place: Layout, identity: Identity, jars: list[Path]) -> Part:
    """Start the broker, its storage made first where there is none, without waiting for it."""
    format_storage(place, identity, jars)
    configure(place.kafka, identity)
    return spawn(
        NAME,
        command(place, jars, "kafka.Kafka", "server.properties"),
        port=identity.kafka_port,
        log=place.log(NAME),
        cwd=place.kafka,
        env=java.environment(),
    )


def missing(port: int) -> str | None:
    """What a client would miss: None when the broker answers who it is and leads."""
    if not is_open(port):
        return f"nothing listens on port {port}"
    with unheard("aiokafka"):
        return asyncio.run(ask(port))


async def ask(port: int) -> str | None:
    """Ask the broker for its cluster, as any client does first."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    admin = AIOKafkaAdminClient(bootstrap_servers=f"{HOST}:{port}", request_timeout_ms=5_000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    except (KafkaError, OSError) as error:
        return f"the broker does not answer yet: {error!r}"
    finally:
        await admin.close()
    return None if cluster["brokers"] else "the broker has not joined its own cluster"


@contextmanager
def unheard(name: str) -> Iterator[None]:
    """Keep a library from printing that a broker which is starting refuses connections."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)

"""Apache Kafka: in each data centre one process that is broker and controller (KRaft)."""

import asyncio
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ledger.errors import StackError
from ledger.settings import Settings
from ledger.stack import broker_files, environment, files, java
from ledger.stack.aot_cache import AotCache
from ledger.stack.files import Layout
from ledger.stack.identity import USERS, Broker, Identity
from ledger.stack.parts import Part, spawn
from ledger.stack.ports import HOST, is_open

READY_SECONDS = 120
STOP_SECONDS = 60
HEAP = "-Xmx512m"
# Several on one machine: each has a part of the partitions to lead.
HEAP_OF_SEVERAL = "-Xmx384m"


def options(me: Identity, jars: Sequence[Path]) -> tuple[str, ...]:
    """For Java: Kafka's class path and logging."""
    return (
        HEAP if me.data_centres == 1 else HEAP_OF_SEVERAL,
        "-Dlog4j2.configurationFile=log4j2.properties",
        "-Djava.awt.headless=true",
        "-cp",
        java.class_path(jars),
    )


def format_storage(place: Layout, me: Identity, broker: Broker, words: Sequence[str]) -> None:
    """Make the log directory beside its place and move it there: whole or not at all."""
    home = place.broker(broker.name)
    if (home / "data" / "meta.properties").exists():
        return
    shutil.rmtree(home / "data", ignore_errors=True)
    with files.partial_directory(home) as partial:
        broker_files.write_broker_files(partial, place, me, broker)
        # In a file, for passwords are among them, and everybody sees a process's arguments.
        files.write_private(partial / "arguments", "\n".join(map(quoted, format_arguments(me))))
        command = java.command(place, broker.name, words, ("@arguments",))
        finished = environment.run_program(command, cwd=partial)
        if finished.returncode != 0:
            # What it prints of users are salted keys, but keys.
            said = (finished.stdout + finished.stderr).strip().splitlines()
            kept = "\n".join(line for line in said if "UserScramCredential" not in line)
            raise StackError(f"Kafka's storage in {home} could not be prepared:\n{kept}")
        (partial / "data").replace(home / "data")


def format_arguments(me: Identity) -> list[str]:
    """The tool, the cluster's id, and the users of a secure stack."""
    # One word: an id may begin with a dash, and would pass for an option.
    words = ["kafka.tools.StorageTool", "format", f"--cluster-id={me.cluster_id}"]
    words += ["-c", "server.properties"]
    for user in USERS if me.secure else ():
        words += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={me.passwords[user]}]"]
    return words


def quoted(word: str) -> str:
    """A word of a file of arguments, as Java reads it."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def start(place: Layout, me: Identity, broker: Broker, jars: Sequence[Path], aot: AotCache) -> Part:
    """Start the broker, its storage made first where there is none, without waiting for it."""
    home = place.broker(broker.name)
    home.mkdir(exist_ok=True, mode=files.PRIVATE_DIR)
    given = options(me, jars)
    format_storage(place, me, broker, (*aot.use(), *java.for_tests(), *given))
    broker_files.write_broker_files(home, place, me, broker)
    # One of several is enough: making it takes processor time. What is kept is of a usual run.
    creates = broker.number == 1 and aot.is_needed()
    aot_options = aot.use_or_create() if creates else (*aot.use(), *java.for_tests())
    return spawn(
        broker.name,
        java.command(
            place,
            broker.name,
            (*aot_options, *given),
            ("kafka.Kafka", "server.properties"),
        ),
        port=broker.port,
        log=place.log(broker.name),
        cwd=home,
        env=environment.for_programs(),
    )


def missing(settings: Settings, broker: Broker) -> str | None:
    """What a client would miss: None when the broker answers who it is and takes part."""
    if not is_open(broker.port):
        return f"nothing listens on port {broker.port}"
    with unheard("aiokafka"):
        return asyncio.run(ask(settings, broker))


async def ask(settings: Settings, broker: Broker) -> str | None:
    """Ask this one broker for its cluster, as any client does first."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    from ledger.streaming import connection

    given = {**connection.kafka(settings), "bootstrap_servers": f"{HOST}:{broker.port}"}
    admin = AIOKafkaAdminClient(**given, request_timeout_ms=5_000)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    except (KafkaError, OSError) as error:
        return f"the broker does not answer yet: {error!r}"
    finally:
        await admin.close()
    there = {each["node_id"] for each in cluster["brokers"]}
    return None if broker.number in there else "the broker has not joined its own cluster"


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

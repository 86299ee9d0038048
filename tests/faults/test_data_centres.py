"""Three data centres with TLS and roles: one lost and back, then another; and who may do what."""

import asyncio
import json
import os
import ssl
import stat
import subprocess
import time
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
    for_code,
)

from agents.runtime.topic_watch import require_topics
from ledger.cli.completeness import INCOMPLETE
from ledger.client.ends import _appended, _consumer
from ledger.client.partitions import ledger_partitions
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import access, connection
from ledger.streaming.topic_look import TopicAdmin
from ledger.streaming.topics import bring_about, topics
from ledger.streaming.topics import look as topics_look
from tests.faults.centres import CENTRES, as_user
from tests.faults.conftest import PLAN, Ledger, times
from tests.faults.test_connections import line_of
from tests.faults.world import World, kill
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.faults
pytest_plugins = ["tests.faults.centres"]
BURST = 20_000
KEYS = 20
"""Ordering keys of each producer."""


# A centre lost.


class Producer:
    """In a data centre: sends a file of transactions, in order within each of its keys."""

    def __init__(self, ledger: Ledger, folder: Path, name: str, count: int) -> None:
        self._ledger, self._file = ledger, folder / f"{name}.jsonl"
        flow = ledger.flow
        made = [
            flow.transaction(ordering_key=f"{flow.name}-{name}-{number % KEYS}")
            for number in range(count)
        ]
        self.names = [each["transaction_id"] for each in made]
        self._file.write_text("".join(line_of(each) + "\n" for each in made))
        self._child: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Return once the first of it is accepted."""
        self._child = self._command()
        wanted = set(self.names)
        self._ledger.watch.until(
            lambda seen: not wanted.isdisjoint(seen.accepted.keys()), "the first of what is sent"
        )

    def kill(self) -> None:
        """With whatever is on its way."""
        assert self._child is not None
        self._child.kill()
        self._child.communicate()

    def finish(self) -> None:
        """All of it, by the one that runs or, after a kill, sent again from the beginning."""
        world = self._ledger.world
        if self._child is None or self._child.returncode is not None:
            self._child = self._command()
        world.finish(self._child)
        wanted = set(self.names)
        seen = self._ledger.watch.until(
            lambda seen: seen if wanted <= seen.accepted.keys() else None, "all that was sent"
        )
        places = {name: seen.accepted[name][0] for name in self.names}
        self._ledger.flow.published |= places
        for key in range(KEYS):
            offsets = [places[name] for name in self.names[key::KEYS]]
            assert offsets == sorted(offsets), f"the order within key {key} was lost"
            assert len({shard for shard, _ in offsets}) == 1

    def _command(self) -> "subprocess.Popen[str]":
        world = self._ledger.world
        return subprocess.Popen(
            world.command("publish", self._file, "--json"),
            env={**os.environ, "FAUST_LEDGER_DATA_DIR": str(world.data_dir / "nowhere"),
                 "FAUST_LEDGER_CONFIG": str(world.role_file("producer"))},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


def kill_centre(world: World, number: int) -> None:
    """Its broker and its worker with all its processes, at once."""
    name = f"worker-{number}"
    supervisor = psutil.Process(world.supervisors()[name])
    some = [supervisor, *supervisor.children(recursive=True)]
    for each in (*some, psutil.Process(world.service(f"kafka-{number}"))):
        # A child may have ended by itself.
        with suppress(psutil.NoSuchProcess):
            each.kill()
    for pid in (*(each.pid for each in some), world.service(f"kafka-{number}")):
        kill(pid)


def capacity(centres: Ledger, folder: Path, what: str) -> None:
    """How long so many transactions take to be published and reconciled, noted."""
    if PLAN:
        burst = Producer(centres, folder, f"burst-{time.monotonic_ns()}", BURST)
        since = time.monotonic()
        burst.finish()
        centres.recovered(f"{BURST:,} transactions published and reconciled, {what}", since)


@pytest.mark.fault(
    "a whole data centre of three killed (broker, controller, worker, producer), back; then another",
    "nothing lost, nothing twice, order within a key kept; the two left go on by themselves",
)
def test_a_centre_lost_and_back_then_another(centres: Ledger, tmp_path: Path) -> None:
    world = centres.world
    capacity(centres, tmp_path, "three centres")
    for number in (2, 1)[: times(1, 2)]:
        count = times(2_000, 30_000)
        producers = [
            Producer(centres, tmp_path, f"in-{each}-{number}", count)
            for each in range(1, CENTRES + 1)
        ]
        with centres.flowing():
            for each in producers:
                each.begin()
            centres.moment()
            since = time.monotonic()
            kill_centre(world, number)
            producers[number - 1].kill()
            centres.recovered("a centre killed: all shards reconcile by the other two", since)
            for each in producers:
                each.finish()
        centres.stood()
        capacity(centres, tmp_path, "two centres")
        with centres.flowing():
            since = time.monotonic()
            world.up()
            centres.note("the centre started again, ready", time.monotonic() - since)
            centres.recovered("the centre back: all shards reconcile", since)
            until(lambda: in_sync(world.settings), "every replica in sync")
            centres.note("the centre back: every replica in sync", time.monotonic() - since)
        centres.stood()
    centres.looked_through(commands=bool(PLAN))


def in_sync(settings: Settings) -> bool:
    """Whether every partition has all its replicas, one in each centre."""

    async def ask() -> list[Any]:
        admin = AIOKafkaAdminClient(**connection.kafka(settings))
        await admin.start()
        try:
            return list(await admin.describe_topics([each.name for each in topics(settings).all()]))
        finally:
            await admin.close()

    replicas = [each for topic in asyncio.run(ask()) for each in topic["partitions"]]
    assert all(len(set(each["replicas"])) == CENTRES for each in replicas)
    return all(len(each["isr"]) == CENTRES for each in replicas)


# Who may do what.


async def append(settings: Settings, topic: str) -> None:
    """One record that is nobody's."""
    producer = AIOKafkaProducer(**connection.kafka(settings))
    await producer.start()
    try:
        await asyncio.wait_for(producer.send_and_wait(topic, b"?", b"x", 0), 20)
    finally:
        await producer.stop()


async def read(settings: Settings, topic: str) -> None:
    """Whatever is there, if anything is."""
    # What a consumer learns from metadata it only logs.
    admin = AIOKafkaAdminClient(**connection.kafka(settings))
    try:
        await admin.start()
        (found,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    if found["error_code"]:
        raise for_code(found["error_code"])
    async with AIOKafkaConsumer(
        **connection.kafka(settings), auto_offset_reset="earliest"
    ) as consumer:
        tp = TopicPartition(topic, 0)
        consumer.assign([tp])
        consumer.seek(tp, 0)
        await consumer.getmany(timeout_ms=1_000)


async def join(settings: Settings, group: str) -> None:
    """As a member of a consumer group."""
    topic = topics(settings).balances.name
    consumer = AIOKafkaConsumer(topic, **connection.kafka(settings), group_id=group)
    try:
        await asyncio.wait_for(consumer.start(), 20)
        await asyncio.wait_for(consumer.getmany(timeout_ms=100), 20)
    finally:
        await consumer.stop()


async def create(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(**connection.kafka(settings))
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic("ledger.mine", 1, 1)])
        for _, code, *_ in answer.topic_errors:
            if code:
                raise for_code(code)
    finally:
        await admin.close()


READERS = {
    "transactions": {"finance", "service", "api"},
    "decisions": {"producer", "finance", "service", "api"},
    "posted": {"finance", "service", "api"},
    "stripes": {"finance", "service"},
    "balances": {"backend", "finance", "service", "api"},
    "coverage": {"backend", "finance", "service", "api"},
    "breaks": {"producer", "backend", "finance", "service", "api"},
    "rejects": {"producer", "finance", "service", "api"},
    "progress": {"producer", "backend", "finance", "service", "api"},
    "reference": {"producer", "backend", "finance", "service", "api"},
    "access": {"finance", "service", "api"},
    "audit_log": {"finance", "service", "api"},
    "statements": {"finance", "service", "api"},
}
# What is appended here is nothing that the ledger's own readers could take for theirs.
WRITERS = {
    "transactions": {"producer", "api"},
    "decisions": {"service"},
    "posted": {"service"},
    "balances": {"service"},
    "reference": {"finance"},
    "access": set(),
    "audit_log": {"api"},
    "statements": {"finance"},
}
HARMLESS = {"transactions", "reference", "audit_log", "statements"}
"""Topics that take anything: what is unreadable there is refused, or left out."""


async def refused(work: Awaitable[None], *errors: type[Exception]) -> bool:
    try:
        await work
    except errors:
        return True
    return False


@pytest.mark.fault(
    "each role reads every topic",
    "what is its own, and no more",
)
@pytest.mark.parametrize("role", access.ROLES)
def test_what_a_role_may_read(centres: Ledger, role: str) -> None:
    settings = centres.world.settings.model_copy(update=as_user(centres.world, role))

    async def look() -> None:
        for topic, readers in READERS.items():
            name = getattr(topics(settings), topic).name
            no = await refused(read(settings, name), TopicAuthorizationFailedError)
            assert no == (role not in readers), f"{role} reads {topic}: {not no}"

    asyncio.run(look())


@pytest.mark.fault(
    "each role writes to topics, creates one, joins a group, grants rights",
    "what is its own, and no more",
)
@pytest.mark.parametrize("role", access.ROLES)
def test_what_a_role_may_write(centres: Ledger, role: str) -> None:
    settings = centres.world.settings.model_copy(update=as_user(centres.world, role))

    async def look() -> None:
        for topic, writers in WRITERS.items():
            if role in writers and topic not in HARMLESS:
                continue  # the workers do it all the time
            name = getattr(topics(settings), topic).name
            no = await refused(append(settings, name), TopicAuthorizationFailedError)
            assert no == (role not in writers), f"{role} writes {topic}: {not no}"
        assert await refused(create(settings), ClusterAuthorizationFailedError,
                             TopicAuthorizationFailedError), f"{role} creates a topic"  # fmt: skip
        group = "ledger-stream"
        if role != "service":
            assert await refused(
                join(settings, group), GroupAuthorizationFailedError, TopicAuthorizationFailedError
            ), f"{role} joins {group}"
        with pytest.raises((LedgerError, Unavailable), match="ClusterAuthorizationFailed"):
            await access.grant(settings)

    asyncio.run(look())
    if role == "producer":
        # What it was let write, the ledger has refused.
        centres.watch.until(
            lambda seen: any(shard == 0 for shard, _ in seen.refused), "the refusal of one record"
        )


@pytest.mark.fault(
    "each role looks at the topics' settings, and alters one",
    "the service and finance see them, nobody alters them; who may not see them goes on with a warning",
)
@pytest.mark.parametrize("role", access.ROLES)
def test_who_sees_the_settings_of_topics(
    centres: Ledger, role: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = centres.world.settings.model_copy(update=as_user(centres.world, role))
    names = [each.name for each in topics(settings).all()]

    async def scenario() -> None:
        found, hidden = await topics_look(settings)
        assert found == [], "three copies, of which two are in sync, and all else as it must be"
        assert sorted(hidden) == ([] if role in ("finance", "service") else sorted(names))
        await require_topics(settings)
        async with TopicAdmin(settings) as broker:
            with pytest.raises(LedgerError, match="TopicAuthorizationFailed"):
                await broker.alter({names[0]: {"retention.ms": "5"}})

    asyncio.run(scenario())
    if role not in ("finance", "service"):
        with pytest.raises(LedgerError, match="may not see the settings of"):
            asyncio.run(bring_about(settings))
    warned = "no right to DESCRIBE_CONFIGS" in caplog.text
    assert warned == (role not in ("finance", "service"))
    # How many partitions a topic has is seen by whoever uses it.
    seen = {"producer": "transactions", "backend": "balances"}.get(role, "decisions")
    name = f"{settings.prefix}.{seen}"
    counted = asyncio.run(ledger_partitions(settings, name))[name]
    wrong = {"shards": counted + 1, "balance_partitions": counted + 1}
    with pytest.raises(LedgerError, match=f"this ledger has {counted} by its policy"):
        asyncio.run(ledger_partitions(settings.model_copy(update=wrong), name))


@pytest.mark.fault(
    "Kafka's clients in the clear, with a wrong password, as nobody known, trusting others",
    "none comes in, and is told why",
)
def test_nobody_comes_in_without_a_name(centres: Ledger, tmp_path: Path) -> None:
    settings = centres.world.settings
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password\n")
    strangers = {
        "in the clear": settings.model_copy(update={"kafka_security_protocol": "PLAINTEXT"}),
        "with a wrong password": settings.model_copy(update={"kafka_password_file": wrong}),
        "as nobody known": settings.model_copy(update={"kafka_user": "nobody"}),
        "trusting the system's authorities": settings.model_copy(update={"ca_file": None}),
    }

    async def look() -> None:
        for how, stranger in strangers.items():
            came = not await refused(read(stranger, "ledger.balances"), KafkaConnectionError)
            assert not came, f"somebody came in {how}"
        why = await connection.why_unavailable(strangers["with a wrong password"])
        assert "does not let user admin in with this password" in why
        assert "not trusted" in await connection.why_unavailable(
            strangers["trusting the system's authorities"]
        )

    asyncio.run(look())


@pytest.mark.fault(
    "a stranger knocks at the controllers",
    "the connection is ended",
)
def test_controllers_know_each_other_by_certificate(centres: Ledger) -> None:
    """TLS without one ends, whoever trusts the authority."""
    me = json.loads((centres.world.data_dir / "identity.json").read_text())
    trust = ssl.create_default_context(cafile=centres.world.data_dir / "secrets" / "ca.pem")

    async def knock(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
        writer.write(b"\0\0\0\x10" + bytes(16))
        return await asyncio.wait_for(reader.read(1), 20)

    for port in me["controller_ports"]:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            assert asyncio.run(knock(port)), "the connection was ended"
            raise AssertionError("a controller answered a stranger")


@pytest.mark.fault(
    "each role, and nobody, registers and deletes schemas and sets compatibility",
    "it may read them; nobody may do anything",
)
def test_the_registry_asks_who_it_is(centres: Ledger) -> None:
    world = centres.world
    body = {"schema": '"string"'}

    def status(settings: Settings, method: str, path: str) -> int:
        with httpx.Client(**connection.registry(settings), trust_env=False) as client:
            return client.request(method, path, json=body if method == "POST" else None).status_code

    unnamed = world.settings.model_copy(update={"registry_user": ""})
    assert status(unnamed, "GET", "subjects") == 401
    for role in access.ROLES:
        settings = world.settings.model_copy(update=as_user(world, role))
        assert status(settings, "GET", "subjects") == 200
        assert status(settings, "POST", "subjects/ledger.transactions-value") in (200, 404)
        assert status(settings, "POST", "subjects/ledger.transactions-value/versions") == 403
        assert status(settings, "DELETE", "subjects/ledger.transactions-value") == 403
        assert status(settings, "PUT", "config/ledger.transactions-value") == 403


@pytest.mark.fault(
    "finance verifies and reconciles the whole ledger, and changes the database",
    "it reads all and changes nothing",
)
def test_finance_reads_the_books_by_command(centres: Ledger) -> None:
    world = centres.world

    def as_finance(*words: str) -> Any:
        finished = subprocess.run(
            world.command(*words, "--json"), capture_output=True, text=True, check=True,
            env={**os.environ, "FAUST_LEDGER_DATA_DIR": str(world.data_dir / "nowhere"),
                 "FAUST_LEDGER_CONFIG": str(world.role_file("finance"))},
        )  # fmt: skip
        return json.loads(finished.stdout)

    assert as_finance("verify")["findings"] == []
    assert as_finance("reconcile", "--full")["breaks"] == []
    address = world.as_role("finance").database_url.replace("+psycopg", "")
    with psycopg.connect(address, connect_timeout=10) as database:
        for change in ("DELETE FROM entries", "UPDATE stripes SET debits = 0", "CREATE TABLE t ()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), database.transaction():
                database.execute(change)


def as_role(world: World, role: str, *words: str) -> tuple[int, list[Any], str]:
    """Exit status, rows and stderr of a command by somebody with that role's file alone."""
    finished = subprocess.run(
        world.command(*words, "--json"), capture_output=True, text=True, check=False,
        env={**os.environ, "FAUST_LEDGER_DATA_DIR": str(world.data_dir / "nowhere"),
             "FAUST_LEDGER_CONFIG": str(world.role_file(role))},
    )  # fmt: skip
    rows = [json.loads(line) for line in finished.stdout.splitlines()]
    return finished.returncode, rows, finished.stderr


@pytest.mark.fault(
    "balances asked for as finance, and as a backend, which may not look at the log",
    "finance is told that they are complete, the backend that it is not known",
)
def test_who_may_know_that_an_answer_is_complete(centres: Ledger, tmp_path: Path) -> None:
    world = centres.world
    file, made = tmp_path / "one.jsonl", centres.flow.transaction()
    undated = {
        name: each for name, each in json.loads(line_of(made)).items() if name != "created_at"
    }
    file.write_text(json.dumps(undated))
    # The log is younger than its window, so a producer needs no general ledger to know the past.
    status, [report], said = as_role(world, "producer", "publish", str(file), "--wait")
    assert (status, report["accepted"]) == (0, 1), said
    name = made["transaction_id"]
    centres.flow.published[name] = centres.watch.until(
        lambda seen: seen.accepted.get(name), "what was published"
    )[0]
    for words in (("balances",), ("balances", "--source", "ledger"), ("trial-balance",)):
        status, rows, said = as_role(world, "finance", *words)
        assert (status, rows[0]["complete"]) == (0, True), said
    status, rows, said = as_role(world, "backend", "balances")
    assert (status, rows[0]["complete"]) == (INCOMPLETE, False)
    assert "Whether this is complete is not known: " in said
    assert "does not let user backend look at ledger.transactions" in said


@pytest.mark.fault(
    "a leader's followers stopped while it appends",
    "the log's end that answers are measured by has what consumers are not shown yet",
)
def test_a_logs_end_has_what_its_followers_lack(centres: Ledger) -> None:
    world, settings = centres.world, centres.world.settings
    first = settings.bootstrap_servers.split(",")[0]
    alone = settings.model_copy(update={"bootstrap_servers": first})
    topic = topics(settings).transactions.name

    async def scenario() -> tuple[int, int, int]:
        async with _consumer(settings, "read_uncommitted") as consumer:
            leader = consumer._client.cluster.leader_for_partition
            tps = [TopicPartition(topic, shard) for shard in range(settings.shards)]
            await consumer.end_offsets(tps)
            tp = next(each for each in tps if leader(each) == 1)
            before = (await consumer.end_offsets([tp]))[tp]
            producer = AIOKafkaProducer(**connection.kafka(alone), acks=1)
            await producer.start()
            await producer.partitions_for(topic)
            with world.stopped(world.service("kafka-2"), world.service("kafka-3")):
                await asyncio.wait_for(
                    producer.send_and_wait(topic, b"nothing", partition=tp.partition), 10
                )
                shown = (await consumer.end_offsets([tp]))[tp]
                appended = (await _appended(consumer, [tp]))[tp]
            await producer.stop()
        return before, shown, appended

    before, shown, appended = asyncio.run(scenario())
    assert (shown, appended) == (before, before + 1)


# Secrets.


def secrets_of(world: World) -> dict[str, str]:
    found: dict[str, str] = json.loads((world.data_dir / "identity.json").read_text())["passwords"]
    return found


def own_processes(world: World) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if str(world.data_dir) in " ".join(process.cmdline()):
                yield process
        except psutil.Error:
            continue


@pytest.mark.fault(
    "passwords looked for in logs, arguments, outputs and errors",
    "there are none",
)
def test_secrets_are_said_nowhere(centres: Ledger, tmp_path: Path) -> None:
    """Not in logs, arguments, commands' output or error messages, nor in files for others."""
    world, words = centres.world, secrets_of(centres.world)
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password\n")
    asked: dict[str, subprocess.Popen[str]] = {}
    for command in ("up", "status", "doctor", "settings"):
        for form in ((), ("--json",)):
            asked[f"{command} {form}"] = world.start(command, *form)
    for name, change in {
        "wrong password": {"FAUST_LEDGER_KAFKA_PASSWORD_FILE": str(wrong)},
        "no registry": {"FAUST_LEDGER_REGISTRY_URL": "https://127.0.0.1:1/"},
        "no database": {"FAUST_LEDGER_DATABASE_URL": world.settings.database_url.replace(
            str(world.settings.database_url.rsplit(":", 1)[1].split("/")[0]), "1")},
    }.items():  # fmt: skip
        broken = World(world.data_dir, {**world.environment, **change})
        for command in ("balances", "verify", "trial-balance"):
            asked[f"{command} with {name}"] = broken.start(command)
    said = {what: "".join(child.communicate(timeout=PATIENCE)) for what, child in asked.items()}
    for log in (world.data_dir / "log").iterdir():
        said[log.name] = log.read_text(errors="replace")
    for process in own_processes(world):
        said[f"arguments of {process.pid}"] = " ".join(process.cmdline())
    for where, text in said.items():
        for whose, word in words.items():
            assert word not in text, f"the password of {whose} is in {where}"


@pytest.mark.fault(
    "passwords and keys looked for in all files",
    "only the owner reads those that have some",
)
def test_secrets_are_in_files_that_only_the_owner_reads(centres: Ledger) -> None:
    world = centres.world
    words = [word.encode() for word in secrets_of(world).values()]
    kept = 0
    for path in sorted(world.data_dir.rglob("*")):
        if {"data", "postgres", "postgres-2"} & {*path.parts} or not path.is_file():
            continue
        text = path.read_bytes()
        if any(word in text for word in words) or b"PRIVATE KEY" in text:
            kept += 1
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert kept >= len(words), "the passwords are somewhere"

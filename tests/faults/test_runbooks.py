"""Every page of docs/runbooks, tried as written, on a ledger on which the damage was done.

One ledger of two shards for all of them, in the order of this file: each page leaves it healthy,
but for the last two: one leaves its log cut, one a partition that cannot be taken away.
"""

import asyncio
import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.records_to_delete import RecordsToDelete

from ledger.client import lines
from ledger.domain.balance import Balance
from ledger.domain.partition import partition_of
from ledger.domain.transaction import ordering_key
from ledger.stack import postgres
from ledger.streaming import connection
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec, known_ids
from ledger.streaming.topic_look import TopicAdmin
from tests.builders import draft
from tests.faults.conftest import lasting, long
from tests.faults.runbook import follow
from tests.faults.world import kill
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.faults


class Ledger:
    """The world, and ways to publish to it and to break it."""

    def __init__(self, world):
        self.world = world
        self.count = 0

    @property
    def environment(self):
        return {
            "FAUST_LEDGER_DATA_DIR": str(self.world.data_dir),
            "FAUST_LEDGER_SHARDS": "2",
            "DATABASE": self.address,
            "DATA": str(self.world.data_dir),
        }

    @property
    def address(self):
        return self.world.settings.database_url.replace("+psycopg", "")

    def follow(self, page, **environment):
        return follow(page, self.environment | environment, [postgres.programs()])

    def publish(self, count=20, currency="CAD", *wait):
        rows = []
        for _ in range(count):
            self.count += 1
            rows.append(row(f"t-{self.count}", currency, self.count))
        return self.publish_rows(rows, *(wait or ("--wait",)))

    def publish_rows(self, rows, *options, code=0):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        done = subprocess.run(
            self.world.command("publish", "-", *options), input=lines, text=True, check=False,
            capture_output=True, env={**os.environ, **self.environment}, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == code, done
        return rows

    def sql(self, statement):
        with psycopg.connect(self.address) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else found.rowcount

    def dump(self, name):
        """A backup of the general ledger as it is now."""
        path = self.world.data_dir / name
        subprocess.run(
            [postgres.programs() / "pg_dump", "--format=custom", f"--file={path}", self.address],
            check=True,
        )
        return path

    def restore(self, path):
        """As the runbook does it: again where a reader and it waited for each other."""
        command = [
            postgres.programs() / "pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction",
            "--dbname", self.address, path,
        ]  # fmt: skip

        def attempt():
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0 or "deadlock detected" in done.stderr, done.stderr
            return done.returncode == 0

        until(attempt, "the restore")

    def kafka(self, work):
        async def ask():
            admin = AIOKafkaAdminClient(**connection.kafka(self.world.settings))
            await admin.start()
            try:
                return await work(admin)
            finally:
                await admin.close()

        return asyncio.run(ask())

    def delete_records(self, ends):
        self.kafka(
            lambda admin: admin.delete_records(
                {tp: RecordsToDelete(before_offset=end) for tp, end in ends.items()}
            )
        )

    def alter(self, changes):
        """Settings of topics, as somebody with Kafka's tools would."""

        async def work():
            async with TopicAdmin(self.world.settings) as broker:
                await broker.alter(changes)

        asyncio.run(work())

    def refused(self, code):
        """Ids of what was refused for this reason, sorted."""
        out = self.world.run("rejects", "list", "--code", code, "--json")
        return sorted(json.loads(line)["transaction_id"] for line in out.splitlines())

    def append_at(self, timestamp):
        """One transaction with a time of its own, milliseconds; returns its shard."""
        self.count += 1
        made = draft(f"t-{self.count}", at=time.time_ns() // 1_000)
        key = ordering_key(made).encode()
        shard = partition_of(key, 2)
        value = Codec(known_ids(self.world.settings)).encode("Transaction", made)

        async def send():
            producer = AIOKafkaProducer(**connection.kafka(self.world.settings))
            await producer.start()
            try:
                await producer.send_and_wait(
                    "ledger.transactions", value, key, shard, timestamp_ms=timestamp
                )
            finally:
                await producer.stop()

        asyncio.run(send())
        return shard

    def reconciled(self):
        until(lambda: self.world.start("reconcile", "--json").wait() == 0, "all reconciled")

    def all_is_there(self):
        """Every transaction once in the ledger, and every check content."""
        assert self.sql("SELECT count(*), count(DISTINCT transaction_id) FROM transactions") == [
            (self.count, self.count)
        ]
        assert json.loads(self.world.run("reconcile", "--full", "--json"))["breaks"] == []
        self.entry.times += 1

    entry = None
    """Of the fault plan; the fixtures of tests/faults set it."""


@pytest.fixture(scope="module")
def ledger(request):
    with lasting(request.session) as world:
        world.environment["FAUST_LEDGER_SHARDS"] = "2"
        world.up(1)
        made = Ledger(world)
        made.publish()
        yield made


def row(name, currency="CAD", number=0):
    """A deposit, as a line of `publish`."""
    entries = [
        {"account": account, "side": side, "amount": "125", "currency": currency}
        for account, side in (
            ("assets:cash", "debit"), (f"liabilities:deposits:{number % 7}", "credit"),
        )
    ]  # fmt: skip
    return {
        "transaction_id": name, "kind": "deposit", "description": "as it was",
        "effective_at": "2026-11-20T15:00:00Z", "created_at": now(), "entries": entries,
    }  # fmt: skip


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@pytest.mark.fault(
    "a transaction in the general ledger changed by hand",
    "`replay` names it and what was decided; the live ledger is not touched",
)
def test_incident(ledger):
    started = now()
    ledger.publish(6)
    assert (
        ledger.sql("UPDATE transactions SET description = 'changed' WHERE transaction_id = 't-25'")
        == 1
    )
    try:
        said = ledger.follow("incident.md", START=started)
    finally:
        ledger.sql(
            "UPDATE transactions SET description = 'as it was' WHERE transaction_id = 't-25'"
        )
    assert "1 differences" in said[0]
    assert "description changed live, as it was shadow" in said[0]


@pytest.mark.fault(
    "transactions refused, their asset registered afterwards",
    "`rejects replay` has them accepted; doing it again changes nothing",
)
def test_rejects(ledger):
    # One of them twice, as a producer does that tries again.
    rows = ledger.publish(2, "RUNBOOK.COIN", "--no-check")
    ledger.publish_rows(rows[:1], "--no-check", "--wait", code=1)
    ledger.follow("rejects.md")
    ledger.entry.times += 1


@pytest.mark.fault(
    "public balances taken out, made up and written over by somebody else",
    "`rebuild balances` puts the topic right while all runs",
)
def test_balances_lost(ledger):
    """Somebody else wrote to the topic: two accounts taken out, one far ahead, one made up."""
    settings = ledger.world.settings
    wrong = Balance(
        "liabilities:deposits:3",
        "CAD",
        2,
        "9999.00",
        "0.00",
        "0.00",
        "9999.00",
        1,
        "reconciled",
        10**15,
    )
    codec = Codec(known_ids(settings))

    async def write():
        log = Log(settings)
        for account, balance in (
            ("assets:cash", None), ("liabilities:deposits:1", None), (wrong.account, wrong),
            ("assets:nobody", wrong._replace(account="assets:nobody")),
        ):  # fmt: skip
            value = None if balance is None else codec.encode("Balance", balance._asdict())
            partition = partition_of(account.encode(), settings.balance_partitions)
            await log.append("ledger.balances", partition, [(f"{account} CAD".encode(), value)])
        await log.close()

    asyncio.run(write())
    said = ledger.follow("balances-lost.md")
    # Workers have published some of the four by themselves, where they have seen that they are lost.
    assert " published again, 0 pending, 0 still wrong" in said[1]
    ledger.entry.times += 1


@pytest.mark.fault(
    "rows of the general ledger changed and deleted by hand",
    "`rebuild ledger` shows them, and puts a ledger made from the log in its place",
)
def test_ledger_damaged(ledger):
    assert ledger.sql("UPDATE entries SET amount = amount + 1 WHERE log_offset = 3") > 0
    ledger.sql("DELETE FROM transactions WHERE transaction_id = 't-2'")
    ledger.follow("ledger-damaged.md")
    ledger.publish(7)
    ledger.all_is_there()


FORGED = """
WITH places (shard, at) AS (VALUES (99, 0), (1, 1000000000)), forged AS (
    INSERT INTO transactions (shard, log_offset, transaction_id, kind, effective_at, recorded_at, created_at)
    SELECT shard, at, 'forged', 'gift', now(), now(), now() FROM places
)
INSERT INTO entries SELECT shard, at, entry, account, 'CAD', side, 100 FROM places, (
    VALUES (0, 'assets:cash', 'D'), (1, 'liabilities:deposits:1', 'C')
) AS legs (entry, account, side)
"""


@long
@pytest.mark.fault(
    "transactions forged in the general ledger with the posting service's password",
    "`verify`, `reconcile` and `reconcile --full` name each row; `rebuild ledger` leaves them behind",
)
def test_ledger_forged(ledger):
    with psycopg.connect(
        ledger.world.settings.service_database_url.replace("+psycopg", "")
    ) as role:
        role.execute(FORGED)
    wanted = {
        (table, shard, offset)
        for table in ("transactions", "entries")
        for shard, offset in ((99, 0), (1, 10**9))
    }
    for words, findings in (
        (("verify",), "findings"), (("reconcile",), "breaks"), (("reconcile", "--full"), "breaks"),
    ):  # fmt: skip
        said = json.loads(ledger.world.finish(ledger.world.start(*words, "--json"), code=1))[
            findings
        ]
        assert {(each["table"], *each["key"].values()) for each in said} == wanted, words
    ledger.world.run("rebuild", "ledger", "--into", "without_forged", "--switch")
    ledger.world.run("shadows", "drop", "without_forged_before")
    ledger.publish(7)
    ledger.all_is_there()


@pytest.mark.fault(
    "the database restored from an old dump, with all at rest",
    "it catches up by itself",
)
def test_database_restored(ledger):
    """With all at rest, and connections that were not cut."""
    backup = ledger.dump("old.dump")
    # Posting has seen this currency committed, and the backup does not have it.
    ledger.publish(5, "JPY")
    ledger.follow("database-restored.md", BACKUP=str(backup))
    ledger.all_is_there()


@pytest.mark.fault(
    "the whole ledger put back from a copy, then the general ledger from a dump",
    "all is there again; a general ledger with rows is not written over",
)
def test_backup(ledger, tmp_path):
    ledger.follow("../backup.md", BACKUP=str(tmp_path))
    ledger.all_is_there()


@pytest.mark.fault(
    "the pages of docs/getting-started.md followed, from a file to the general ledger and back",
    "every command prints what the page says",
)
def test_getting_started(ledger, tmp_path):
    follow("../getting-started.md", ledger.environment, [], within=tmp_path)
    # Two salaries, a bonus, and what takes that back.
    ledger.count += 4
    ledger.all_is_there()


@pytest.mark.fault(
    "an upgrade, to the same release",
    "what is to be done before and after finds nothing wrong",
)
def test_upgrading(ledger, tmp_path):
    ledger.follow("../upgrading.md", BACKUP=str(tmp_path))
    ledger.entry.times += 1


@long
@pytest.mark.fault(
    "a worker's tables removed, then its stripes' changelog not to be trusted either",
    "`rebuild tables`: they are made again",
)
def test_tables_lost(ledger):
    ledger.publish()
    ledger.follow("tables-lost.md")
    ledger.all_is_there()


@long
@pytest.mark.fault(
    "the database's files replaced by an old copy while workers run, its sums wrong in one place",
    "it catches up by itself, and what is posted anew is compared again: a break; `rebuild ledger`",
)
def test_database_folder_restored(ledger):
    world = ledger.world
    folder, copy, lost = (world.data_dir / name for name in ("postgres", "copy", "lost"))
    assert (
        ledger.sql(
            "UPDATE stripes SET debits = debits + 1 WHERE account = 'assets:cash' AND currency = 'CAD'"
        )
        == 2
    )
    world.down()
    subprocess.run(["cp", "-a", folder, copy], check=True)
    world.up(1)
    assert (
        ledger.sql(
            "UPDATE stripes SET debits = debits - 1 WHERE account = 'assets:cash' AND currency = 'CAD'"
        )
        == 2
    )
    ledger.publish()
    for pid in world.backends():
        kill(pid)
    folder.rename(lost)
    copy.rename(folder)
    world.up()
    until(
        lambda: ledger.sql("SELECT count(*) FROM transactions") == [(ledger.count,)],
        "it posted",
    )

    def breaks():
        return json.loads(world.finish(world.start("reconcile", "--json"), code=None))["breaks"]

    until(lambda: any(each["kind"] == "open" for each in breaks()), "a break")
    assert {each["account"] for each in breaks()} == {"assets:cash"}
    with ThreadPoolExecutor(1) as pool:
        flow = pool.submit(lambda: [ledger.publish(50, "CAD", "--strict") for _ in range(8)])
        world.run("rebuild", "ledger", "--into", "made_anew", "--switch", "--accept-differences")
        flow.result()
    ledger.publish()
    ledger.all_is_there()


@long
@pytest.mark.fault(
    "the decision log deleted and made anew",
    "an alarm for each shard, nothing is decided; with the brokers' disks put back all goes on",
)
def test_topic_lost(ledger):
    world = ledger.world
    world.down()
    backup = world.data_dir / "kafka-backup"
    subprocess.run(["cp", "-a", "--sparse=always", world.data_dir / "kafka", backup], check=True)
    world.up(1)
    said = len(world.log("worker-1"))
    ledger.kafka(lambda admin: admin.delete_topics(["ledger.decisions"]))
    # It makes the topic anew. Whether it fails depends on whether the worker has noticed by then.
    world.start("up").communicate(timeout=PATIENCE)
    until(lambda: "docs/runbooks/topic-lost.md" in world.log("worker-1")[said:], "the alarm")
    ledger.follow("topic-lost.md", BACKUP=str(backup))
    shutil.rmtree(backup)
    ledger.publish()
    ledger.all_is_there()


@long
@pytest.mark.fault(
    "the reference data deleted, and a copy of them written back",
    "nothing is decided meanwhile; an older copy is refused; with the right one workers go on, no finding",
)
def test_reference_lost(ledger):
    world = ledger.world
    old, copy = world.data_dir / "old.jsonl", world.data_dir / "copy.jsonl"
    world.run("reference", "save", old)
    asset = world.data_dir / "assets.jsonl"
    asset.write_text('{"code": "KEPT.COIN", "scale": 4}\n')
    world.run("assets", "import", asset)
    rows = ledger.publish(40, "KEPT.COIN")
    world.run("reference", "save", copy)
    good = copy.read_bytes()
    said = len(world.log("worker-1"))
    ledger.kafka(lambda admin: admin.delete_topics(["ledger.reference"]))
    until(lambda: "ledger.reference" in world.log("worker-1")[said:], "the alarm")
    until(lambda: "has no topic" in failed(world, "policy", "show"), "it is gone")
    world.run("topics", "create")
    assert "shard" in failed(world, "reference", "restore", old)
    assert "nothing to copy" in failed(world, "reference", "save", copy)
    assert copy.read_bytes() == good
    ledger.kafka(lambda admin: admin.delete_topics(["ledger.reference"]))
    until(lambda: "has no topic" in failed(world, "policy", "show"), "it is gone")
    printed = ledger.follow("reference-lost.md", COPY=str(copy))
    assert "2 shards were decided with exactly these" in printed[0]
    assert copy.read_bytes() == good
    # What was decided before is known, and what comes is decided with what was restored.
    ledger.publish_rows(rows[:3], "--wait")
    ledger.publish(5, "KEPT.COIN")
    ledger.all_is_there()


def failed(world, *words):
    """What a command says that ends with a fault."""
    child = world.start(*words)
    _, err = child.communicate(timeout=PATIENCE)
    return err if child.returncode == 3 else ""


@pytest.mark.fault(
    "topic settings drifted: retention and the clock of topics altered on a running ledger",
    "status alarms within seconds, doctor names each; mended, the alarm goes",
)
def test_topic_settings(ledger):
    world = ledger.world
    ledger.alter(
        {
            "ledger.decisions": {"retention.ms": "604800000"},
            "ledger.transactions": {"message.timestamp.type": "CreateTime"},
        }
    )
    since = time.monotonic()
    until(lambda: "retention.ms is 604800000" in world.alarms("worker-1"), "the alarm")
    ledger.entry.notes.append(("the alarm", time.monotonic() - since))
    status = world.status()
    assert not status["ok"]
    assert "message.timestamp.type is CreateTime" in status["parts"]["worker-1"]["trouble"]
    amiss = world.diagnosis()
    assert {each.split(": ")[1].split()[0] for each in amiss["topic settings"]} == {
        "retention.ms", "message.timestamp.type",
    }  # fmt: skip
    agents = world.agents()
    ledger.follow("topic-settings.md")
    assert world.alarms("worker-1") == ""
    assert "topic settings" not in world.diagnosis()
    assert world.agents() == agents, "an application ended, and need not have"
    ledger.publish()
    ledger.all_is_there()


@pytest.mark.fault(
    "a broker's clock 31 days ahead for one record",
    "its shard waits, the others go on; once the record's time is limited it is decided",
)
def test_clock_ahead(ledger):
    """The broker would stamp it so; here the producer may, for as long as it takes to write it."""
    world = ledger.world
    taken, after = "message.timestamp.type", "message.timestamp.after.max.ms"
    ledger.alter({"ledger.transactions": {taken: "CreateTime", after: str(2**53)}})
    ahead = time.time_ns() // 1_000_000 + 31 * 24 * 3_600_000
    shard = ledger.append_at(ahead)
    ledger.alter({"ledger.transactions": {taken: "LogAppendTime", after: "3600000"}})
    since = time.monotonic()
    until(lambda: "docs/runbooks/clock-ahead.md" in world.log("worker-1"), "the alarm")
    ledger.entry.notes.append(("the alarm", time.monotonic() - since))
    ledger.publish(8, "CAD", "--strict")
    ledger.follow("clock-ahead.md", SHARD=str(shard))
    assert ledger.sql("SELECT max(recorded_at) < now() FROM transactions") == [(True,)]
    ledger.all_is_there()


@pytest.mark.fault(
    "a decision with other decimals than the database has",
    "its shard posts no more and says so, the others go on; once it is void posting goes on",
)
def test_not_postable(ledger):
    """Somebody put a currency into the database before it was registered."""
    world = ledger.world
    ledger.sql("INSERT INTO currencies VALUES ('ODD', 2)")
    asset = world.data_dir / "odd.jsonl"
    asset.write_text(json.dumps({"code": "ODD", "scale": 6}) + "\n")
    world.run("assets", "import", asset)
    ledger.publish_rows([row("odd-1", "ODD", 1)], "--strict")
    since = time.monotonic()
    until(lambda: "docs/runbooks/not-postable.md" in world.log("worker-1"), "the alarm")
    ledger.entry.notes.append(("the alarm", time.monotonic() - since))
    (waiting,) = json.loads(world.run("void", "list", "--json", code=1))["waiting"]
    place = {"SHARD": str(waiting["shard"]), "OFFSET": str(waiting["offset"])}
    ledger.follow("not-postable.md", **place)
    assert ledger.sql("SELECT count(*) FROM entries WHERE currency = 'ODD'") == [(0,)]
    assert ledger.sql("SELECT sum(entries), sum(debits) FROM stripes WHERE currency = 'ODD'") == [
        (0, 0)
    ]
    ledger.publish()
    ledger.all_is_there()


@pytest.mark.fault(
    "the database restored from a backup older than the log",
    "an alarm for the shard, the others go on; a newer backup, and it goes on too",
)
def test_log_cut(ledger):
    world = ledger.world
    old = ledger.dump("too-old.dump")
    ledger.publish()
    newer = ledger.dump("newer.dump")
    ledger.publish()
    topic = TopicPartition("ledger.decisions", 0)
    (posted,) = ledger.sql("SELECT decisions_offset FROM shards WHERE shard = 0")[0]
    other = ledger.sql("SELECT decisions_offset FROM shards WHERE shard = 1")
    ledger.delete_records({topic: posted - 1})
    said = len(world.log("worker-1"))
    ledger.restore(old)
    until(lambda: "docs/runbooks/log-cut.md" in world.log("worker-1")[said:], "the alarm")
    wanted = ledger.sql("SELECT decisions_offset FROM shards WHERE shard = 0")[0][0]
    assert (
        f"ledger.decisions[0] holds offsets from {posted - 1} on, but {wanted} is needed next"
        in (world.log("worker-1")[said:])
    )
    # The other shard has caught up.
    head = "SELECT decisions_offset FROM shards WHERE shard = 1"
    until(lambda: ledger.sql(head) == other, "the other shard")
    ledger.follow("log-cut.md", NEWER_BACKUP=str(newer))
    assert ledger.sql("SELECT count(*) FROM transactions") == [(ledger.count,)]
    ledger.entry.times += 1


@long
@pytest.mark.fault(
    "a partition added to the transactions' topic of a running ledger",
    "an alarm within seconds, shards go on, `publish` refuses; what is beyond, or was sent to other "
    "shards, is moved and decided",
)
def test_partition_added(ledger):
    """Last: it stays added."""
    world, topic = ledger.world, "ledger.transactions"
    agents = world.agents()
    ledger.kafka(lambda admin: admin.create_partitions({topic: NewPartitions(3)}))
    since = time.monotonic()
    until(lambda: "partitions is 3" in world.alarms("worker-1"), "the alarm")
    ledger.entry.notes.append(("the alarm", time.monotonic() - since))
    names = [f"astray-{number}" for number in range(12)]
    send_by_default(ledger, topic, names)
    beyond = [name for name in names if partition_of(name.encode(), 3) == 2]
    elsewhere = [
        name for name in names
        if name not in beyond and partition_of(name.encode(), 3) != partition_of(name.encode(), 2)
    ]  # fmt: skip
    assert beyond
    assert elsewhere
    words = f"with {len(beyond)} records beyond"
    until(lambda: words in world.alarms("worker-1"), "what is beyond is told of")
    assert any(words in each for each in world.diagnosis()["topic settings"])
    # Nothing hangs, and nothing is sent.
    since = time.monotonic()
    ledger.publish_rows([row("refused-here")], code=3)
    assert time.monotonic() - since < 20
    until(lambda: ledger.refused("WRONG_PARTITION") == sorted(elsewhere), "refusals")
    # The group has seen the new partition by then, and shares out the ledger's own.
    until(lambda: metadata_is_older(since), "the group's look at the topic")
    assert world.agents() == agents
    config = world.data_dir / "faust-ledger.toml"
    config.write_text("")
    named = {"CONFIG": str(config), "FAUST_LEDGER_CONFIG": str(config)}
    world.environment["FAUST_LEDGER_CONFIG"] = str(config)
    ledger.follow("partition-added.md", **named)
    ledger.count += len(names)
    count = "SELECT count(*), count(DISTINCT transaction_id) FROM transactions"
    until(lambda: ledger.sql(count) == [(ledger.count,) * 2], "all that went astray posted")
    assert world.status()["ok"]
    ledger.entry.times += 1


METADATA_SECONDS = 35.0
"""More than a worker's metadata lasts: by then its group has been shared out anew."""


def metadata_is_older(since):
    return time.monotonic() - since > METADATA_SECONDS


def send_by_default(ledger, topic, names):
    """As a producer in any language does that leaves the partition to its library."""
    codec = Codec(known_ids(ledger.world.settings))

    async def send():
        given = connection.kafka(ledger.world.settings)
        async with AIOKafkaProducer(**given, acks="all") as producer:
            for name in names:
                draft = lines.read(json.dumps(row(name)).encode(), created_at=None)
                sent = await producer.send_and_wait(
                    topic, codec.encode("Transaction", draft), key=name.encode()
                )
                assert sent.partition == partition_of(name.encode(), 3)

    asyncio.run(send())

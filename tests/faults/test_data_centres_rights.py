"""Data centres in which somebody granted more than the ledger's rules: `doctor` and `up`."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest

from ledger.settings import Settings
from ledger.stack import export, files, identity, postgres
from ledger.streaming import access, connection, users
from ledger.streaming.access import EVERYBODY, AccessRule, Operation, Pattern, Resource
from ledger.streaming.topic_look import TopicAdmin
from tests.faults.conftest import Ledger
from tests.faults.test_connections import line_of
from tests.faults.world import World
from tests.waiting import PATIENCE

pytestmark = pytest.mark.faults
pytest_plugins = ["tests.faults.centres"]

GRANTED = (
    "GRANT ledger_owner TO ledger_finance",
    "GRANT pg_read_all_data TO ledger_service",
    "ALTER ROLE ledger_finance CREATEROLE",
    "GRANT SET ON PARAMETER session_replication_role TO ledger_service",
    "GRANT UPDATE (amount) ON entries TO ledger_finance",
    "GRANT CREATE ON SCHEMA public TO PUBLIC",
)
ALLOWED = (
    AccessRule("producer", Operation.READ, Resource.TOPIC, "ledger.transactions", host="127.0.0.1"),
    AccessRule("backend", Operation.READ, Resource.TOPIC, "led", Pattern.PREFIXED),
    AccessRule("finance", 7, Resource.CLUSTER, "kafka-cluster"),
    AccessRule(EVERYBODY, Operation.WRITE, Resource.TOPIC, "ledger.reference"),
    AccessRule(EVERYBODY, Operation.READ, Resource.TOPIC, "ledger.", Pattern.PREFIXED),
)
FURTHER = AccessRule(EVERYBODY, Operation.READ, Resource.TOPIC, "*")


async def allow(settings: Settings, rules: tuple[AccessRule, ...]) -> None:
    """As whoever looks after the cluster."""
    client = AIOKafkaClient(**connection.kafka(settings))
    await client.bootstrap()
    try:
        for rule in rules:
            request = CreateAclsRequest(*access._fields(rule))
            await access._send(client, request, "creation_responses")
    finally:
        await client.close()


def named(world: World) -> list[str]:
    """What `doctor` says of rights that are not well."""
    found = json.loads(world.finish(world.start("doctor", "--json"), code=None))["findings"]
    assert any(each["name"] == "rights" for each in found)
    return [each["detail"] for each in found if each["name"] == "rights" and not each["well"]]


def with_folder(world: World, folder: Path) -> World:
    """Commands of whoever was handed that folder, somewhere else."""
    elsewhere = {
        "FAUST_LEDGER_DATA_DIR": str(folder / "nowhere"),
        "FAUST_LEDGER_CONFIG": str(folder / "faust-ledger.toml"),
    }
    return replace(world, environment=world.environment | elsewhere)


NO_DATABASE = "This role has no database"
ASKED = {
    "admin": (("psql", "--", "-Atc", "SELECT current_user"), 0, "ledger_owner"),
    "finance": (("psql", "--", "-Atc", "SELECT current_user"), 0, "ledger_finance"),
    "service": (("void", "list", "--json"), 0, ""),
    "producer": (("verify",), 3, NO_DATABASE),
    "backend": (("reconcile",), 3, NO_DATABASE),
    "api": (("psql", "--", "-Atc", "SELECT current_user"), 0, "ledger_finance"),
}
"""What each role asks, how that ends, and what it is told."""


@pytest.mark.fault(
    "each role with the folder that it was handed, moved elsewhere",
    "it connects as itself; one without a database is told so at once",
)
def test_each_role_with_its_folder(centres: Ledger, tmp_path: Path) -> None:
    world = centres.world
    assert set(ASKED) == set(export.ROLES)
    for role, (words, code, told) in ASKED.items():
        world.run("clients", "export", role, "--to", tmp_path / "made")
        folder = (tmp_path / "made").rename(tmp_path / f"for {role}")
        child = with_folder(world, folder).start(*words)
        out, err = child.communicate(timeout=PATIENCE)
        assert child.returncode == code, (role, out, err)
        assert told in out + err
    line, made = tmp_path / "one.jsonl", centres.flow.transaction()
    line.write_text(line_of(made) + "\n")
    with_folder(world, tmp_path / "for producer").run("publish", line, "--json")
    name = made["transaction_id"]
    seen = centres.watch.until(
        lambda seen: seen if name in seen.accepted else None, "what the producer published"
    )
    centres.flow.published |= {name: seen.accepted[name][0]}
    refused = with_folder(world, tmp_path / "for backend").start("worker")
    assert NO_DATABASE in refused.communicate(timeout=PATIENCE)[1]
    centres.entry.times += 1


@pytest.mark.fault(
    "a user of Kafka that came after the stack was made",
    "it is added once, with its password, and may do what its rules say: nothing",
)
def test_a_user_is_added_to_a_cluster(centres: Ledger, tmp_path: Path) -> None:
    settings = centres.world.settings
    word = tmp_path / "word"
    word.write_text("of the later one\n")
    later = {"later": "of the later one", "admin": "not replaced"}

    async def scenario() -> None:
        assert await users.add_missing(settings, later) == ["later"]
        assert await users.add_missing(settings, later) == []
        found = settings.model_copy(update={"kafka_user": "later", "kafka_password_file": word})
        async with TopicAdmin(found) as broker:
            _, hidden = await broker.partitions(["ledger.balances"])
        assert hidden == ["ledger.balances"]

    asyncio.run(scenario())
    centres.entry.times += 1


@pytest.mark.fault(
    "more granted than the rules have, in Kafka and in the database",
    "`doctor` names each, `up` takes it back; what may be meant for others it names alone",
)
def test_doctor_names_it_and_up_takes_it_back(centres: Ledger) -> None:
    """Last of those on the data centres: a rule for everybody stays."""
    world = centres.world
    assert named(world) == []
    settings, place = world.settings, files.layout(world.data_dir)
    me = identity.load_identity(place)
    assert me is not None
    with postgres.connect(place, me, postgres.DATABASE) as superuser:
        for statement in GRANTED:
            superuser.execute(statement)
    asyncio.run(allow(settings, (*ALLOWED, FURTHER)))
    assert len(asyncio.run(access.excess_rules(settings))) == len(ALLOWED) + 1
    said = named(world)
    assert len(said) == len(GRANTED) + len(ALLOWED) + 1, said

    _, err = (up := world.start("up", "--json")).communicate(timeout=PATIENCE)
    assert up.returncode == 0, err
    assert "ledger_finance is a member of ledger_owner: taken back" in err
    # That one may be meant for others: it is named, and how to take it back.
    assert access.described(FURTHER) in err
    assert asyncio.run(access.excess_rules(settings)) == [FURTHER]
    assert named(world) == [access.described(FURTHER)]
    centres.entry.times += 1

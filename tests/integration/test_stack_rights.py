"""A secure stack in which somebody granted more than the ledger's rules: `doctor` and `up`."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import CreateAclsRequest

from ledger.settings import Settings, load
from ledger.stack import files, identity, postgres
from ledger.streaming import access, connection
from ledger.streaming.access import EVERYBODY, AccessRule, Operation, Pattern, Resource

pytestmark = pytest.mark.stack

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


def command(data_dir: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "ledger.cli.main", *words, "--data-dir", str(data_dir), "--json"],
        env={**os.environ}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Of a secure stack without workers."""
    with TemporaryDirectory(prefix="fl-") as made:
        place = Path(made)
        done = command(place, "up", "--secure")
        try:
            assert done.returncode == 0, done.stderr
            yield place
        finally:
            command(place, "down")


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


def named(data_dir: Path) -> list[str]:
    """What `doctor` says of rights that are not well."""
    found = json.loads(command(data_dir, "doctor").stdout)["findings"]
    assert any(each["name"] == "rights" for each in found)
    return [each["detail"] for each in found if each["name"] == "rights" and not each["well"]]


def test_doctor_names_it_and_up_takes_it_back(data_dir: Path) -> None:
    assert named(data_dir) == []
    settings, place = load(data_dir), files.layout(data_dir)
    me = identity.load(place)
    assert me is not None
    with postgres.connect(place, me, postgres.DATABASE) as superuser:
        for statement in GRANTED:
            superuser.execute(statement)
    asyncio.run(allow(settings, (*ALLOWED, FURTHER)))
    assert len(asyncio.run(access.excess_rules(settings))) == len(ALLOWED) + 1
    said = named(data_dir)
    assert len(said) == len(GRANTED) + len(ALLOWED) + 1, said

    done = command(data_dir, "up")
    assert done.returncode == 0, done.stderr
    assert "ledger_finance is a member of ledger_owner: taken back" in done.stderr
    # That one may be meant for others: it is named, and how to take it back.
    assert access.described(FURTHER) in done.stderr
    assert asyncio.run(access.excess_rules(settings)) == [FURTHER]
    assert named(data_dir) == [access.described(FURTHER)]

"""The topics as the broker has them, against what they must be; and how they are created."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming import topics
from tests.conftest import Stack
from tests.waiting import PATIENCE, until

MIB = 1024 * 1024
KEPT = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.2"}
PRODUCERS_TIME = {"message.timestamp.type": "CreateTime", "compression.type": "producer"}

# What holds, said again: partitions by what they are, size of a batch in MiB, configuration.
TOPICS: dict[str, tuple[str, int, dict[str, str]]] = {
    # The record of what happened, by the broker's clock and unpacked by it, kept for ever.
    "transactions": ("shards", 1, KEPT | {
        "message.timestamp.type": "LogAppendTime", "compression.type": "uncompressed"}),
    "decisions": ("shards", 16, KEPT | PRODUCERS_TIME),
    "posted": ("shards", 32, KEPT | PRODUCERS_TIME),
    "rejects": ("shards", 16, KEPT | PRODUCERS_TIME),
    "breaks": ("shards", 16, KEPT | PRODUCERS_TIME),
    # The newest of each key is enough.
    "progress": ("shards", 1, COMPACTED | PRODUCERS_TIME),
    "coverage": ("accounts", 1, COMPACTED | PRODUCERS_TIME),
    "stripes-changelog": ("shards", 16, COMPACTED | PRODUCERS_TIME),
    "stripes": ("accounts", 16, COMPACTED | PRODUCERS_TIME),
    "balances": ("accounts", 16, COMPACTED | PRODUCERS_TIME),
    # Every worker reads it, so it is unpacked by the broker too; decisions rest on all of it.
    "reference": ("one", 1, KEPT | PRODUCERS_TIME | {"compression.type": "uncompressed"}),
    # Who may use the API: the newest record of each bearer token.
    "access": ("one", 1, COMPACTED | PRODUCERS_TIME),
    # What was changed through it, by the broker's clock, for ever.
    "audit-log": ("one", 16, KEPT | PRODUCERS_TIME | {"message.timestamp.type": "LogAppendTime"}),
    # Statements from outside, as they were imported, for ever.
    "statements": ("one", 16, KEPT | {
        "message.timestamp.type": "LogAppendTime", "compression.type": "uncompressed"}),
}  # fmt: skip


async def described(servers: str, prefix: str) -> dict[str, tuple[int, int, dict[str, str]]]:
    """Of each topic under the prefix: partitions, copies of each, the whole configuration."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        there = {
            topic["topic"]: topic["partitions"]
            for topic in await admin.describe_topics()
            if topic["topic"].startswith(f"{prefix}.")
        }
        asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
        configs: dict[str, dict[str, str]] = {}
        for response in await admin.describe_configs(asked):
            for resource in response.resources:
                configs[resource[3]] = {entry[0]: entry[1] for entry in resource[4]}
    finally:
        await admin.close()
    return {
        name.removeprefix(f"{prefix}."): (
            len(partitions), len(partitions[0]["replicas"]), configs[name]
        )
        for name, partitions in there.items()
    }  # fmt: skip


def found(settings: Settings) -> dict[str, tuple[int, int, dict[str, str]]]:
    return asyncio.run(described(settings.bootstrap_servers, settings.prefix))


def visible(settings: Settings) -> Any:
    """The same, once the broker shows all that the controller has made."""
    return until(
        lambda: made if len(made := found(settings)) == len(TOPICS) else None, "all topics seen"
    )


def create(settings: Settings) -> list[str]:
    return asyncio.run(topics.bring_about(settings)).created


@pytest.fixture(scope="module")
def there(stack: Stack) -> dict[str, tuple[int, int, dict[str, str]]]:
    return found(stack.settings)


@pytest.fixture
def elsewhere(stack: Stack, new_id: Callable[..., str]) -> Iterator[Settings]:
    """A ledger that is not there yet, on the same broker; its topics are deleted at the end."""
    settings = stack.settings.model_copy(
        update={"prefix": new_id("elsewhere"), "shards": 2, "balance_partitions": 3}
    )
    yield settings

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
        await admin.start()
        names = [topic for topic in await admin.list_topics() if topic.startswith(settings.prefix)]
        await admin.delete_topics(names)
        await admin.close()

    asyncio.run(delete())


def test_there_are_these_and_no_others(there: dict[str, Any]) -> None:
    assert set(there) == set(TOPICS)


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_is_as_it_must_be(stack: Stack, there: dict[str, Any], name: str) -> None:
    by, mebibytes, wanted = TOPICS[name]
    counts = {
        "shards": stack.settings.shards, "accounts": stack.settings.balance_partitions, "one": 1,
    }  # fmt: skip
    partitions, copies, config = there[name]
    assert (partitions, copies) == (counts[by], stack.settings.replication_factor)
    wanted = wanted | {"max.message.bytes": str(mebibytes * MIB)}
    assert {key: config[key] for key in wanted} == wanted


def test_the_broker_says_when_a_transaction_was_recorded(elsewhere: Settings) -> None:
    """Whatever the producer's clock says."""
    create(elsewhere)
    visible(elsewhere)
    topic = f"{elsewhere.prefix}.transactions"

    async def scenario() -> Any:
        servers = elsewhere.bootstrap_servers
        async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
            sent = await producer.send_and_wait(topic, b"v", partition=1, timestamp_ms=1_000)
        async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
            consumer.assign([TopicPartition(topic, 1)])
            consumer.seek(TopicPartition(topic, 1), sent.offset)
            return await asyncio.wait_for(consumer.getone(), PATIENCE)

    record = asyncio.run(scenario())
    assert record.timestamp_type == 1
    assert abs(record.timestamp / 1000 - time.time()) < 60


def test_creating_again_is_harmless(stack: Stack, there: dict[str, Any]) -> None:
    assert create(stack.settings) == []
    assert found(stack.settings) == there


def test_only_what_is_missing_is_created(elsewhere: Settings) -> None:
    assert sorted(create(elsewhere)) == sorted(f"{elsewhere.prefix}.{name}" for name in TOPICS)
    made = visible(elsewhere)
    assert {name: count for name, (count, _, _) in made.items()} == {
        name: {"shards": 2, "accounts": 3, "one": 1}[by] for name, (by, _, _) in TOPICS.items()
    }
    assert create(elsewhere) == []


@pytest.mark.parametrize(
    ("change", "topic"), [("shards", "transactions"), ("balance_partitions", "stripes")]
)
def test_another_number_of_partitions_is_refused(
    stack: Stack, there: dict[str, Any], change: str, topic: str
) -> None:
    """Ids would meet their first attempts in another shard, and balances their accounts."""
    before = getattr(stack.settings, change)
    other = stack.settings.model_copy(update={change: before + 1})
    said = rf"{topic} has {before} partitions and the settings say {before + 1}.*start a new ledger"
    with pytest.raises(LedgerError, match=said):
        create(other)
    assert found(stack.settings) == there


def test_a_broker_that_is_away_is_said_to_be(stack: Stack) -> None:
    away = stack.settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(LedgerError, match=r"127\.0\.0\.1:1"):
        create(away)

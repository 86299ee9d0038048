"""The topics: partitions, retention, time stamps and size limits, and how they are created."""

import asyncio
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection

MIB = 1024 * 1024
FOREVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
COMPACT = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.2"}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be; `schema` names its value's record in `schemas/`."""

    name: str
    partitions: int
    schema: str | None
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Topics:
    """Every topic of a ledger, by what it is for."""

    transactions: Topic
    decisions: Topic
    posted: Topic
    stripes: Topic
    stripes_changelog: Topic
    balances: Topic
    breaks: Topic
    rejects: Topic
    progress: Topic
    reference: Topic

    def all(self) -> list[Topic]:
        """In the order of the flow."""
        return [getattr(self, name) for name in self.__slots__]


def topics(settings: Settings) -> Topics:
    """The topics of the ledger that `settings` describes.

    The record of what happened (transactions, decisions) is kept for ever; what can be derived
    from it is compacted, or kept as long as somebody may want to look.
    """
    shards, accounts = settings.shards, settings.balance_partitions

    def topic(
        name: str, partitions: int, schema: str | None, size: int, config: dict[str, str]
    ) -> Topic:
        limits = {"max.message.bytes": str(size)}
        return Topic(f"{settings.prefix}.{name}", partitions, schema, config | limits)

    # The broker's clock, so that recorded_at is the same on every replay. The broker unpacks what
    # producers compress: the size limit then holds for what a worker has to hold in memory, where
    # a compressed batch of a mebibyte could be gigabytes (measured: 30 MB of zeros pass as zstd).
    unpacked = {"compression.type": "uncompressed"}
    taken = FOREVER | unpacked | {"message.timestamp.type": "LogAppendTime"}
    return Topics(
        transactions=topic("transactions", shards, "Transaction", MIB, taken),
        decisions=topic("decisions", shards, "Decision", 16 * MIB, FOREVER),
        posted=topic("posted", shards, "Posted", 32 * MIB, FOREVER),
        stripes=topic("stripes", accounts, "Stripe", 16 * MIB, COMPACT),
        stripes_changelog=topic("stripes-changelog", shards, None, 16 * MIB, COMPACT),
        balances=topic("balances", accounts, "Balance", 16 * MIB, COMPACT),
        breaks=topic("breaks", shards, "Break", 16 * MIB, FOREVER),
        rejects=topic("rejects", shards, "Reject", 16 * MIB, FOREVER),
        progress=topic("progress", shards, "Progress", MIB, COMPACT),
        # Part of the record: decisions name a position in it and a digest of what is before that,
        # and the first record of an asset decides its decimals for ever.
        reference=topic("reference", 1, "Reference", MIB, FOREVER | unpacked),
    )


async def create(settings: Settings) -> list[str]:
    """Create the topics that are missing; returns their names.

    Raises LedgerError when one exists with another number of partitions: a ledger's shards are
    fixed when it is created. Raises Unavailable when Kafka does not answer.
    """
    admin = AIOKafkaAdminClient(**connection.kafka(settings))
    try:
        await admin.start()
        wanted = topics(settings).all()
        there = {topic["topic"]: topic for topic in await admin.describe_topics()}
        for topic in wanted:
            if topic.name in there:
                _check_partitions(topic, len(there[topic.name]["partitions"]))
        missing = [topic for topic in wanted if topic.name not in there]
        if missing:
            await _create(admin, missing, settings.replication_factor)
        return [topic.name for topic in missing]
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka at {settings.bootstrap_servers}: {error}") from error
    finally:
        await admin.close()


def _check_partitions(topic: Topic, partitions: int) -> None:
    if partitions != topic.partitions:
        raise LedgerError(
            f"{topic.name} has {partitions} partitions and the settings say {topic.partitions}. "
            "The number is fixed when a ledger is created: set it back, or start a new ledger."
        )


async def _create(admin: AIOKafkaAdminClient, missing: list[Topic], replication: int) -> None:
    response = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, replication, topic_configs=topic.config)
            for topic in missing
        ]
    )
    for name, code, message in (tuple(error)[:3] for error in response.topic_errors):
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise LedgerError(f"Topic {name} could not be created: {error.__name__}: {message}")


def create_all(settings: Settings) -> list[str]:
    """`create`, for callers without an event loop."""
    return asyncio.run(create(settings))

"""The topics: partitions, retention, time stamps and size limits; made, mended, compared."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.log import Log
from ledger.streaming.topic_look import TopicAdmin, TopicsFound
from ledger.streaming.topic_rules import (
    MISSING,
    PAGE,
    PARTITIONS,
    TopicDifference,
    differences,
    rules,
    told,
)

VISIBLE_SECONDS = 30.0
"""A topic that was made shows at every broker well within this."""
POLL_SECONDS = 0.2
MIB = 1024 * 1024
FOREVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
COMPACT = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.2"}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it must be; `schema` names its value's record in `schemas/`.

    `foreign`: others than the workers write to it.
    """

    name: str
    partitions: int
    schema: str | None
    config: dict[str, str] = field(default_factory=dict)
    foreign: bool = False


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
    coverage: Topic
    reference: Topic
    access: Topic
    audit_log: Topic
    statements: Topic

    def all(self) -> list[Topic]:
        """In the order of the flow."""
        return [getattr(self, name) for name in self.__slots__]


def topics(settings: Settings) -> Topics:
    """The topics of the ledger that `settings` describes.

    The record of what happened (transactions, decisions, the reference data that they were decided
    with) is kept for ever; what can be derived from it is compacted, or kept as long as somebody
    may want to look.
    """
    shards, accounts = settings.shards, settings.balance_partitions

    def topic(
        name: str, partitions: int, schema: str | None, size: int, config: dict[str, str],
        *, foreign: bool = False,
    ) -> Topic:  # fmt: skip
        limits = {"max.message.bytes": str(size)}
        full = f"{settings.prefix}.{name}"
        return Topic(full, partitions, schema, config | limits, foreign)

    # The broker's clock, so that recorded_at is the same on every replay. The broker unpacks what
    # producers compress: the size limit then holds for what a worker has to hold in memory, where
    # a compressed batch of a mebibyte could be gigabytes.
    unpacked = {"compression.type": "uncompressed"}
    brokers_time = {"message.timestamp.type": "LogAppendTime"}
    taken = FOREVER | unpacked | brokers_time
    return Topics(
        transactions=topic("transactions", shards, "Transaction", MIB, taken, foreign=True),
        decisions=topic("decisions", shards, "Decision", 16 * MIB, FOREVER),
        posted=topic("posted", shards, "Posted", 32 * MIB, FOREVER),
        stripes=topic("stripes", accounts, "Stripe", 16 * MIB, COMPACT),
        stripes_changelog=topic("stripes-changelog", shards, None, 16 * MIB, COMPACT),
        balances=topic("balances", accounts, "Balance", 16 * MIB, COMPACT),
        breaks=topic("breaks", shards, "Break", 16 * MIB, FOREVER),
        rejects=topic("rejects", shards, "Reject", 16 * MIB, FOREVER),
        progress=topic("progress", shards, "Progress", MIB, COMPACT),
        coverage=topic("coverage", accounts, "Coverage", MIB, COMPACT),
        # Part of the record: decisions name a position in it and a digest of what is before that,
        # and the first record of an asset decides its decimals for ever.
        reference=topic("reference", 1, "Reference", MIB, FOREVER | unpacked, foreign=True),
        access=topic("access", 1, "BearerToken", MIB, COMPACT),
        # The broker's clock: who writes cannot date a record back.
        audit_log=topic("audit-log", 1, "AuditRecord", 16 * MIB, FOREVER | brokers_time),
        # Evidence: a statement that was superseded stays. By the broker's clock, and unpacked by
        # the broker, as is what others than workers write.
        statements=topic(
            "statements", 1, "Statement", 16 * MIB, FOREVER | unpacked | brokers_time, foreign=True
        ),
    )


@dataclass(frozen=True, slots=True)
class Changes:
    """What was done to the topics: names of those created, and the settings that were mended."""

    created: list[str]
    mended: list[TopicDifference]


async def bring_about(settings: Settings) -> Changes:
    """Create the topics that are missing and mend settings; returns once both can be seen.

    Raises LedgerError for another number of partitions, with nothing changed (a ledger's shards are
    fixed when it is created), and, after the rest is mended, for too few copies. Raises Unavailable
    when Kafka does not answer.
    """
    created: list[str] = []
    mended: dict[tuple[str, str], TopicDifference] = {}
    until = time.monotonic() + VISIBLE_SECONDS
    async with TopicAdmin(settings) as broker:
        # Again until it shows: one that was just deleted is still seen for a moment, and what was
        # just made or set is not seen yet.
        while wrong := await _differing_still(settings, broker):
            missing = [each.topic for each in wrong if each.setting == MISSING]
            mendable = [each for each in wrong if each.mend is not None]
            if not missing and not mendable:
                raise LedgerError(told(wrong))
            if time.monotonic() > until:
                raise LedgerError(f"Set, and not seen in {VISIBLE_SECONDS:.0f} s: {told(wrong)}")
            await _create(settings, missing)
            created += [name for name in missing if name not in created]
            await broker.alter(_changes(mendable))
            mended = {(each.topic, each.setting): each for each in mendable} | mended
            await asyncio.sleep(POLL_SECONDS)
    return Changes(created, list(mended.values()))


async def _differing_still(settings: Settings, broker: TopicAdmin) -> list[TopicDifference]:
    """All but partitions, whose number must be right."""
    seen = await broker.look(topics(settings).all())
    if seen.hidden:
        raise LedgerError(
            f"User {settings.kafka_user} may not see the settings of {', '.join(seen.hidden)}, and "
            "nothing was changed. It takes a user who may describe, create and alter topics."
        )
    _require_partitions(settings, seen)
    return [each for each in differing(settings, seen) if each.setting != PARTITIONS]


def _changes(mendable: Iterable[TopicDifference]) -> dict[str, dict[str, str]]:
    changes: dict[str, dict[str, str]] = {}
    for each in mendable:
        changes.setdefault(each.topic, {})[each.setting] = str(each.mend)
    return changes


def differing(settings: Settings, seen: TopicsFound) -> list[TopicDifference]:
    """How the topics differ from what the ledger of `settings` rests on, in the order of the flow.

    Without those that this user may not describe.
    """
    return [
        found
        for topic in topics(settings).all()
        if topic.name in seen.topics or topic.name not in seen.hidden
        for found in differences(
            topic, seen.topics.get(topic.name), copies=settings.replication_factor,
            servers=settings.bootstrap_servers,
            ignore_added=settings.added_partitions == "ignore",
        )
    ]  # fmt: skip


async def look(
    settings: Settings, *, broker: TopicAdmin | None = None
) -> tuple[list[TopicDifference], list[str]]:
    """The differences, and the topics that this user may not describe, in whole or in part.

    Raises Unavailable when Kafka does not answer.
    """
    if broker is None:
        async with TopicAdmin(settings) as opened:
            return await look(settings, broker=opened)
    seen = await broker.look(topics(settings).all())
    for topic in topics(settings).all():
        has = seen.topics.get(topic.name)
        if has is not None and has.partitions > topic.partitions:
            beyond = range(topic.partitions, has.partitions)
            stray = await _records_in(settings, topic.name, beyond)
            seen.topics[topic.name] = replace(has, stray=stray)
    return differing(settings, seen), seen.hidden


async def _records_in(settings: Settings, topic: str, partitions: Iterable[int]) -> int:
    log = Log(settings)
    try:
        held = [await log.bounds(topic, each) for each in partitions]
    finally:
        await log.close()
    return sum(end - first for first, end in held)


def _require_partitions(settings: Settings, seen: TopicsFound) -> None:
    for topic in topics(settings).all():
        has = seen.topics.get(topic.name)
        if has is None or has.partitions == topic.partitions:
            continue
        if has.partitions < topic.partitions or settings.added_partitions != "ignore":
            raise LedgerError(
                f"{topic.name} has {has.partitions} partitions and the settings say "
                f"{topic.partitions}. The number is fixed when a ledger is created: set it back, "
                f"or start a new ledger. If partitions were added to the topic, see {PAGE}."
            )


async def _create(settings: Settings, names: list[str]) -> None:
    missing = [each for each in topics(settings).all() if each.name in names]
    if not missing:
        return
    copies = settings.replication_factor
    admin = AIOKafkaAdminClient(**connection.kafka(settings))
    try:
        await admin.start()
        response = await admin.create_topics(
            [
                NewTopic(topic.name, topic.partitions, copies, topic_configs=_config(topic, copies))
                for topic in missing
            ]
        )
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka at {settings.bootstrap_servers}: {error}") from error
    finally:
        await admin.close()
    for name, code, message in (tuple(each)[:3] for each in response.topic_errors):
        kind = for_code(code)
        if code and kind is not TopicAlreadyExistsError:
            raise LedgerError(f"Topic {name} could not be created: {kind.__name__}: {message}")


def _config(topic: Topic, copies: int) -> dict[str, str]:
    """All settings that matter, explicitly, whatever the broker's defaults are or become."""
    given = {
        name: rule.value
        for name, rule in rules(topic, copies).items()
        # Its default is a hundred times what is needed, and older brokers refuse what they
        # do not know.
        if name != "segment.bytes" and not rule.newer
    }
    return given | topic.config

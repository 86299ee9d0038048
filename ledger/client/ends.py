"""The ends of the log of transactions, what waits in it, and whether it is younger than a time."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.offset import OffsetRequest

from ledger.client.partitions import partition_counts
from ledger.clock import now
from ledger.domain.completeness import Asked, Completeness, Position
from ledger.domain.run import Watermark
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.topics import topics

LOOKUP_SECONDS = 10
"""Without an answer for so long, Kafka counts as unavailable."""
FIRST_RECORD_BYTES = 65_536
CLOCK_MARGIN = 1_000_000
"""Microseconds that the clocks of the brokers may be behind this machine's."""

LATEST_OFFSET = -1
FOLLOWER = 0
"""The number of any broker: a leader answers followers with the end of its log, and consumers with
the offset that all replicas have (`fetchOffset` in Kafka's ReplicaManager.scala). Both need the
right to describe the topic."""


class LogEnds(NamedTuple):
    """By shard the next offset of the log, each read after `moment`, microseconds since 1970.

    Records appended later have a later recorded_at, if clocks agree to CLOCK_MARGIN.
    """

    moment: int
    by_shard: Mapping[int, int]


class FirstWaiting(NamedTuple):
    """Whether a record waits, None if unknown; `since`: its recorded_at in microseconds."""

    waits: bool | None
    since: int | None = None


async def log_ends(settings: Settings) -> LogEnds:
    """The ends of every shard that Kafka has. Raises Unavailable."""
    async with _consumer(settings, "read_uncommitted") as consumer:
        tps = await _partitions(settings)
        moment = now() - CLOCK_MARGIN
        found = await _appended(consumer, tps)
    return LogEnds(moment, {tp.partition: end for tp, end in sorted(found.items())})


async def _appended(
    consumer: AIOKafkaConsumer, tps: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """The offsets after everything that the leaders have appended.

    That includes what a consumer cannot read yet and may read later, with its present recorded_at:
    records that followers lack, and records of an open Kafka transaction.
    """
    client = consumer._client
    # It finds the leaders, and retries until they are the leaders.
    await consumer.end_offsets(tps)
    found: dict[TopicPartition, int] = {}
    for leader in {client.cluster.leader_for_partition(tp) for tp in tps}:
        some = [tp for tp in tps if client.cluster.leader_for_partition(tp) == leader]
        wanted = [(tp.topic, [(tp.partition, LATEST_OFFSET)]) for tp in some]
        answer = await client.send(leader, OffsetRequest(FOLLOWER, 0, wanted))
        for topic, parts in answer.topics:
            for partition, code, _, end in parts:
                if code:
                    raise for_code(code)(f"{topic}[{partition}]")
                found[TopicPartition(topic, partition)] = end
    return found


async def first_waiting(
    settings: Settings, spans: Mapping[int, tuple[int, int]]
) -> dict[int, FirstWaiting]:
    """By shard, the first committed record at offsets [start, end), if there is one."""
    if not spans:
        return {}
    topic = topics(settings).transactions.name
    tps = {TopicPartition(topic, shard): span for shard, span in spans.items()}
    try:
        async with _consumer(settings, "read_committed") as consumer:
            return await _first_records(consumer, tps)
    except Unavailable:
        return dict.fromkeys(spans, FirstWaiting(None))


async def _first_records(
    consumer: AIOKafkaConsumer, tps: Mapping[TopicPartition, tuple[int, int]]
) -> dict[int, FirstWaiting]:
    firsts = await consumer.beginning_offsets(list(tps))
    stable = await consumer.end_offsets(list(tps))
    # A log that begins after the start no longer has the first record that waits.
    left = {tp for tp, (start, _) in tps.items() if firsts[tp] <= start}
    found = {tp.partition: FirstWaiting(None) for tp in tps.keys() - left}
    consumer.assign(list(left))
    for tp in left:
        consumer.seek(tp, tps[tp][0])
    while left:
        for tp, records in (await consumer.getmany(*left, timeout_ms=500)).items():
            if records[0].offset < tps[tp][1]:
                found[tp.partition] = FirstWaiting(True, records[0].timestamp * 1_000)
            else:
                found[tp.partition] = FirstWaiting(False)
            left.discard(tp)
        for tp in list(left):
            if await consumer.position(tp) >= min(stable[tp], tps[tp][1]):
                left.discard(tp)
                # There are only markers of Kafka transactions; or a transaction is still open.
                found[tp.partition] = FirstWaiting(None if stable[tp] < tps[tp][1] else False)
    return found


async def completeness_of(
    settings: Settings, asked: Asked, read: LogEnds | None, marks: Mapping[int, Watermark]
) -> Completeness:
    """The completeness of an answer that counts everything before `marks`.

    `read`: the ends of the log, read before `marks`; None if they could not be read.
    """
    shards = read.by_shard if read else range(settings.shards)
    read = read or LogEnds(now() - CLOCK_MARGIN, {})
    known = {shard: marks.get(shard, Watermark()) for shard in sorted({*shards, *marks})}
    behind = {
        shard: (mark.end, end)
        for shard, mark in known.items()
        if mark.end < (end := read.by_shard.get(shard, 0))
    }
    waits, cut = await first_waiting(settings, behind), await _cut(settings, read, known)
    positions = [
        Position(
            shard,
            mark.end,
            mark.recorded_until,
            read.by_shard.get(shard),
            *waits.get(shard, FirstWaiting(None)),
            cut=shard in cut,
        )
        for shard, mark in known.items()
    ]
    return Completeness(asked, read.moment, positions)


async def _cut(
    settings: Settings, read: LogEnds, marks: Mapping[int, Watermark]
) -> Collection[int]:
    """The shards whose log ends before what was counted, even when it is read again later."""
    beyond = {shard for shard, end in read.by_shard.items() if marks[shard].end > end}
    if not beyond:
        return ()
    try:
        later = (await log_ends(settings)).by_shard
    except LedgerError:
        return beyond
    return {shard for shard in beyond if later[shard] < marks[shard].end}


async def nothing_before(settings: Settings, moment: int) -> bool:
    """Whether every record that the log ever had has a recorded_at of `moment` or later.

    It reads no record, so the right to write to the topic is enough. Raises Unavailable.
    """
    async with _consumer(settings, "read_uncommitted") as consumer:
        tps = await _partitions(settings)
        firsts = await consumer.beginning_offsets(tps)
        # recorded_at is the running maximum of the log's times: the first record's is the smallest.
        found = await consumer.offsets_for_times(dict.fromkeys(tps, max(0, -(-moment // 1_000))))
        last = await consumer.end_offsets(tps)
    return all(
        not firsts[tp] and (not last[tp] or (found[tp] is not None and not found[tp].offset))
        for tp in tps
    )


async def _partitions(settings: Settings) -> list[TopicPartition]:
    topic = topics(settings).transactions.name
    count = (await partition_counts(settings, topic))[topic]
    return [TopicPartition(topic, shard) for shard in range(count)]


@asynccontextmanager
async def _consumer(settings: Settings, isolation: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **connection.kafka(settings),
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=FIRST_RECORD_BYTES,
        fetch_max_wait_ms=50,
        isolation_level=isolation,
    )
    where = f"Kafka at {settings.bootstrap_servers}"
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            await consumer.start()
            yield consumer
    except TimeoutError as error:
        raise Unavailable(f"{where} has not answered for {LOOKUP_SECONDS} s.") from error
    except (KafkaError, OSError) as error:
        raise Unavailable(f"{where} does not answer: {error or type(error).__name__}.") from error
    except LedgerError as error:
        raise Unavailable(str(error)) from error
    finally:
        # aiokafka raises CancelledError if it is stopped before its own task has started.
        await asyncio.sleep(0)
        await consumer.stop()

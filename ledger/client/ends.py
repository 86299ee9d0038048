"""Where the log of transactions ends, since when a shard waits, and whether a log is younger."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.offset import OffsetRequest

from ledger.client.reading import partition_counts
from ledger.domain.completeness import Asked, Completeness, Position
from ledger.domain.run import Watermark
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.topics import topics

SECONDS = 10
"""After so long without an answer it is not known."""
FETCH_BYTES = 65_536
CLOCKS = 1_000_000
"""Microseconds that the clocks of the brokers may be behind this machine's."""


LATEST = -1
FOLLOWER = 0
"""Any broker's number: a leader tells followers where its log ends, consumers what all have
(`fetchOffset` in Kafka's ReplicaManager.scala); both need the right to describe the topic."""


class Ends(NamedTuple):
    """By shard the next offset of the log; each was read after `moment`, microseconds since 1970.

    What is appended later has a later recorded_at, as far as clocks agree to CLOCKS.
    """

    moment: int
    by_shard: Mapping[int, int]


class Waiting(NamedTuple):
    """Whether a record waits; `since`: its recorded_at, microseconds. None: nobody could look."""

    waits: bool | None
    since: int | None = None


async def ends(settings: Settings) -> Ends:
    """Of every shard that Kafka has. Raises Unavailable when it cannot be asked."""
    async with _consumer(settings, "read_uncommitted") as consumer:
        tps = await _partitions(settings)
        moment = time.time_ns() // 1_000 - CLOCKS
        found = await _appended(consumer, tps)
    return Ends(moment, {tp.partition: end for tp, end in sorted(found.items())})


async def _appended(
    consumer: AIOKafkaConsumer, tps: Sequence[TopicPartition]
) -> dict[TopicPartition, int]:
    """The offsets after whatever the leaders have appended.

    Also what a consumer is not shown yet, for it may be later, with the recorded_at that it has:
    what followers do not have, and what an open transaction of Kafka's has appended.
    """
    client = consumer._client
    # Knows the leaders, and asks until they are the leaders.
    await consumer.end_offsets(tps)
    found: dict[TopicPartition, int] = {}
    for leader in {client.cluster.leader_for_partition(tp) for tp in tps}:
        some = [tp for tp in tps if client.cluster.leader_for_partition(tp) == leader]
        wanted = [(tp.topic, [(tp.partition, LATEST)]) for tp in some]
        answer = await client.send(leader, OffsetRequest(FOLLOWER, 0, wanted))
        for topic, parts in answer.topics:
            for partition, code, _, end in parts:
                if code:
                    raise for_code(code)(f"{topic}[{partition}]")
                found[TopicPartition(topic, partition)] = end
    return found


async def waiting(settings: Settings, spans: Mapping[int, tuple[int, int]]) -> dict[int, Waiting]:
    """By shard, the first committed record at offsets [start, end), if there is one."""
    if not spans:
        return {}
    topic = topics(settings).transactions.name
    tps = {TopicPartition(topic, shard): span for shard, span in spans.items()}
    try:
        async with _consumer(settings, "read_committed") as consumer:
            return await _first_records(consumer, tps)
    except Unavailable:
        return dict.fromkeys(spans, Waiting(None))


async def _first_records(
    consumer: AIOKafkaConsumer, tps: Mapping[TopicPartition, tuple[int, int]]
) -> dict[int, Waiting]:
    firsts = await consumer.beginning_offsets(list(tps))
    stable = await consumer.end_offsets(list(tps))
    # A log cut above the start no longer has the first of what waits.
    left = {tp for tp, (start, _) in tps.items() if firsts[tp] <= start}
    found = {tp.partition: Waiting(None) for tp in tps.keys() - left}
    consumer.assign(list(left))
    for tp in left:
        consumer.seek(tp, tps[tp][0])
    while left:
        for tp, records in (await consumer.getmany(*left, timeout_ms=500)).items():
            if records[0].offset < tps[tp][1]:
                found[tp.partition] = Waiting(True, records[0].timestamp * 1_000)
            else:
                found[tp.partition] = Waiting(False)
            left.discard(tp)
        for tp in list(left):
            if await consumer.position(tp) >= min(stable[tp], tps[tp][1]):
                left.discard(tp)
                # Up to the end there are marks of Kafka's transactions alone; or one is still open.
                found[tp.partition] = Waiting(None if stable[tp] < tps[tp][1] else False)
    return found


async def completeness_of(
    settings: Settings, asked: Asked, read: Ends | None, marks: Mapping[int, Watermark]
) -> Completeness:
    """Of what counts everything before `marks`, which were read after `read`, the log's ends.

    None: they could not be read.
    """
    shards = read.by_shard if read else range(settings.shards)
    read = read or Ends(time.time_ns() // 1_000 - CLOCKS, {})
    known = {shard: marks.get(shard, Watermark()) for shard in sorted({*shards, *marks})}
    behind = {
        shard: (mark.end, end)
        for shard, mark in known.items()
        if mark.end < (end := read.by_shard.get(shard, 0))
    }
    waits, cut = await waiting(settings, behind), await _cut(settings, read, known)
    positions = [
        Position(
            shard,
            mark.end,
            mark.recorded_until,
            read.by_shard.get(shard),
            *waits.get(shard, Waiting(None)),
            cut=shard in cut,
        )
        for shard, mark in known.items()
    ]
    return Completeness(asked, read.moment, positions)


async def _cut(settings: Settings, read: Ends, marks: Mapping[int, Watermark]) -> Collection[int]:
    """The shards whose log ends before what was counted, also when it is read after that."""
    beyond = {shard for shard, end in read.by_shard.items() if marks[shard].end > end}
    if not beyond:
        return ()
    try:
        later = (await ends(settings)).by_shard
    except LedgerError:
        return beyond
    return {shard for shard in beyond if later[shard] < marks[shard].end}


async def nothing_before(settings: Settings, moment: int) -> bool:
    """Whether every record that the log ever took has a recorded_at of `moment` or later.

    Asked without reading a record, so that whoever may write may ask. Raises Unavailable when
    Kafka cannot be asked.
    """
    async with _consumer(settings, "read_uncommitted") as consumer:
        tps = await _partitions(settings)
        firsts = await consumer.beginning_offsets(tps)
        # Of the log's times recorded_at is the largest so far: the first record's is the smallest.
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
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=50,
        isolation_level=isolation,
    )
    where = f"Kafka at {settings.bootstrap_servers}"
    try:
        async with asyncio.timeout(SECONDS):
            await consumer.start()
            yield consumer
    except TimeoutError as error:
        raise Unavailable(f"{where} has not answered for {SECONDS} s.") from error
    except (KafkaError, OSError) as error:
        raise Unavailable(f"{where} does not answer: {error or type(error).__name__}.") from error
    except LedgerError as error:
        raise Unavailable(str(error)) from error
    finally:
        # Stopped before its own task had a first turn, aiokafka raises CancelledError.
        await asyncio.sleep(0)
        await consumer.stop()

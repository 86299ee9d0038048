"""Kafka as a log: append record batches whole, read a range again, ask where it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from ledger.errors import InvariantBroken, Unavailable
from ledger.health.waiting import waited_for
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.append_queue import AppendQueue, Record
from ledger.streaming.reader import (
    FETCH_WAIT_MS,
    LOOKUP_SECONDS,
    PartitionMissing,
    Reader,
    ReadRefused,
    out_of_reach,
    stop_quietly,
)
from ledger.streaming.topic_ids import topic_id
from ledger.streaming.topic_look import TopicAdmin

BATCH_BYTES = 16 * 1024 * 1024
"""Largest record batch; a run's changelog is one batch, so that it is there whole or not at all."""
SMALL_BATCH_BYTES = 256 * 1024
"""Of a record batch that every topic takes, whatever its limit."""
PORTION = 10_000
"""Rows that fit one record batch, whatever is in them."""
FOLLOW_WAIT_MS = 500
"""How long the broker holds a fetch that finds nothing, for a reader that follows."""
APPEND_SECONDS = 60
"""An append without an answer for so long is unknown; aiokafka may never answer."""

NEVER = (MessageSizeTooLargeError, RecordListTooLargeError, TopicAuthorizationFailedError)
"""Errors that a second attempt does not change."""

PUBLIC = ("balances", "breaks", "coverage", "progress", "rejects")
"""The topics, without the prefix, that clients of any language read."""
UNCOMPRESSED = 0
"""As aiokafka numbers the codecs."""

Records = Iterable[Record]
T = TypeVar("T")
TP = TypeVar("TP", bound=tuple[str, int])
log = logging.getLogger(__name__)


def log_dropped(record: ConsumerRecord, why: object) -> None:
    """Log that a record is ignored, which the ledger did not write."""
    where = f"{record.topic}[{record.partition}]"
    log.error("Dropped a foreign record of %s at %s: %s", where, record.offset, why)


class AppendUnknown(Unavailable):
    """Whether the records were appended, and where, is unknown: read the log to find out."""


class Log:
    """Producer and readers of one process, on one event loop.

    `lease` is asked before every append and raises when this process may no longer write.
    """

    def __init__(self, settings: Settings, *, lease: Callable[[], None] | None = None) -> None:
        self._settings = settings
        self._connection = connection.kafka(settings)
        self.require_lease = lease or (lambda: None)
        self._producer: AIOKafkaProducer | None = None
        self._renewal = asyncio.Lock()
        self._queues: dict[tuple[str, int], AppendQueue] = {}
        self._lookup: Reader | None = None
        self._looking = asyncio.Lock()

    async def _started(self) -> AIOKafkaProducer:
        async with self._renewal:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._connection,
                    acks="all",
                    enable_idempotence=True,
                    compression_type="lz4",
                    max_batch_size=BATCH_BYTES,
                    max_request_size=2 * BATCH_BYTES,
                    request_timeout_ms=15_000,
                )
                try:
                    await producer.start()
                except BaseException:
                    await stop_quietly(producer)
                    raise
                self._producer = producer
            return self._producer

    async def _renew(self, failed: AIOKafkaProducer) -> None:
        """After a failed batch aiokafka's sequence numbers have a hole and nothing more passes."""
        async with self._renewal:
            if self._producer is failed:
                self._producer = None
                asyncio.get_running_loop().create_task(stop_quietly(failed))

    async def append(self, topic: str, partition: int, records: Records) -> int:
        """Append one record batch; returns the offset of its first record.

        Raises AppendUnknown when the broker's answer did not come or has no offset: aiokafka
        reports a duplicate sequence number as a success at offset -1. Raises InvariantBroken for
        more records than a batch holds, with nothing appended.
        """
        # One batch of a partition at a time: aiokafka counts the time of a batch that waits for
        # another one several times over, and adds it even to a producer that was stopped meanwhile,
        # where it waits for ever. Even the first one goes out in a later turn of the loop, with
        # what others append in this one: a batch costs the same whatever is in it.
        queue = self._queues.get((topic, partition))
        if queue is None:
            append = partial(self._append, topic, partition)
            queue = AppendQueue(append, f"append {topic}[{partition}]")
            self._queues[topic, partition] = queue
        return await queue.put(list(records))

    async def _append(self, topic: str, partition: int, records: Records) -> int:
        try:
            producer = await self._started()
        except (KafkaError, OSError) as error:
            raise Unavailable(
                f"Kafka at {self._settings.bootstrap_servers} does not answer: {error}"
            ) from error
        batch = self._new_batch(producer, topic)
        for key, value in records:
            if batch.append(key=key, value=value, timestamp=None) is None:
                raise InvariantBroken(f"A run for {topic}[{partition}] outgrew a record batch.")
        self.require_lease()
        try:
            sent = await producer.send_batch(batch, topic, partition=partition)
            async with asyncio.timeout(APPEND_SECONDS):
                offset = int((await sent).offset)
        except NEVER as error:
            raise InvariantBroken(
                f"Kafka refuses to append to {topic}[{partition}]: {type(error).__name__}. Compare "
                "the topic with `faust-ledger topics check`, this user's rights with "
                "docs/security.md."
            ) from error
        except (KafkaError, OSError) as error:
            await self._renew(producer)
            raise AppendUnknown(f"{topic}[{partition}]: {error or type(error).__name__}") from error
        if offset < 0:
            raise AppendUnknown(f"{topic}[{partition}]: the broker had it already")
        return offset

    def _new_batch(self, producer: AIOKafkaProducer, topic: str) -> BatchBuilder:
        if topic.removeprefix(f"{self._settings.prefix}.") in PUBLIC:
            # Not every client has LZ4, and a producer of aiokafka has one codec for all topics.
            return BatchBuilder(BATCH_BYTES, UNCOMPRESSED)
        return producer.create_batch()

    async def append_absolute(self, topic: str, partition: int, records: Records) -> int:
        """Append what may be there twice without harm; waits for Kafka as long as it takes."""
        kept = list(records)
        return await waited_for(lambda: self.append(topic, partition, kept), f"append to {topic}")

    async def read(
        self, topic: str, partition: int, start: int, until: int | None = None
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """The records at offsets [start, until), or up to today's end, in the lists fetched.

        Raises InvariantBroken when the log does not reach back to `start` or not on to it,
        Unavailable when nothing more comes from a broker that does not answer.
        """
        tp = TopicPartition(topic, partition)
        end = (await self.bounds(topic, partition))[1] if until is None else until
        if start > end:
            raise InvariantBroken(out_of_reach(topic, partition, start, (0, end)))
        if start == end:
            return
        async with self._reader() as reader:
            async for records in reader.between({tp: start}, {tp: end}):
                yield records

    async def follow(
        self, topic: str, partition: int, start: int
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """The records from `start` on, as they come, without end.

        Raises InvariantBroken when the log does not reach back to `start`.
        """
        async with self._reader(FOLLOW_WAIT_MS) as reader:
            reader.assign({TopicPartition(topic, partition): start})
            while True:
                if records := await reader.fetch(1.0):
                    yield records

    async def follow_last(
        self, topic: str, partitions: Iterable[int], *, gather_seconds: float = 0.0
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """The last record of each partition, then the records as they come, without end.

        Each list is of one partition; after some have come, the next are asked for
        `gather_seconds` later. Raises Unavailable also when a last record was deleted meanwhile:
        begin again.
        """
        tps = [TopicPartition(topic, partition) for partition in partitions]
        async with self._reader(FOLLOW_WAIT_MS) as reader:
            reader.assign({tp: max(end - 1, 0) for tp, end in (await reader.ends(tps)).items()})
            try:
                while True:
                    lists = await reader.lists(1.0)
                    for records in lists.values():
                        yield records
                    if lists and gather_seconds:
                        await asyncio.sleep(gather_seconds)
            except InvariantBroken as error:
                raise Unavailable(str(error)) from error

    async def last_of(self, topic: str, partitions: Iterable[int]) -> list[ConsumerRecord]:
        """The last record of each partition that has one, with one reader."""
        found: dict[int, ConsumerRecord] = {}
        async with self._reader() as reader:
            bounds = await reader.bounds(TopicPartition(topic, each) for each in partitions)
            ends = {tp: end for tp, (_, end) in bounds.items()}
            last = {tp: max(first, end - 1) for tp, (first, end) in bounds.items()}
            async for records in reader.between(last, ends):
                found[records[-1].partition] = records[-1]
        return list(found.values())

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset held, and the next to be written.

        Raises Unavailable for a partition that is not there: it may be created yet.
        """
        tp = TopicPartition(topic, partition)
        async with self._looking_up(f"{topic}[{partition}]") as lookup:
            return (await lookup.bounds([tp]))[tp]

    async def ends(self, tps: Iterable[TP]) -> dict[TP, int]:
        """By (topic, partition), the next offset to be written: one request a broker.

        Partitions that are not there are left out.
        """
        wanted = {TopicPartition(*tp): tp for tp in tps}
        async with self._looking_up(f"the ends of {len(wanted)} partitions") as lookup:
            found = await lookup.ends(wanted, leave_out_missing=True)
        return {wanted[tp]: end for tp, end in found.items()}

    async def topic_id(self, topic: str) -> str:
        """As `topic_ids.topic_id`."""
        async with TopicAdmin(self._settings) as admin:
            return await topic_id(admin, topic)

    @asynccontextmanager
    async def _looking_up(self, what: str) -> AsyncIterator[Reader]:
        """One reader for all lookups, which do not wait for each other."""
        lookup = None
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                lookup = await self._lookup_started()
                yield lookup
        except PartitionMissing:
            raise
        except TimeoutError as error:
            await self._give_up(lookup)
            raise Unavailable(
                f"Kafka at {self._settings.bootstrap_servers} did not answer within "
                f"{LOOKUP_SECONDS:.0f} s: {what}."
            ) from error
        except Unavailable:
            await self._give_up(lookup)
            raise

    async def _lookup_started(self) -> Reader:
        async with self._looking:
            if self._lookup is None:
                reader = Reader(self._settings, connected=self._connection)
                self._lookup = await reader.__aenter__()
            return self._lookup

    async def _give_up(self, failed: Reader | None) -> None:
        """The next lookup has a reader of its own."""
        if failed is not None and self._lookup is failed:
            self._lookup = None
            await failed.close()

    @asynccontextmanager
    async def _reader(self, wait_ms: int = FETCH_WAIT_MS) -> AsyncIterator[Reader]:
        try:
            async with Reader(
                self._settings, fetch_wait_ms=wait_ms, connected=self._connection
            ) as reader:
                yield reader
        except ReadRefused as error:
            # The right may be given yet.
            raise Unavailable(str(error)) from error

    async def close(self) -> None:
        """Send what is under way and let go."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None
        if self._lookup is not None:
            await self._lookup.close()
            self._lookup = None

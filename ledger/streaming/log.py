"""Kafka as a log: append record batches whole, read a range again, ask where it ends."""

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import accumulate, islice
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from ledger.errors import InvariantBroken, Unavailable
from ledger.health.waiting import waited_for
from ledger.settings import Settings
from ledger.streaming import batches as _batches  # noqa: F401 - reads what aiokafka cannot, and packs faster
from ledger.streaming import connection
from ledger.streaming.coalescer import Coalescer

BATCH_BYTES = 16 * 1024 * 1024
"""Largest record batch; a run's changelog is one batch, so that it is there whole or not at all."""
TOGETHER_BYTES = 4 * 1024 * 1024
"""What waited for the same partition is one batch up to this size."""
PORTION = 10_000
"""Rows that fit one record batch, whatever is in them."""
FETCH_BYTES = 4 * 1024 * 1024
READ_WAIT_MS = 50
FOLLOW_WAIT_MS = 500
"""How long the broker holds a fetch while there is nothing; what comes ends the wait."""
SILENT_SECONDS = 10.0
"""After so long without a record, where there are some, the broker is asked whether it is there."""
LOOKUP_SECONDS = 15.0
"""After so long without an answer a lookup has failed; aiokafka would wait for 40 s."""
APPEND_SECONDS = 60
"""After so long without an answer the log is asked what became of it; aiokafka may never say."""

NEVER = (MessageSizeTooLargeError, RecordListTooLargeError, TopicAuthorizationFailedError)
"""What no second attempt changes."""

Record = tuple[bytes | None, bytes | None]
Records = Iterable[Record]
T = TypeVar("T")
TP = TypeVar("TP", bound=tuple[str, int])
log = logging.getLogger(__name__)


def portions(rows: Iterable[T]) -> Iterator[list[T]]:
    """As many as fit one record batch."""
    left = iter(rows)
    while portion := list(islice(left, PORTION)):
        yield portion


def out_of_reach(topic: str, partition: int, position: int, held: tuple[int, int]) -> str:
    """Why reading cannot go on at `position` of a partition that holds `held`, [first, end).

    An alarm's text: it says what to do.
    """
    first, end = held
    why = (
        f"holds offsets from {first} on, but {position} is needed next: {position} to "
        f"{first - 1} were deleted (retention, or delete-records)"
    )
    page = "log-cut"
    if position > end:
        why = f"ends at {end}, but {position} had been reached: it was truncated or made anew"
        page = "topic-lost"
    return (
        f"{topic}[{partition}] {why}. Nothing is made up and nothing is skipped: this partition "
        f"waits, the others go on. What to do: docs/runbooks/{page}.md"
    )


def say_dropped(record: ConsumerRecord, why: object) -> None:
    """Into the log: a record that none of ours wrote is left out."""
    where = f"{record.topic}[{record.partition}]"
    log.error("Dropped a foreign record of %s at %s: %s", where, record.offset, why)


class AppendUnknown(Unavailable):
    """Whether the records were appended, and where, is not known: read the log to find out."""


class _Queue:
    """Appends to one partition that wait; `append` appends one batch of them."""

    def __init__(self, append: Callable[[list[Record]], Awaitable[int]], name: str) -> None:
        self._append = append
        self._waiting: list[tuple[list[Record], asyncio.Future[int]]] = []
        self._appending = Coalescer(self._append_waiting, name=name)

    def put(self, records: list[Record]) -> asyncio.Future[int]:
        """Append `records` soon; the future has the offset of the first."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, answer))
        self._appending.wake()
        return answer

    async def _append_waiting(self) -> None:
        while together := self._take():
            records = [record for part, _ in together for record in part]
            try:
                offset = await self._append(records)
            except Exception as error:
                for _, answer in together:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for part, answer in together:
                if not answer.done():
                    answer.set_result(offset)
                offset += len(part)

    def _take(self) -> list[tuple[list[Record], asyncio.Future[int]]]:
        """Those that fit one batch, at least one; empty when none waits."""
        count = len(self._waiting)
        if count > 1:
            sizes = accumulate(_size(records) for records, _ in self._waiting)
            count = max(bisect_right(list(sizes), TOGETHER_BYTES), 1)
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


def _size(records: list[Record]) -> int:
    return sum(len(key or b"") + len(value or b"") for key, value in records)


class Log:
    """Producer and readers of one process, on one event loop.

    `lease` is asked before every append and raises when this process may no longer write.
    """

    def __init__(self, settings: Settings, *, lease: Callable[[], None] | None = None) -> None:
        self._servers = settings.bootstrap_servers
        self._connection = connection.kafka(settings)
        self.require_lease = lease or (lambda: None)
        self._producer: AIOKafkaProducer | None = None
        self._renewal = asyncio.Lock()
        self._queues: dict[tuple[str, int], _Queue] = {}
        self._lookup: AIOKafkaConsumer | None = None
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
                    await _stop_quietly(producer)
                    raise
                self._producer = producer
            return self._producer

    async def _renew(self, failed: AIOKafkaProducer) -> None:
        """After a failed batch aiokafka's sequence numbers have a hole and nothing more passes."""
        async with self._renewal:
            if self._producer is failed:
                self._producer = None
                asyncio.get_running_loop().create_task(_stop_quietly(failed))

    async def append(self, topic: str, partition: int, records: Records) -> int:
        """Append one record batch; returns the offset of its first record.

        Raises AppendUnknown when the broker's answer did not come or has no offset: aiokafka
        reports a duplicate sequence number as a success at offset -1. Raises InvariantBroken for
        more records than a batch holds, with nothing appended.
        """
        # One after the other: a batch that waits for another one's in aiokafka has its time counted
        # several times over, and is added even to a producer that was stopped meanwhile: for ever.
        # Even the first goes out in a turn of the loop of its own, with what others have appended
        # in this one: a batch costs the same whatever is in it.
        queue = self._queues.get((topic, partition))
        if queue is None:
            queue = _Queue(partial(self._append, topic, partition), f"append {topic}[{partition}]")
            self._queues[topic, partition] = queue
        return await queue.put(list(records))

    async def _append(self, topic: str, partition: int, records: Records) -> int:
        try:
            producer = await self._started()
        except (KafkaError, OSError) as error:
            raise Unavailable(f"Kafka at {self._servers} does not answer: {error}") from error
        batch = producer.create_batch()
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
                "the topic's limits and this user's rights with docs/architecture.md."
            ) from error
        except (KafkaError, OSError) as error:
            await self._renew(producer)
            raise AppendUnknown(f"{topic}[{partition}]: {error or type(error).__name__}") from error
        if offset < 0:
            raise AppendUnknown(f"{topic}[{partition}]: the broker had it already")
        return offset

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
            reader.assign([tp])
            reader.seek(tp, start)
            heard = time.monotonic()
            # Not the last offset seen: control records and compaction leave holes.
            while (position := await reader.position(tp)) < end:
                try:
                    fetched = await reader.getmany(tp, timeout_ms=1_000)
                except OffsetOutOfRangeError as error:
                    held = await self.bounds(topic, partition)
                    raise InvariantBroken(out_of_reach(topic, partition, position, held)) from error
                records = [record for record in fetched.get(tp, ()) if record.offset < end]
                if records:
                    yield records
                    heard = time.monotonic()
                elif time.monotonic() - heard > SILENT_SECONDS:
                    # aiokafka asks a broker that is away for ever, without a word.
                    await self.bounds(topic, partition)
                    heard = time.monotonic()

    async def follow(
        self, topic: str, partition: int, start: int
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """The records from `start` on, as they come, without end."""
        tp = TopicPartition(topic, partition)
        async with self._reader(FOLLOW_WAIT_MS) as reader:
            reader.assign([tp])
            reader.seek(tp, start)
            while True:
                if records := (await reader.getmany(tp, timeout_ms=1_000)).get(tp):
                    yield records

    async def follow_last(
        self, topic: str, partitions: Iterable[int]
    ) -> AsyncIterator[list[ConsumerRecord]]:
        """The last record of each partition, then the records as they come, without end."""
        tps = [TopicPartition(topic, partition) for partition in partitions]
        async with self._reader(FOLLOW_WAIT_MS) as reader:
            await _require_there(reader, tps)
            reader.assign(tps)
            for tp, end in (await reader.end_offsets(tps)).items():
                reader.seek(tp, max(end - 1, 0))
            while True:
                for records in (await reader.getmany(timeout_ms=1_000)).values():
                    yield records

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset held, and the next to be written.

        Raises Unavailable for a partition that is not there: it may come yet.
        """
        tp = TopicPartition(topic, partition)
        async with self._looking_up(f"{topic}[{partition}]") as lookup:
            await _require_there(lookup, [tp])
            first = await lookup.beginning_offsets([tp])
            last = await lookup.end_offsets([tp])
        return first[tp], last[tp]

    async def ends(self, tps: Iterable[TP]) -> dict[TP, int]:
        """By (topic, partition), the next offset to be written: one request a broker.

        Partitions that are not there are left out.
        """
        wanted = {TopicPartition(*tp): tp for tp in tps}
        async with self._looking_up(f"the ends of {len(wanted)} partitions") as lookup:
            for tp in await missing_of(lookup, wanted):
                del wanted[tp]
            found = await lookup.end_offsets(list(wanted)) if wanted else {}
        return {wanted[tp]: end for tp, end in found.items()}

    @asynccontextmanager
    async def _looking_up(self, what: str) -> AsyncIterator[AIOKafkaConsumer]:
        """One consumer for all lookups, which do not wait for each other."""
        lookup = None
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                lookup = await self._lookup_started()
                yield lookup
        except TimeoutError as error:
            await self._give_up(lookup)
            raise Unavailable(
                f"Kafka at {self._servers} did not say within {LOOKUP_SECONDS:.0f} s: {what}."
            ) from error
        except (KafkaError, OSError) as error:
            await self._give_up(lookup)
            raise Unavailable(f"Kafka at {self._servers}: {what}: {error}") from error

    async def _lookup_started(self) -> AIOKafkaConsumer:
        async with self._looking:
            if self._lookup is None:
                lookup = self._new_reader()
                try:
                    await lookup.start()
                except BaseException:
                    await _stop_quietly(lookup)
                    raise
                self._lookup = lookup
            return self._lookup

    async def _give_up(self, failed: AIOKafkaConsumer | None) -> None:
        """The next lookup has a consumer of its own."""
        if failed is not None and self._lookup is failed:
            self._lookup = None
            await _stop_quietly(failed)

    async def last_of(self, topic: str, partitions: Iterable[int]) -> list[ConsumerRecord]:
        """The last record of each partition that has one, with one reader."""
        tps = [TopicPartition(topic, partition) for partition in partitions]
        found: dict[TopicPartition, ConsumerRecord] = {}
        async with self._reader() as reader:
            await _require_there(reader, tps)
            first, ends = await reader.beginning_offsets(tps), await reader.end_offsets(tps)
            ends = {tp: end for tp, end in ends.items() if end > first[tp]}
            reader.assign(list(ends))
            for tp, end in ends.items():
                reader.seek(tp, end - 1)
            # By position: a last offset may be a control record's.
            while any([await reader.position(tp) < end for tp, end in ends.items()]):
                for tp, records in (await reader.getmany(timeout_ms=1_000)).items():
                    found[tp] = records[-1]
        return list(found.values())

    def _new_reader(self, wait_ms: int = READ_WAIT_MS) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._connection,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=wait_ms,
            isolation_level="read_committed",
        )

    @asynccontextmanager
    async def _reader(self, wait_ms: int = READ_WAIT_MS) -> AsyncIterator[AIOKafkaConsumer]:
        reader = self._new_reader(wait_ms)
        try:
            await reader.start()
            yield reader
        except KafkaError as error:
            raise Unavailable(f"Kafka at {self._servers}: {error}") from error
        finally:
            await _stop_quietly(reader)

    async def close(self) -> None:
        """Send what is under way and let go."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None
        if self._lookup is not None:
            await _stop_quietly(self._lookup)
            self._lookup = None


async def missing_of(
    consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition]
) -> list[TopicPartition]:
    """Those that Kafka does not have. aiokafka would wait for them, and for what is asked beside.

    Raises KafkaError.
    """
    wanted = list(tps)
    missing = _unknown(consumer, wanted)
    for topic in {tp.topic for tp in missing}:
        await consumer._client.add_topic(topic)
    if missing and (missing := _unknown(consumer, wanted)):
        # Known of for a while, and added since perhaps.
        await consumer._client.force_metadata_update()
        missing = _unknown(consumer, wanted)
    return missing


def _unknown(consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition]) -> list[TopicPartition]:
    return [tp for tp in tps if tp.partition not in (consumer.partitions_for_topic(tp.topic) or ())]


async def _require_there(consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition]) -> None:
    if missing := await missing_of(consumer, tps):
        raise Unavailable(not_there(missing))


def not_there(missing: Iterable[TopicPartition]) -> str:
    """A sentence about partitions that Kafka does not have."""
    names = ", ".join(f"{tp.topic}[{tp.partition}]" for tp in missing)
    return (
        f"Kafka has no {names}: the topic was deleted, or has fewer partitions than are asked for. "
        "`faust-ledger topics check` compares, see docs/runbooks/topic-settings.md."
    )


async def _stop_quietly(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    # aiokafka's consumer cancels a task and awaits it; one that has not had its first turn on the
    # loop yet passes the cancellation on to us instead of swallowing it.
    await asyncio.sleep(0)
    try:
        await client.stop()
    except (KafkaError, OSError) as error:
        log.info("An abandoned client did not stop cleanly: %s", error)

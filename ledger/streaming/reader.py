"""Reads partitions of Kafka from offsets that the caller names: no group, nothing committed."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, TopicAuthorizationFailedError

from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection

FETCH_BYTES = 4 * 1024 * 1024
FETCH_WAIT_MS = 50
"""How long the broker holds a fetch that finds nothing. aiokafka has one fetch under way for each
broker, and a partition that was just read waits for it to return."""
POLL_SECONDS = 0.5
SILENT_SECONDS = 10.0
"""Without a record for so long, though some are left to read, the reader asks the broker."""
LOOKUP_SECONDS = 15.0
"""A lookup without an answer has failed after this time; aiokafka would wait for 40 s."""

FEW = 3
"""Partitions that an error names."""

Offsets = Mapping[TopicPartition, int]
log = logging.getLogger(__name__)


class PartitionMissing(Unavailable):
    """Kafka does not have a partition; it may be created yet."""


class ReadRefused(LedgerError):
    """This user has no right to read a topic."""


class Reader:
    """A consumer of any partitions; an async context manager, which may be entered again.

    Every method raises Unavailable when Kafka does not answer, `fetch` and `until` ReadRefused as
    well, and InvariantBroken for a partition that no longer holds the offset to read next.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        fetch_wait_ms: int = FETCH_WAIT_MS,
        connected: Mapping[str, Any] | None = None,
    ) -> None:
        """`connected`: what `connection.kafka` gave before, where a password is not read again."""
        self._where = f"Kafka at {settings.bootstrap_servers}"
        self._user = settings.kafka_user
        self._given = {
            **(connected or connection.kafka(settings)),
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "max_partition_fetch_bytes": FETCH_BYTES,
            "fetch_max_wait_ms": fetch_wait_ms,
            "isolation_level": "read_committed",
        }

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(**self._given)
        try:
            await self._consumer.start()
        except BaseException as error:
            await stop_quietly(self._consumer)
            if isinstance(error, KafkaError | OSError):
                raise Unavailable(f"{self._where}: {error or type(error).__name__}") from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await stop_quietly(self._consumer)

    async def bounds(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        """For each partition the first offset held, and the next to be written.

        Raises PartitionMissing.
        """
        wanted = list(partitions)
        async with self._asking("the bounds", wanted):
            _require_there(await self._missing(wanted))
            first = await self._consumer.beginning_offsets(wanted)
            last = await self._consumer.end_offsets(wanted)
        return {tp: (first[tp], last[tp]) for tp in wanted}

    async def ends(
        self, partitions: Iterable[TopicPartition], *, leave_out_missing: bool = False
    ) -> dict[TopicPartition, int]:
        """For each partition the next offset to be written: one request a broker.

        Raises PartitionMissing, or leaves such partitions out.
        """
        wanted = list(partitions)
        async with self._asking("the ends", wanted):
            missing = await self._missing(wanted)
            if not leave_out_missing:
                _require_there(missing)
            there = [tp for tp in wanted if tp not in missing]
            return dict(await self._consumer.end_offsets(there)) if there else {}

    async def offset_at(self, tp: TopicPartition, millis: int) -> int:
        """The first offset whose time is `millis` or later; the partition's end if there is none.

        Raises PartitionMissing.
        """
        async with self._asking(f"what was recorded at {millis}", [tp]):
            _require_there(await self._missing([tp]))
            found = (await self._consumer.offsets_for_times({tp: max(millis, 0)}))[tp]
            if found is None:
                return int((await self._consumer.end_offsets([tp]))[tp])
            return int(found.offset)

    def assign(self, starts: Offsets) -> None:
        """Read these partitions and no others, each from its offset."""
        self._consumer.assign(list(starts))
        for tp, offset in starts.items():
            self._consumer.seek(tp, offset)

    async def fetch(self, seconds: float = POLL_SECONDS) -> list[ConsumerRecord]:
        """What has come, in order within each partition; nothing after `seconds` without any."""
        return [record for records in (await self.lists(seconds)).values() for record in records]

    async def lists(
        self, seconds: float = POLL_SECONDS, most: int | None = None
    ) -> dict[TopicPartition, list[ConsumerRecord]]:
        """The same, by partition: only those of which something has come.

        `most`: records of all partitions; without it all that has come, which aiokafka decodes in
        one turn of the event loop.
        """
        try:
            return dict(
                await self._consumer.getmany(timeout_ms=round(seconds * 1_000), max_records=most)
            )
        except OffsetOutOfRangeError as error:
            tp, position = next(iter(error.args[0].items()))
            held = (await self.bounds([tp]))[tp]
            raise InvariantBroken(out_of_reach(tp.topic, tp.partition, position, held)) from error
        except TopicAuthorizationFailedError as error:
            raise ReadRefused(
                f"{self._where} does not let user {self._user} read {error}: the role has no right "
                "to it, see docs/security.md."
            ) from error
        except KafkaError as error:
            raise Unavailable(f"{self._where}: {error or type(error).__name__}") from error

    async def positions(self) -> dict[TopicPartition, int]:
        """The next offset of each partition; it counts holes, as offsets seen would not."""
        return {tp: await self._consumer.position(tp) for tp in self._consumer.assignment()}

    async def between(self, starts: Offsets, ends: Offsets) -> AsyncIterator[list[ConsumerRecord]]:
        """The records of each partition from its start to its end, in the lists fetched.

        Partitions without any are not assigned: aiokafka was seen to hang when it was stopped after
        it was assigned partitions of which nothing was fetched.
        """
        ends = {tp: end for tp, end in ends.items() if starts[tp] < end}
        if ends:
            self.assign({tp: starts[tp] for tp in ends})
            async for records in self.until(ends):
                yield records

    async def until(self, ends: Offsets) -> AsyncIterator[list[ConsumerRecord]]:
        """The records below `ends` of partitions assigned, in the lists fetched."""
        received = time.monotonic()
        # By position, not by the last offset seen: control records and compaction leave holes.
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            fetched = await self.lists(1.0)
            if fetched:
                received = time.monotonic()
            elif time.monotonic() - received > SILENT_SECONDS:
                # aiokafka silently asks an unavailable broker for ever.
                await self.bounds(ends)
                received = time.monotonic()
            for tp, records in fetched.items():
                end = ends.get(tp, 0)
                below = records
                if records[-1].offset >= end:
                    below = [record for record in records if record.offset < end]
                if below:
                    yield below

    @asynccontextmanager
    async def _asking(self, what: str, partitions: list[TopicPartition]) -> AsyncIterator[None]:
        asked = f"{what} of {_names(partitions[:FEW])}{', ...' if partitions[FEW:] else ''}"
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                yield
        except TimeoutError as error:
            raise Unavailable(
                f"{self._where} did not answer within {LOOKUP_SECONDS:.0f} s: {asked}."
            ) from error
        except (KafkaError, OSError) as error:
            raise Unavailable(f"{self._where}: {asked}: {error}") from error

    async def _missing(self, wanted: list[TopicPartition]) -> list[TopicPartition]:
        """Those that Kafka does not have: aiokafka would wait for them, and others with them."""
        consumer = self._consumer
        missing = _unknown(consumer, wanted)
        for topic in {tp.topic for tp in missing}:
            await consumer._client.add_topic(topic)
        if missing and (missing := _unknown(consumer, wanted)):
            # The metadata may be older than the partition.
            await consumer._client.force_metadata_update()
            missing = _unknown(consumer, wanted)
        return missing


def _unknown(consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition]) -> list[TopicPartition]:
    return [tp for tp in tps if tp.partition not in (consumer.partitions_for_topic(tp.topic) or ())]


def _names(partitions: list[TopicPartition]) -> str:
    return ", ".join(f"{tp.topic}[{tp.partition}]" for tp in partitions)


def _require_there(missing: list[TopicPartition]) -> None:
    if missing:
        raise PartitionMissing(
            f"Kafka has no {_names(missing)}: the topic was deleted, or has fewer partitions "
            "than are asked for. `faust-ledger topics check` compares, see "
            "docs/runbooks/topic-settings.md."
        )


def out_of_reach(topic: str, partition: int, position: int, held: tuple[int, int]) -> str:
    """The alarm for a partition that holds `held`, [first, end), and not `position`."""
    first, end = held
    why = (
        f"holds offsets from {first} on, but {position} is needed next: {position} to "
        f"{first - 1} were deleted (retention, or delete-records)"
    )
    page = "log-cut"
    if position > end:
        why = f"ends at {end}, but {position} had been reached: it was truncated or recreated"
        page = "topic-lost"
    return (
        f"{topic}[{partition}] {why}. Nothing is made up and nothing is skipped: this partition "
        f"waits, the others go on. What to do: docs/runbooks/{page}.md"
    )


async def stop_quietly(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """Stop a client that may not have started; what it raises then is logged."""
    # aiokafka's consumer cancels a task and awaits it; one that has not had its first turn on the
    # loop yet passes the cancellation on to us instead of swallowing it.
    await asyncio.sleep(0)
    try:
        await client.stop()
    except (KafkaError, OSError) as error:
        log.info("An abandoned client did not stop cleanly: %s", error)

"""Where the audits read: topics in full, progress, how far stripes are summed up."""

import logging
import struct
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self

from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from ledger.audit.known import Noted
from ledger.audit.original import Original
from ledger.audit.stated import (
    Balances,
    Holdings,
    OpenBreaks,
    forget_balance,
    take_balance,
    take_stripe,
)
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Watermark
from ledger.errors import InvariantBroken, Unavailable
from ledger.gl.journal import Journal
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.log import Log
from ledger.streaming.progress import compared
from ledger.streaming.registry import HEADER, Codec, codec_of
from ledger.streaming.topics import Topic, Topics, topics
from ledger.streaming.transactions import TransactionReader

ANY_SIZE = 2**31
"""What was accepted is read, whatever the size limit is today."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that an audit reads from."""

    settings: Settings
    names: Topics
    log: Log
    codec: Codec
    journal: Journal

    @classmethod
    def of(cls, settings: Settings, journal: Journal) -> Self:
        """Raises LedgerError when our schemas are not registered."""
        codec = codec_of(settings)
        return cls(settings, topics(settings), Log(settings), codec, journal)

    async def close(self) -> None:
        """Let go of Kafka and the database."""
        await self.log.close()
        self.journal.close()

    def rows(
        self, topic: Topic, records: Iterable[ConsumerRecord]
    ) -> Iterator[tuple[ConsumerRecord, Any]]:
        """Each record with its row; what is none of ours is left out, as all readers do.

        None for a record without a value, which takes back what was said of its key.
        """
        assert topic.schema is not None
        for record in records:
            if record.value is None:
                yield record, None
                continue
            try:
                yield record, self.codec.decode(topic.schema, record.value)
            except (ValueError, struct.error) as error:
                log.warning("%s[%s]: %s", topic.name, record.partition, error)

    async def progress(self) -> list[Watermark]:
        """How far each shard said last that it is compared."""
        topic = self.names.progress
        shards = range(topic.partitions)
        found = await compared(self.log, self.codec, topic.name, shards)
        return [found.get(shard, Watermark()) for shard in shards]

    async def stripes_ends(self) -> dict[int, int]:
        """By partition, where the stripes topic ends."""
        topic = self.names.stripes
        return {
            partition: (await self.log.bounds(topic.name, partition))[1]
            for partition in range(topic.partitions)
        }

    async def summed(self) -> dict[int, int]:
        """By partition, up to where the stripes topic is reconciled and in published balances.

        The balances agent's committed offsets: a hint, but never one that is ahead, for it is
        given after the balances were published.
        """
        servers, topic = self.settings.bootstrap_servers, self.names.stripes.name
        admin = AIOKafkaAdminClient(**connection.kafka(self.settings))
        try:
            await admin.start()
            found = await admin.list_consumer_group_offsets(f"{self.settings.prefix}-stream")
        except (KafkaError, OSError) as error:
            raise Unavailable(f"Kafka at {servers} does not answer: {error}") from error
        finally:
            await admin.close()
        return {tp.partition: each.offset for tp, each in found.items() if tp.topic == topic}


class Reading:
    """One topic, read on each time from where it was last read to.

    `whole`: it must be there from its first record on; else what was deleted is passed over.
    """

    def __init__(self, sources: Sources, topic: Topic, *, whole: bool = True) -> None:
        self._sources, self._topic, self._whole = sources, topic, whole
        self._positions = dict.fromkeys(range(topic.partitions), 0)

    async def rows(self) -> AsyncIterator[tuple[ConsumerRecord, Any]]:
        """What is new up to the present end, with its rows; None for one without a value."""
        for partition, known in self._positions.items():
            position = known
            if not self._whole:
                first, _ = await self._sources.log.bounds(self._topic.name, partition)
                position = max(first, known)
            lists = self._sources.log.read(self._topic.name, partition, position)
            async with aclosing(lists):  # type: ignore[type-var]
                async for records in lists:
                    self._positions[partition] = records[-1].offset + 1
                    for record, row in self._sources.rows(self._topic, records):
                        yield record, row


class ReferenceData:
    """The reference topic's records, read on each time; `noted` grows."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._position = 0
        self.noted: list[Noted] = []

    async def read(self) -> None:
        """On to the present end. What was deleted is passed over: the digests tell of it."""
        topic, log_ = self._sources.names.reference.name, self._sources.log
        first, _ = await log_.bounds(topic, 0)
        lists = log_.read(topic, 0, max(first, self._position))
        async with aclosing(lists):  # type: ignore[type-var]
            async for records in lists:
                self._position = records[-1].offset + 1
                self.noted += map(self._noted, records)

    def _noted(self, record: ConsumerRecord) -> Noted:
        try:
            row = self._sources.codec.decode("Reference", record.value or b"")
        except (ValueError, InvariantBroken):
            # Nobody takes it for anything, but the digest counts it.
            row = None
        return Noted(record.offset, record.key, record.value, row)


class Public:
    """The balances, stripes and breaks topics as far as they were read."""

    def __init__(self, sources: Sources) -> None:
        names = sources.names
        # Those that are missing are told one by one.
        self._balances = Reading(sources, names.balances, whole=False)
        self._stripes = Reading(sources, names.stripes)
        self._breaks = Reading(sources, names.breaks)
        self.balances: Balances = {}
        self.holdings: Holdings = {}
        self.breaks = OpenBreaks()

    async def read_balances(self) -> None:
        """On to the present end."""
        async for record, row in self._balances.rows():
            if row is None:
                forget_balance(self.balances, record.key or b"")
            else:
                take_balance(self.balances, row)

    async def read_stripes(self) -> None:
        """On to the present end."""
        async for record, row in self._stripes.rows():
            if row is not None:
                take_stripe(self.holdings, record.partition, record.offset, record.key or b"", row)

    async def read_breaks(self) -> None:
        """On to the present end."""
        async for _, row in self._breaks.rows():
            if row is not None:
                self.breaks.take(row)


class Records:
    """One partition's records in order, taken piece by piece."""

    def __init__(self, lists: AsyncIterator[list[ConsumerRecord]]) -> None:
        self._lists = lists
        self._held: list[ConsumerRecord] = []

    async def below(self, end: int) -> list[ConsumerRecord]:
        """The next ones at offsets before `end`."""
        found: list[ConsumerRecord] = []
        while True:
            if self._held and self._held[-1].offset >= end:
                at = next(i for i, record in enumerate(self._held) if record.offset >= end)
                found += self._held[:at]
                self._held = self._held[at:]
                return found
            found += self._held
            self._held = await anext(self._lists, [])
            if not self._held:
                return found


class Originals:
    """Reads the transactions that a decision was about."""

    def __init__(self, reader: TransactionReader) -> None:
        self._reader = reader
        self._reader.max_bytes = ANY_SIZE
        self._asked: set[bytes] = set()

    async def of(
        self, records: list[ConsumerRecord], refused: set[int], largest: int
    ) -> list[Original]:
        """Each record, decoded; of those refused none of more than `largest` bytes.

        Raises Unavailable for the registry.
        """
        await self._reader.prepare(self._to_ask(records, refused))
        return [
            self._original(record, largest if record.offset in refused else ANY_SIZE)
            for record in records
        ]

    def _to_ask(self, records: list[ConsumerRecord], refused: set[int]) -> Iterator[bytes | None]:
        """Values whose schemas to look up: of those refused each schema once.

        A flood of made-up schemas would else be asked for again in every run, 0.1 s each.
        """
        for record in records:
            if record.offset not in refused:
                yield record.value
                continue
            asked = (record.value or b"")[: HEADER.size]
            if asked.startswith(b"\0") and asked not in self._asked:
                self._asked.add(asked)
                yield record.value

    def _original(self, record: ConsumerRecord, largest: int) -> Original:
        value = record.value
        draft: Any = None
        code = Reason.TOO_LARGE.value
        if value is None or len(value) <= largest:
            draft, code = self._reader.decode(value), ""
            if isinstance(draft, Refused):
                draft, code = draft.sentence, draft.reason.value
        return Original(record.offset, record.timestamp * 1_000, record.key, value, draft, code)

"""What the audits read: topics from their beginning, progress, how far stripes are summed."""

import logging
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

from aiokafka import ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from ledger.audit.log_records import LogRecord
from ledger.audit.reference import ReferenceRecord
from ledger.audit.stated import (
    Balances,
    OpenBreaks,
    StripedAccounts,
    forget_balance,
    take_balance,
    take_stripe,
)
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Stripe, Watermark
from ledger.errors import InvariantBroken, Unavailable
from ledger.gl.books import Books
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.log import Log
from ledger.streaming.progress import compared
from ledger.streaming.registry import HEADER, Codec, codec_of
from ledger.streaming.topics import Topic, Topics, topics
from ledger.streaming.transactions import TransactionReader

ANY_SIZE = 2**31
"""Accepted records are read whatever the present size limit is."""

OnProgress = Callable[[int], None]
"""Called with how much is done: positions of the log, or shards."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that an audit reads."""

    settings: Settings
    names: Topics
    log: Log
    codec: Codec
    books: Books

    @classmethod
    def of(cls, settings: Settings, books: Books) -> Self:
        """Raises LedgerError when our schemas are not registered."""
        codec = codec_of(settings)
        return cls(settings, topics(settings), Log(settings), codec, books)

    async def close(self) -> None:
        """Close the connections to Kafka and the database."""
        await self.log.close()
        self.books.close()

    def rows(
        self, topic: Topic, records: Iterable[ConsumerRecord]
    ) -> Iterator[tuple[ConsumerRecord, Any]]:
        """Each record with its row; foreign records are ignored, as by all readers.

        None for a record without a value, which deletes its key.
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
        """The position up to which each shard is compared, as it last published it."""
        topic = self.names.progress
        shards = range(topic.partitions)
        found = await compared(self.log, self.codec, topic.name, shards)
        return [found.get(shard, Watermark()) for shard in shards]

    async def stripes_ends(self) -> dict[int, int]:
        """By partition, the end of the stripes topic."""
        topic = self.names.stripes
        return {
            partition: (await self.log.bounds(topic.name, partition))[1]
            for partition in range(topic.partitions)
        }

    async def summed(self) -> dict[int, int]:
        """By partition, the offset before which stripes are reconciled and in published balances.

        The balances agent's committed offsets: they may be behind, and never ahead, because they
        are committed after the balances were published.
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


class TopicReading:
    """One topic, each time read on from where it was last read to.

    `whole`: it must begin with its first record; otherwise deleted records are passed over.
    """

    def __init__(self, sources: Sources, topic: Topic, *, whole: bool = True) -> None:
        self._sources, self._topic, self._whole = sources, topic, whole
        self._positions = dict.fromkeys(range(topic.partitions), 0)

    async def records(self) -> AsyncIterator[list[ConsumerRecord]]:
        """What is new up to the present end, as it was fetched."""
        for partition, known in self._positions.items():
            position = known
            if not self._whole:
                first, _ = await self._sources.log.bounds(self._topic.name, partition)
                position = max(first, known)
            async for records in self._sources.log.read(self._topic.name, partition, position):
                self._positions[partition] = records[-1].offset + 1
                yield records

    async def rows(self) -> AsyncIterator[tuple[ConsumerRecord, Any]]:
        """What is new up to the present end, decoded; None for a record without a value."""
        async for records in self.records():
            for each in self._sources.rows(self._topic, records):
                yield each


class ReferenceReading:
    """The reference topic; `records` grows with each `read`."""

    def __init__(self, sources: Sources) -> None:
        self._codec = sources.codec
        # Deleted records are passed over: the digests of the runs show that they are missing.
        self._topic = TopicReading(sources, sources.names.reference, whole=False)
        self.records: list[ReferenceRecord] = []

    async def read(self) -> None:
        """Read on to the present end."""
        async for records in self._topic.records():
            self.records += map(self._decoded, records)

    def _decoded(self, record: ConsumerRecord) -> ReferenceRecord:
        try:
            row = self._codec.decode("Reference", record.value or b"")
        except (ValueError, InvariantBroken):
            # Every reader ignores it, but the digest covers it.
            row = None
        return ReferenceRecord(record.offset, record.key, record.value, row)


class PublicTopics:
    """The balances, stripes and breaks topics as far as they are read."""

    def __init__(self, sources: Sources) -> None:
        names = sources.names
        # A missing balance is a break of its own.
        self._balances = TopicReading(sources, names.balances, whole=False)
        self._stripes = TopicReading(sources, names.stripes)
        self._breaks = TopicReading(sources, names.breaks)
        self.balances: Balances = {}
        self.accounts: StripedAccounts = {}
        self.breaks = OpenBreaks()

    async def read_balances(self) -> None:
        """Read on to the present end."""
        async for record, row in self._balances.rows():
            if row is None:
                forget_balance(self.balances, record.key or b"")
            else:
                take_balance(self.balances, row)

    async def read_stripes(self) -> None:
        """Read on to the present end."""
        async for record, row in self._stripes.rows():
            if row is not None:
                take_stripe(self.accounts, record.partition, record.offset, record.key or b"", row)

    async def read_breaks(self) -> None:
        """Read on to the present end."""
        async for _, row in self._breaks.rows():
            if row is not None:
                self.breaks.take(row)

    def scale_of(self, stripe: Stripe) -> int:
        """The account's decimals; 0 if neither stripes nor balances have it."""
        account, balance = self.accounts.get(stripe), self.balances.get(stripe)
        return account.scale if account else balance["scale"] if balance else 0


class OrderedRecords:
    """One partition's records in order, taken up to one offset after another."""

    def __init__(self, lists: AsyncIterator[list[ConsumerRecord]]) -> None:
        self._lists = lists
        self._held: list[ConsumerRecord] = []

    async def below(self, end: int) -> list[ConsumerRecord]:
        """The next records at offsets before `end`."""
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


class LogDecoder:
    """Decodes the records that decisions are about."""

    def __init__(self, reader: TransactionReader) -> None:
        self._reader = reader
        self._reader.max_bytes = ANY_SIZE
        self._asked: set[bytes] = set()

    async def of(
        self, records: list[ConsumerRecord], refused: set[int], largest: int
    ) -> list[LogRecord]:
        """Each record, decoded; refused ones only up to `largest` bytes.

        Raises Unavailable for the registry.
        """
        await self._reader.prepare(self._to_ask(records, refused))
        return [
            self._record(record, largest if record.offset in refused else ANY_SIZE)
            for record in records
        ]

    def _to_ask(self, records: list[ConsumerRecord], refused: set[int]) -> Iterator[bytes | None]:
        """Values whose schemas to look up: a schema of refused records only once.

        Otherwise made-up schemas would be asked for again in every run, 0.1 s each.
        """
        for record in records:
            if record.offset not in refused:
                yield record.value
                continue
            asked = (record.value or b"")[: HEADER.size]
            if asked.startswith(b"\0") and asked not in self._asked:
                self._asked.add(asked)
                yield record.value

    def _record(self, record: ConsumerRecord, largest: int) -> LogRecord:
        value = record.value
        draft: Any = None
        code = Reason.TOO_LARGE.value
        if value is None or len(value) <= largest:
            draft, code = self._reader.decode(value), ""
            if isinstance(draft, Refused):
                draft, code = draft.sentence, draft.reason.value
        return LogRecord(record.offset, record.timestamp * 1_000, record.key, value, draft, code)

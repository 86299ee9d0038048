"""Looks for one transaction in Kafka: decided and not posted yet, refused, repeated, or waiting.

An id does not give its shard, so that the shards are searched one like the other, unless the
ordering key is known. A topic is searched from its end back, as far as asked: what was looked at is
part of the answer. Records are decoded only where the id's bytes are in them.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.outcomes import last_progress
from ledger.client.partitions import ledger_partitions
from ledger.client.records import Records
from ledger.domain.refusal import Refused
from ledger.domain.run import Refusal, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.errors import LedgerError
from ledger.gl.posting import posted_transactions
from ledger.gl.rows import PostedTransaction
from ledger.settings import Settings
from ledger.streaming.decisions import valid_runs
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics
from ledger.streaming.transactions import TransactionReader

Place = tuple[int, int]
"""A shard, and an offset of its transactions."""


class Looked(NamedTuple):
    """Offsets [start, end) of a topic's partition, which were searched.

    `first`: the first one that Kafka still has.
    """

    topic: str
    shard: int
    start: int
    end: int
    first: int


class Decided(NamedTuple):
    """A transaction that the decision log has as accepted; `decided_at` in microseconds."""

    transaction: PostedTransaction
    decisions_offset: int
    decided_at: int


class RefusedRecord(NamedTuple):
    """A record that was refused; `recorded_at` in microseconds.

    `by_key`: its id could not be read, and its key is the id that was looked for.
    """

    shard: int
    offset: int
    recorded_at: int
    code: str
    field: str
    reason: str
    by_key: bool = False


class LoggedRecord(NamedTuple):
    """A record of the log with the id; `recorded_at`: the log's time in microseconds."""

    shard: int
    offset: int
    recorded_at: int


@dataclass(slots=True)
class LogFindings:
    """What was found, and where was looked.

    `decided_to`, `compared_to`: by shard, the position up to which it is. `decided_at`: by decision
    offset asked for, microseconds. `compared_at`: when the shard was compared beyond a transaction,
    as far as that was seen. `unknown`: sentences about what could not be looked at.
    """

    decided: list[Decided] = field(default_factory=list)
    refused: dict[Place, RefusedRecord] = field(default_factory=dict)
    records: list[LoggedRecord] = field(default_factory=list)
    decided_to: dict[int, int] = field(default_factory=dict)
    compared_to: dict[int, int] = field(default_factory=dict)
    decided_at: dict[Place, int] = field(default_factory=dict)
    compared_at: dict[Place, int] = field(default_factory=dict)
    looked: list[Looked] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


async def search_log(
    settings: Settings,
    transaction_id: str,
    *,
    shards: Collection[int] | None,
    posted: Mapping[int, Watermark],
    runs: Iterable[Place] = (),
    back: int,
) -> LogFindings:
    """Search these shards (None: all) for records with the id.

    `posted`: by shard, how far the general ledger has it; empty if it cannot be asked. `runs`:
    shards and decision offsets whose time is wanted. `back`: records of each shard, refused ones
    and those of the log, that are looked at from the end back.

    Raises LedgerError when Kafka or the registry does not answer.
    """
    names = topics(settings)
    count = (await ledger_partitions(settings, names.decisions.name))[names.decisions.name]
    records = await Records.of(settings, "Decision", "Progress", "Reject")
    async with Reader(settings) as reader:
        search = _Search(settings, reader, records, transaction_id, back)
        wanted = range(count) if shards is None else sorted(shards)
        progress = await last_progress(reader, records, names.progress.name, count)
        search.found.compared_to = {each: progress[each].watermark.end for each in wanted}
        marks = {each: posted.get(each, progress[each].watermark) for each in wanted}
        await search.attempt(search.decisions(marks))
        await search.attempt(search.rejects(wanted))
        await search.attempt(search.transactions(wanted))
        await search.attempt(search.times(runs))
    return search.found


class _Search:
    def __init__(
        self, settings: Settings, reader: Reader, records: Records, name: str, back: int
    ) -> None:
        self._settings, self._names = settings, topics(settings)
        self._reader, self._records = reader, records
        self._name, self._bytes, self._back = name, name.encode("utf-8", "surrogatepass"), back
        self.found = LogFindings()

    async def attempt(self, look: Any) -> None:
        """Await a look; what fails is a sentence of the answer."""
        try:
            await look
        except LedgerError as error:
            self.found.unknown.append(str(error))

    async def decisions(self, marks: dict[int, Watermark]) -> None:
        """The runs after `marks`."""
        starts = {shard: mark.decisions_offset for shard, mark in marks.items()}
        self.found.decided_to = {shard: mark.end for shard, mark in marks.items()}
        async for record in self._read(self._names.decisions.name, starts):
            shard = record.partition
            for run in valid_runs(self._records.codec, [record], marks[shard]):
                marks[shard] = run.after
                self.found.decided_to[shard] = run.after.end
                self._take_run(shard, run, record.timestamp * 1_000)

    def _take_run(self, shard: int, run: ValidRun, at: int) -> None:
        decision = run.decision
        if self._bytes in decision.content:
            offsets = [
                offset
                for offset, name in zip(
                    run.content.offsets, run.content.transaction_ids, strict=True
                )
                if name == self._name
            ]
            part = run.content.part(set(offsets))
            for each in posted_transactions(shard, part) if offsets else ():
                self.found.decided.append(Decided(each, run.decisions_offset, at))
        if self._bytes in decision.outcomes:
            for refusal in run.outcomes.refused:
                self._take_refusal(shard, refusal)

    def _take_refusal(self, shard: int, refusal: Refusal) -> None:
        by_key = refusal.transaction_id is None and refusal.key == self._bytes
        if refusal.transaction_id == self._name or by_key:
            self.found.refused[shard, refusal.offset] = RefusedRecord(
                shard, refusal.offset, refusal.recorded_at, refusal.code, refusal.field,
                refusal.reason, by_key,
            )  # fmt: skip

    async def rejects(self, shards: Iterable[int]) -> None:
        """The newest refused records."""
        async for record in self._read(self._names.rejects.name, dict.fromkeys(shards)):
            if self._bytes in (record.value or b""):
                for _, row in await self._records.decode("Reject", [record]):
                    fields = {name: row[name] for name in Refusal._fields}
                    self._take_refusal(row["shard"], Refusal(**fields))

    async def transactions(self, shards: Iterable[int]) -> None:
        """The newest records of the log."""
        reader = TransactionReader.of(self._settings)
        topic = self._names.transactions.name
        async for record in self._read(topic, dict.fromkeys(shards)):
            if self._bytes in (record.value or b""):
                await reader.prepare([record.value])
                draft = reader.decode(record.value)
                if not isinstance(draft, Refused) and draft["transaction_id"] == self._name:
                    at = record.timestamp * 1_000
                    self.found.records.append(LoggedRecord(record.partition, record.offset, at))

    async def times(self, runs: Iterable[Place]) -> None:
        """When these decisions were appended, by the log."""
        topic = self._names.decisions.name
        for shard, offset in runs:
            partition = TopicPartition(topic, shard)
            async for records in self._reader.between({partition: offset}, {partition: offset + 1}):
                self.found.decided_at[shard, offset] = records[0].timestamp * 1_000

    async def _read(
        self, topic: str, starts: Mapping[int, int | None]
    ) -> AsyncIterator[ConsumerRecord]:
        """Each partition from its start, or for None the newest `back` records, to its end."""
        partitions = {TopicPartition(topic, shard): start for shard, start in starts.items()}
        bounds = await self._reader.bounds(partitions)
        begin = {
            tp: max(bounds[tp][0], bounds[tp][1] - self._back) if start is None else start
            for tp, start in partitions.items()
        }
        ends = {tp: end for tp, (_, end) in bounds.items()}
        async for records in self._reader.between(begin, ends):
            for record in records:
                yield record
        self.found.looked += [
            Looked(topic, tp.partition, begin[tp], bounds[tp][1], bounds[tp][0]) for tp in begin
        ]

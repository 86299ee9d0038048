"""What is decided of an account and not in an answer yet, and on what each of it waits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.partitions import ledger_partitions
from ledger.client.records import Records
from ledger.domain.run import Content, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.settings import Settings
from ledger.streaming.decisions import valid_runs
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics

MOST_RUNS = 2_000
"""Runs of a shard that are looked through."""


class PendingEntry(NamedTuple):
    """An entry that is decided; `change` -1 where a void takes it back. Times in microseconds."""

    shard: int
    offset: int
    transaction_id: str
    kind: str
    currency: str
    scale: int
    amount: int
    change: int
    recorded_at: int
    decided_at: int


@dataclass(slots=True)
class ShardProgress:
    """How far a shard is decided and compared; `compared_at`: the time of that record, or None.

    `pending`: entries of the account between the answer and `decided_to`; `is_whole`: all of them.
    """

    compared: Watermark = field(default_factory=Watermark)
    compared_at: int | None = None
    decided_to: int = 0
    pending: list[PendingEntry] = field(default_factory=list)
    is_whole: bool = True


async def progress_of(
    settings: Settings, account: str, counted: Mapping[int, Watermark]
) -> dict[int, ShardProgress]:
    """Each shard's progress; `counted`: what the answer counts of it.

    Raises LedgerError when Kafka or the registry does not answer.
    """
    names = topics(settings)
    shards = (await ledger_partitions(settings, names.decisions.name))[names.decisions.name]
    records = await Records.of(settings, "Decision", "Progress")
    found = {shard: ShardProgress() for shard in range(shards)}
    async with Reader(settings) as reader:
        await _add_compared(reader, records, names.progress.name, found)
        await _add_decided(reader, records, names.decisions.name, account, counted, found)
    return found


async def _add_compared(
    reader: Reader, records: Records, topic: str, found: Mapping[int, ShardProgress]
) -> None:
    bounds = await reader.bounds([TopicPartition(topic, shard) for shard in found])
    last = {tp: max(first, end - 1) for tp, (first, end) in bounds.items()}
    async for fetched in reader.between(last, {tp: end for tp, (_, end) in bounds.items()}):
        for record, row in await records.decode("Progress", fetched):
            each = found[row["shard"]]
            each.compared = Watermark.of_progress(row)
            each.compared_at = record.timestamp * 1_000


async def _add_decided(
    reader: Reader,
    records: Records,
    topic: str,
    account: str,
    counted: Mapping[int, Watermark],
    found: Mapping[int, ShardProgress],
) -> None:
    marks = {shard: counted.get(shard, Watermark()) for shard in found}
    bounds = await reader.bounds([TopicPartition(topic, shard) for shard in found])
    starts = {tp: marks[tp.partition].decisions_offset for tp in bounds}
    ends = {tp: min(end, starts[tp] + MOST_RUNS) for tp, (_, end) in bounds.items()}
    for tp, (_, end) in bounds.items():
        found[tp.partition].is_whole = ends[tp] >= end
        found[tp.partition].decided_to = marks[tp.partition].end
    async for fetched in reader.between(starts, ends):
        for record in fetched:
            shard = record.partition
            for run in valid_runs(records.codec, [record], marks[shard]):
                marks[shard] = run.after
                found[shard].decided_to = run.after.end
                found[shard].pending += _entries(shard, run, record, account)


def _entries(
    shard: int, run: ValidRun, record: ConsumerRecord, account: str
) -> Iterator[PendingEntry]:
    at = record.timestamp * 1_000
    if account in run.content.accounts:
        yield from _legs(shard, run.content, account, at)
    for voided in run.voided:
        for each in _legs(shard, voided.transaction, account, at):
            yield each._replace(offset=voided.offset, change=-1, recorded_at=voided.recorded_at)


def _legs(shard: int, content: Content, account: str, at: int) -> Iterator[PendingEntry]:
    scales = dict(zip(content.currencies, content.scales, strict=True))
    columns = (content.offsets, content.transaction_ids, content.kinds, content.recorded_at)
    for (offset, name, kind, recorded_at), legs in zip(
        zip(*columns, strict=True), content.legs(), strict=True
    ):
        for leg, currency, amount in legs:
            if leg == account:
                yield PendingEntry(
                    shard,
                    offset,
                    name,
                    kind,
                    currency,
                    scales[currency],
                    amount,
                    1,
                    recorded_at,
                    at,
                )

"""Save a copy of the reference data, and restore every record unchanged with its offset.

Runs of the decision log name a position in the topic and a digest of the offsets, keys and values
before it, so a restored topic counts only if it has all of them again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from ledger.client.copy_file import CopiedRecord, digests_of, older_copy, read_copy, write_copy
from ledger.client.outcomes import last_progress
from ledger.client.partitions import ledger_partitions
from ledger.client.records import Records
from ledger.domain.portions import portions
from ledger.domain.run import Decision, Watermark
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.decisions import decision_in, valid_runs
from ledger.streaming.log import PORTION, SMALL_BATCH_BYTES, Log
from ledger.streaming.reader import Reader
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics

RUNBOOK = "docs/runbooks/reference-lost.md"
REQUEST_BYTES = 2 * 1024 * 1024


class Named(NamedTuple):
    """The records that a shard's last run was decided with: those before `offset`; their digest."""

    offset: int
    digest: bytes


class Saved(NamedTuple):
    """A written copy. `hole`: an offset without a record, so the copy cannot be restored."""

    records: int
    digest: bytes
    hole: int | None
    shards: int


class Restored(NamedTuple):
    """The topic has `records`, `written` of them now; `shards` were decided with them."""

    records: int
    written: int
    digest: bytes
    shards: int


async def save_copy(settings: Settings, file: Path) -> Saved:
    """Write the whole topic to `file`, and replace an older copy of the same topic.

    Raises LedgerError, and leaves `file` as it was, if the topic contradicts the shards' runs or
    the older copy.
    """
    name = topics(settings).reference.name
    # In this order: the topic already had what a run names.
    named = await named_by_shards(settings)
    found, _ = await _in_topic(settings, name)
    if not found:
        raise LedgerError(
            f"{name} has no records, so there is nothing to copy. If it was lost: {RUNBOOK}"
        )
    wrong = contradicting_shards(found, named)
    if wrong:
        raise LedgerError(f"{name} was not copied, because runs contradict it: {_summary(wrong)}")
    if not _begins_with(found, older_copy(file, name)):
        raise LedgerError(
            f"{file} has other records than {name} now: the topic was recreated, or the copy is "
            f"another ledger's. The file is unchanged; give another file, or see {RUNBOOK}"
        )
    write_copy(file, name, found)
    return Saved(len(found), digests_of(found)[-1], hole_in(found), len(named))


async def restore_copy(settings: Settings, file: Path) -> Restored:
    """Append the copy to the empty topic, so that each record has its offset again.

    It continues an interrupted attempt. Raises LedgerError, with nothing written, if the topic has
    other records, or if the copy contradicts the shards' runs.
    """
    name = topics(settings).reference.name
    kept = read_copy(file, name)
    if (hole := hole_in(kept)) is not None:
        raise LedgerError(
            f"{file} has no record at offset {hole}, which was compacted away or was a marker of a "
            "Kafka transaction. Kafka numbers records without gaps, so later records could not get "
            f"their offsets again. Only the brokers' disks can restore the topic: {RUNBOOK}"
        )
    named = await named_by_shards(settings)
    if wrong := contradicting_shards(kept, named):
        raise LedgerError(
            f"{file} is not what runs were decided with: {_summary(wrong)} Nothing was written."
        )
    there, end = await _in_topic(settings, name)
    if end != len(there) or not _begins_with(kept, there):
        raise LedgerError(
            f"{name} is not empty: it goes up to {end}, with {len(there)} records that are not the "
            "copy's. Nothing was written. Delete and recreate the topic (`faust-ledger topics "
            f"create`, not `up`, which writes a first policy); see {RUNBOOK}"
        )
    await _append(settings, name, kept[len(there) :])
    again, _ = await _in_topic(settings, name)
    wrong = contradicting_shards(again, named)
    if wrong or not _begins_with(again, kept):
        raise LedgerError(
            f"{name} does not have what was written to it: another program wrote to it at the same "
            f"time. Delete and recreate it, and restore again. {_summary(wrong)}"
        )
    return Restored(len(kept), len(kept) - len(there), digests_of(again)[-1], len(named))


def hole_in(records: Sequence[CopiedRecord]) -> int | None:
    """The first offset that has no record although a later one has one."""
    return next((at for at, each in enumerate(records) if each.offset != at), None)


def contradicting_shards(records: Sequence[CopiedRecord], named: Mapping[int, Named]) -> list[str]:
    """A sentence for each shard that was decided with other records than `records`."""
    ends = [0, *(each.offset + 1 for each in records)]
    end, digests = ends[-1], dict(zip(ends, digests_of(records), strict=True))
    found = []
    for shard, (offset, digest) in sorted(named.items()):
        if offset > end:
            found.append(
                f"shard {shard} was decided with the records before {offset}, and it ends at {end}."
            )
        # Versions before 0.2 wrote runs without a digest.
        elif digest and digests.get(offset) != digest:
            found.append(f"shard {shard} was decided with other records before {offset}.")
    return found


def _summary(wrong: Sequence[str]) -> str:
    rest = f" {len(wrong) - 1} more shards contradict it." if len(wrong) > 1 else ""
    return f"{wrong[0]}{rest} See {RUNBOOK}." if wrong else ""


def _begins_with(records: Sequence[CopiedRecord], first: Sequence[CopiedRecord]) -> bool:
    """Whether `first` are the first of `records`, whatever their timestamps."""
    pairs = zip(records, first, strict=False)
    return len(first) <= len(records) and all(
        (one.offset, one.key, one.value) == (other.offset, other.key, other.value)
        for one, other in pairs
    )


async def named_by_shards(settings: Settings) -> dict[int, Named]:
    """By shard, what its last valid run was decided with; without shards that have no run."""
    names = topics(settings)
    counts = await ledger_partitions(settings, names.decisions.name)
    records = await Records.of(settings, "Decision", "Progress")
    shards = range(counts[names.decisions.name])
    async with Reader(settings) as reader:
        progress = await last_progress(reader, records, names.progress.name, len(shards))
        marks = [each.watermark for each in progress]
        bounds = await reader.bounds(
            [TopicPartition(names.decisions.name, each) for each in shards]
        )
        # From the last run that is compared: it is valid, and usually the last one.
        starts = {
            tp: min(max(first, marks[tp.partition].decisions_offset - 1), end)
            for tp, (first, end) in bounds.items()
        }
        found: dict[int, Named] = {}
        ends = {tp: end for tp, (_, end) in bounds.items()}
        async for fetched in reader.between(starts, ends):
            for record in fetched:
                _take(found, marks, records.codec, record)
    return found


def _take(
    found: dict[int, Named], marks: list[Watermark], codec: Codec, record: ConsumerRecord
) -> None:
    shard = record.partition
    if record.offset < marks[shard].decisions_offset:
        decision = decision_in(codec, record)
        if decision is not None and decision.digest == marks[shard].digest:
            found[shard] = _named(decision)
        return
    for run in valid_runs(codec, [record], marks[shard]):
        marks[shard], found[shard] = run.after, _named(run.decision)


def _named(decision: Decision) -> Named:
    return Named(decision.reference_offset, decision.reference_digest)


async def _in_topic(settings: Settings, name: str) -> tuple[list[CopiedRecord], int]:
    """Every record, and the next offset. Raises LedgerError if the first ones were deleted."""
    log = Log(settings)
    try:
        first, end = await log.bounds(name, 0)
        if first:
            raise LedgerError(
                f"{name} begins at {first}: earlier records were deleted, so it can neither be "
                f"copied nor restored. Nothing was changed; see {RUNBOOK}"
            )
        found = [
            CopiedRecord(each.offset, each.timestamp, each.key, each.value)
            async for records in log.read(name, 0, 0, end)
            for each in records
        ]
        return found, end
    finally:
        await log.close()


async def _append(settings: Settings, name: str, records: Sequence[CopiedRecord]) -> None:
    if not records:
        return
    producer = AIOKafkaProducer(
        **connection.kafka(settings), acks="all", enable_idempotence=True,
        max_batch_size=REQUEST_BYTES, max_request_size=REQUEST_BYTES,
    )  # fmt: skip
    try:
        await producer.start()
        for some in portions(records, count=PORTION, size=SMALL_BATCH_BYTES, weight=_bytes):
            batch = producer.create_batch()
            for each in some:
                given = batch.append(key=each.key, value=each.value, timestamp=each.timestamp)
                assert given is not None, "a producer's batch is larger than these"
            sent = await producer.send_batch(batch, name, partition=0)
            if (offset := (await sent).offset) != some[0].offset:
                raise LedgerError(
                    f"The record of offset {some[0].offset} got {offset}: another program writes "
                    f"to {name}. Stop it, delete and recreate the topic, and restore again."
                )
    except TopicAuthorizationFailedError as error:
        raise LedgerError(
            f"User {settings.kafka_user} may not write to {name}: the role finance may."
        ) from error
    except (KafkaError, OSError) as error:
        raise Unavailable(
            f"Kafka at {settings.bootstrap_servers}: {error!r}. Restore again: it continues from "
            "the records that are in the topic."
        ) from error
    finally:
        await producer.stop()


def _bytes(record: CopiedRecord) -> int:
    return len(record.key or b"") + len(record.value or b"")

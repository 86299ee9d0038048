"""A copy of the reference data that can be written back: every record with its offset, to the byte.

Runs of the decision log name a position in the topic and a digest of offsets, keys and values
before that, so what is restored counts only if it has them all again.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from ledger.client.kept_file import Kept, digest_of, older_copy, read_copy, write_copy
from ledger.client.outcomes import standing
from ledger.client.reading import ledger_partitions
from ledger.client.records import Records
from ledger.domain.reference import NO_RECORDS, digest_after
from ledger.domain.run import Decision, Watermark
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.decisions import decision_in, valid_runs
from ledger.streaming.log import PORTION, Log
from ledger.streaming.reader import Reader
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics

PAGE = "docs/runbooks/reference-lost.md"
BATCH_BYTES = 256 * 1024
REQUEST_BYTES = 2 * 1024 * 1024


class Named(NamedTuple):
    """What a shard's last run was decided with: the records before `offset`, and their digest."""

    offset: int
    digest: bytes


class Saved(NamedTuple):
    """A copy that was written. `hole`: an offset that no record has, so it cannot be restored."""

    records: int
    digest: bytes
    hole: int | None
    shards: int


class Restored(NamedTuple):
    """`records` are in the topic, `written` of them just now; `shards` name what they are."""

    records: int
    written: int
    digest: bytes
    shards: int


async def save(settings: Settings, file: Path) -> Saved:
    """Write the whole topic to `file`, in the place of an older copy of the same.

    Raises LedgerError, with `file` as it was, where the topic is not what shards were decided with,
    or not what an older copy has.
    """
    name = topics(settings).reference.name
    # In this order: what a run names was in the topic before.
    named = await named_by_shards(settings)
    found, _ = await _in_topic(settings, name)
    if not found:
        raise LedgerError(
            f"{name} has no records, so there is nothing to keep. If it was lost: {PAGE}"
        )
    wrong = contradictions(found, named)
    if wrong:
        raise LedgerError(f"{name} is not what was decided with, and is not kept: {_said(wrong)}")
    if not _begins_with(found, older_copy(file, name)):
        raise LedgerError(
            f"{file} has other records than {name} now: the topic was made anew, or the copy is "
            f"another ledger's. It was left as it is; give another file, or see {PAGE}"
        )
    write_copy(file, name, found)
    return Saved(len(found), digest_of(found), hole_in(found), len(named))


async def restore(settings: Settings, file: Path) -> Restored:
    """Append the copy to the topic, which is empty, so that each record has its offset again.

    Also goes on where an earlier attempt was interrupted. Raises LedgerError, with nothing
    written, where that cannot be, or where the copy is not what shards were decided with.
    """
    name = topics(settings).reference.name
    kept = read_copy(file, name)
    if (hole := hole_in(kept)) is not None:
        raise LedgerError(
            f"{file} has no record at offset {hole}, which was compacted away or was a mark of a "
            "Kafka transaction. Kafka numbers what is appended without a gap, so what comes after "
            f"could not get its offset again. Only the brokers' own disks can bring it back: {PAGE}"
        )
    named = await named_by_shards(settings)
    if wrong := contradictions(kept, named):
        raise LedgerError(
            f"{file} is not what was decided with: {_said(wrong)} Nothing was written."
        )
    there, end = await _in_topic(settings, name)
    if end != len(there) or not _begins_with(kept, there):
        raise LedgerError(
            f"{name} is not empty: it goes up to {end}, with {len(there)} records that are not the "
            "copy's. Nothing was written. Have the topic deleted and made anew (`faust-ledger "
            f"topics create`, not `up`, which writes a first policy); see {PAGE}"
        )
    await _append(settings, name, kept[len(there) :])
    again, _ = await _in_topic(settings, name)
    wrong = contradictions(again, named)
    if wrong or not _begins_with(again, kept):
        raise LedgerError(
            f"{name} does not have what was written to it: somebody else wrote to it at the same "
            f"time. Have it deleted and made anew, and restore again. {_said(wrong)}"
        )
    return Restored(len(kept), len(kept) - len(there), digest_of(again), len(named))


def hole_in(records: Sequence[Kept]) -> int | None:
    """The first offset that should have a record and has none."""
    return next((at for at, each in enumerate(records) if each.offset != at), None)


def contradictions(records: Sequence[Kept], named: Mapping[int, Named]) -> list[str]:
    """What shards were decided with and `records` are not, a sentence each."""
    end = records[-1].offset + 1 if records else 0
    digests, so_far = {0: NO_RECORDS}, NO_RECORDS
    for each in records:
        so_far = digest_after(so_far, each.offset, each.key, each.value)
        digests[each.offset + 1] = so_far
    found = []
    for shard, (offset, digest) in sorted(named.items()):
        if offset > end:
            found.append(
                f"shard {shard} was decided with the records before {offset}, and it ends at {end}."
            )
        # Runs of versions before 0.2 name no digest.
        elif digest and digests.get(offset) != digest:
            found.append(f"shard {shard} was decided with other records before {offset}.")
    return found


def _said(wrong: Sequence[str]) -> str:
    rest = f" So are {len(wrong) - 1} more." if len(wrong) > 1 else ""
    return f"{wrong[0]}{rest} See {PAGE}." if wrong else ""


def _begins_with(records: Sequence[Kept], first: Sequence[Kept]) -> bool:
    """Whether `first` are the first of `records`, whenever they were appended."""
    pairs = zip(records, first, strict=False)
    return len(first) <= len(records) and all(
        (one.offset, one.key, one.value) == (other.offset, other.key, other.value)
        for one, other in pairs
    )


async def named_by_shards(settings: Settings) -> dict[int, Named]:
    """By shard, what its last valid run was decided with; those without a run are left out."""
    names = topics(settings)
    counts = await ledger_partitions(settings, names.decisions.name)
    records = await Records.of(settings, "Decision", "Progress")
    shards = range(counts[names.decisions.name])
    async with Reader(settings) as reader:
        stood = await standing(reader, records, names.progress.name, len(shards))
        marks = [each.watermark for each in stood]
        bounds = await reader.bounds(
            [TopicPartition(names.decisions.name, each) for each in shards]
        )
        # From the last run that is compared: it is valid, and mostly the last one.
        starts = {
            tp: min(max(first, marks[tp.partition].decisions_offset - 1), end)
            for tp, (first, end) in bounds.items()
        }
        reader.assign(starts)
        found: dict[int, Named] = {}
        async for fetched in reader.until({tp: end for tp, (_, end) in bounds.items()}):
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


async def _in_topic(settings: Settings, name: str) -> tuple[list[Kept], int]:
    """Every record, and the next offset. Raises LedgerError where the first ones were deleted."""
    log = Log(settings)
    try:
        first, end = await log.bounds(name, 0)
        if first:
            raise LedgerError(
                f"{name} begins at {first}: what came before was deleted, and no copy can be made "
                f"of it, nor anything be written back into it. Nothing was done; see {PAGE}"
            )
        found = [
            Kept(each.offset, each.timestamp, each.key, each.value)
            async for records in log.read(name, 0, 0, end)
            for each in records
        ]
        return found, end
    finally:
        await log.close()


async def _append(settings: Settings, name: str, records: Sequence[Kept]) -> None:
    if not records:
        return
    producer = AIOKafkaProducer(
        **connection.kafka(settings), acks="all", enable_idempotence=True,
        max_batch_size=REQUEST_BYTES, max_request_size=REQUEST_BYTES,
    )  # fmt: skip
    try:
        await producer.start()
        for some in _batches(records):
            batch = producer.create_batch()
            for each in some:
                given = batch.append(key=each.key, value=each.value, timestamp=each.timestamp)
                assert given is not None, "a batch takes more than what is cut for it"
            sent = await producer.send_batch(batch, name, partition=0)
            if (offset := (await sent).offset) != some[0].offset:
                raise LedgerError(
                    f"A record that was at {some[0].offset} came to {offset}: somebody else writes "
                    f"to {name}. Stop that, have it deleted and made anew, and restore again."
                )
    except TopicAuthorizationFailedError as error:
        raise LedgerError(
            f"User {settings.kafka_user} may not write to {name}: the role finance may."
        ) from error
    except (KafkaError, OSError) as error:
        raise Unavailable(
            f"Kafka at {settings.bootstrap_servers}: {error!r}. Restore again: it goes on from "
            "what is there."
        ) from error
    finally:
        await producer.stop()


def _batches(records: Sequence[Kept]) -> Iterable[list[Kept]]:
    some: list[Kept] = []
    size = 0
    for each in records:
        more = len(each.key or b"") + len(each.value or b"")
        if some and (size + more > BATCH_BYTES or len(some) == PORTION):
            yield some
            some, size = [], 0
        some.append(each)
        size += more
    if some:
        yield some

"""How far each shard is compared, by what reconciliation has said last on the progress topic."""

from collections.abc import Iterable, Sequence

from aiokafka import ConsumerRecord

from ledger.domain.run import Watermark
from ledger.streaming.log import Log, log_dropped
from ledger.streaming.registry import Codec

LOOKED_BACK = 16
"""Records looked through at first, where the last one is none of ours; then ever more."""


async def compared(
    log_: Log, codec: Codec, topic: str, shards: Iterable[int]
) -> dict[int, Watermark]:
    """By shard; those of which nothing was said yet are left out."""
    found = {}
    for record in await log_.last_of(topic, shards):
        mark = last_published(codec, [record])
        if mark is None:
            mark = await _further_back(log_, codec, record)
        if mark is not None:
            found[record.partition] = mark
    return found


def last_published(codec: Codec, records: Sequence[ConsumerRecord]) -> Watermark | None:
    """What the last of `records` that is one of ours says of its partition's shard."""
    for record in reversed(records):
        try:
            row = codec.decode("Progress", record.value or b"")
            if row["shard"] == record.partition:
                return Watermark.of_progress(row)
            why = f"it speaks of shard {row['shard']}"
        except ValueError as error:
            why = str(error)
        log_dropped(record, why)
    return None


async def _further_back(log_: Log, codec: Codec, last: ConsumerRecord) -> Watermark | None:
    topic, shard, end, count = last.topic, last.partition, last.offset, LOOKED_BACK
    first, _ = await log_.bounds(topic, shard)
    while end > first:
        start = max(first, end - count)
        found = [
            mark
            async for records in log_.read(topic, shard, start, end)
            if (mark := last_published(codec, records)) is not None
        ]
        if found:
            return found[-1]
        end, count = start, 4 * count
    return None

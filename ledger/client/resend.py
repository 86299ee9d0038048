"""Refused records sent again, byte for byte: after what was wrong with them has been put right."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ledger.client.appender import RECORD_BYTES, Lane, Receipt
from ledger.client.reading import ledger_partitions
from ledger.domain.partition import partition_of
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.topics import topics


class Original(NamedTuple):
    """Key and value as a producer wrote them."""

    key: bytes
    value: bytes


def originals(rows: Iterable[dict[str, object]]) -> list[Original]:
    """Of Reject rows, each distinct record once, in order.

    Without those that nothing can make acceptable: no key, no value, or cut at the topic's limit.
    So what was sent again and refused again does not double what the next attempt sends.
    """
    found: dict[Original, None] = {}
    for row in rows:
        key, value = row["key"], row["value"]
        if not (isinstance(key, bytes) and isinstance(value, bytes) and key):
            continue
        if len(key) + len(value) <= RECORD_BYTES:
            found[Original(key, value)] = None
    return list(found)


async def resend(
    settings: Settings,
    records: Iterable[Original],
    on_receipt: Callable[[Receipt], None],
    *,
    seconds: float | None,
) -> int:
    """Append each to the partition of its key; returns how many. Raises PublishFailed."""
    topic = topics(settings).transactions.name
    shards = (await ledger_partitions(settings, topic))[topic]
    log = Log(settings)
    try:
        lanes = [Lane(log, topic, shard, timeout=seconds) for shard in range(shards)]
        waiting = [
            await lanes[partition_of(each.key, shards)].put(each.key, each.value)
            for each in records
        ]
        for future in waiting:
            on_receipt(await future)
        return len(waiting)
    finally:
        await log.close()

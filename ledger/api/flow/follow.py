"""Follows partitions of one topic, each from its offset, by a connection of its own.

One reader for several topics would have a record wait for a fetch of all of them to return.
"""

from collections.abc import Awaitable, Callable

from aiokafka import ConsumerRecord, TopicPartition

from ledger.settings import Settings
from ledger.streaming.reader import Reader

FETCH_WAIT_MS = 100
"""How long a broker holds a fetch that finds nothing, and so how long a partition that was just
read may wait, if nothing comes in the others."""

Take = Callable[[int, list[ConsumerRecord]], Awaitable[None]]
"""Takes records of one partition, in order."""


async def follow(settings: Settings, starts: dict[TopicPartition, int], take: Take) -> None:
    """Pass what comes to `take`, without end; `starts` moves with it, for the next call.

    Raises LedgerError as Reader does.
    """
    async with Reader(settings, fetch_wait_ms=FETCH_WAIT_MS) as reader:
        reader.assign(starts)
        while True:
            for tp, records in (await reader.lists()).items():
                await take(tp.partition, records)
                starts[tp] = records[-1].offset + 1

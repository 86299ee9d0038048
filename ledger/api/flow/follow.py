"""Follows partitions of several topics with one reader, each from its offset."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiokafka import ConsumerRecord, TopicPartition

from ledger.settings import Settings
from ledger.streaming.log import FOLLOW_WAIT_MS
from ledger.streaming.reader import Reader

GATHER_SECONDS = 0.004
"""Between two fetches: what comes meanwhile is taken together.

A fetch costs this process and the broker more than the records in it, and aiokafka sends the next
one only when the records of the last one were taken.
"""

Take = Callable[[int, list[ConsumerRecord]], Awaitable[None]]
"""Takes records of one partition, in order."""


async def follow(
    settings: Settings, starts: dict[TopicPartition, int], takes: Mapping[str, Take]
) -> None:
    """Pass what comes to its topic's `take`, without end.

    `starts` moves with it, for the next call. In each turn the topics are taken in the order of
    `takes`. Raises LedgerError as Reader does.
    """
    async with Reader(settings, fetch_wait_ms=FOLLOW_WAIT_MS) as reader:
        reader.assign(starts)
        while True:
            lists = await reader.lists()
            for topic, take in takes.items():
                for tp in [tp for tp in lists if tp.topic == topic]:
                    await take(tp.partition, lists[tp])
                    starts[tp] = lists[tp][-1].offset + 1
            if lists:
                await asyncio.sleep(GATHER_SECONDS)

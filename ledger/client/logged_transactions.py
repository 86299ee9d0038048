"""Transactions read from the log where they are, many at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition

from ledger.client.rejects import RejectReader
from ledger.domain.transaction import Draft
from ledger.settings import Settings
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics

GAP = 1_000
"""Records between two wanted ones that are read over: a fetch has about as many anyway."""


class LogPlace(NamedTuple):
    """Where a record is."""

    shard: int
    offset: int


class LoggedTransactions:
    """Reads the transactions' log. Raises LedgerError as `Reader` does."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._topic = settings, topics(settings).transactions.name
        self._decoding = RejectReader(settings)

    async def at(self, places: Iterable[LogPlace]) -> Mapping[LogPlace, Draft | None]:
        """By place the transaction, None where the record is none that can be decoded.

        Records that were deleted are left out.
        """
        wanted = set(places)
        found: dict[LogPlace, Draft | None] = {}
        if not wanted:
            return found
        async with Reader(self._settings) as reader:
            shards = {place.shard: TopicPartition(self._topic, place.shard) for place in wanted}
            bounds = await reader.bounds(shards.values())
            turns = {
                tp: spans([each.offset for each in wanted if each.shard == shard], *bounds[tp])
                for shard, tp in shards.items()
            }
            # One span of each shard at a time.
            while turn := {tp: span for tp, left in turns.items() if (span := next(left, None))}:
                starts = {tp: start for tp, (start, _) in turn.items()}
                ends = {tp: end for tp, (_, end) in turn.items()}
                async for records in reader.between(starts, ends):
                    for record in records:
                        place = LogPlace(record.partition, record.offset)
                        if place in wanted:
                            found[place] = await self._decoding.draft_in(record.value)
        return found


def spans(offsets: Sequence[int], first: int, end: int) -> Iterator[tuple[int, int]]:
    """Ranges [start, end) with all of the offsets that lie in [first, end), in their order."""
    held = sorted(each for each in offsets if first <= each < end)
    start = 0
    for number, offset in enumerate(held):
        following = held[number + 1] if number + 1 < len(held) else None
        if following is None or following - offset > GAP:
            yield held[start], offset + 1
            start = number + 1

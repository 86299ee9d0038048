"""Refused records of all shards in the order of their times, a page at a time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.partitions import partition_counts
from ledger.client.records import Records
from ledger.client.rejects import Rejected, RejectReader, Selection
from ledger.settings import Settings
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics

READ_AT_ONCE = 20_000
"""Records that are read for one page, whatever is asked for; a page may have fewer rows for it."""
BEFORE = 60_000
"""Milliseconds by which a record of the topic may seem older than what it tells of."""


class Place(NamedTuple):
    """Where a page begins in a shard: an offset of the topic, and what was shown last of its log.

    After a crash the topic may have a record twice.
    """

    offset: int
    shown: int = -1


class RejectPage(NamedTuple):
    """Rows in the order of their times, and where the next page begins; None at the end."""

    rows: list[Rejected]
    next: Mapping[int, Place] | None


@dataclass(slots=True)
class _ShardPage:
    """What was read of one shard, from `place` up to `until` of `end`."""

    place: Place
    until: int
    end: int
    limit: int
    found: list[tuple[int, Rejected]] = field(default_factory=list)
    read_to: int = 0
    shown: int = -1
    last: int = 0

    def __post_init__(self) -> None:
        self.read_to, self.shown = self.place

    @property
    def is_full(self) -> bool:
        return len(self.found) >= self.limit

    @property
    def complete_to(self) -> float:
        """The time up to which all of the shard's rows are among `found`."""
        return float("inf") if self.read_to >= self.end else self.last

    def next(self, rows: int) -> Place:
        """Where to go on when the first `rows` of those found were shown."""
        if rows == len(self.found):
            return Place(self.read_to, self.shown)
        offset, row = self.found[rows]
        return Place(offset, row.row["offset"] - 1)


class RejectPages:
    """Reads pages. Raises LedgerError as `Reader` does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = topics(settings).rejects.name
        self._transactions = RejectReader(settings)
        self._records: Records | None = None

    async def page(
        self, wanted: Selection, places: Mapping[int, Place] | None, limit: int
    ) -> RejectPage:
        """At most `limit` rows that `wanted` selects, from `places` on; None: from its start."""
        count = (await partition_counts(self._settings, self._topic))[self._topic]
        if self._records is None:
            # Kept: for a later page the registry may be away.
            self._records = await Records.of(self._settings, "Reject")
        async with Reader(self._settings) as reader:
            shards = await self._opened(reader, wanted, places, range(count), limit)
            tps = {shard: TopicPartition(self._topic, shard) for shard in shards}
            starts = {tps[shard]: each.read_to for shard, each in shards.items()}
            untils = {tps[shard]: each.until for shard, each in shards.items()}
            async for fetched in reader.between(starts, untils):
                await self._take(self._records, shards[fetched[0].partition], fetched, wanted)
        for each in shards.values():
            if not each.is_full:
                each.read_to = each.until
        return merged(shards, limit)

    async def _opened(
        self,
        reader: Reader,
        wanted: Selection,
        places: Mapping[int, Place] | None,
        shards: range,
        limit: int,
    ) -> dict[int, _ShardPage]:
        bounds = await reader.bounds(TopicPartition(self._topic, shard) for shard in shards)
        most, made = max(READ_AT_ONCE // len(shards), 1), {}
        for tp, (first, end) in bounds.items():
            place = (places or {}).get(tp.partition)
            if place is None:
                place = Place(await self._begin(reader, tp, wanted, first))
            start = min(max(place.offset, first), end)
            until = min(start + most, end)
            made[tp.partition] = _ShardPage(Place(start, place.shown), until, end, limit)
        return made

    async def _begin(
        self, reader: Reader, tp: TopicPartition, wanted: Selection, first: int
    ) -> int:
        if wanted.start is None:
            return first
        return await reader.offset_at(tp, wanted.start // 1_000 - BEFORE)

    async def _take(
        self, records: Records, shard: _ShardPage, fetched: list[ConsumerRecord], wanted: Selection
    ) -> None:
        for record, row in await records.decode("Reject", fetched):
            if shard.is_full:
                return
            shard.read_to, shard.last = record.offset + 1, max(shard.last, row["recorded_at"])
            if row["offset"] <= shard.shown:
                continue
            shard.shown = row["offset"]
            if wanted.has(row):
                draft = await self._transactions.draft_of(row)
                if wanted.has_content(draft):
                    shard.found.append((record.offset, Rejected(row, draft)))


def merged(shards: Mapping[int, _ShardPage], limit: int) -> RejectPage:
    """The first rows of all shards, as far as every shard's are known."""
    known_to = min((each.complete_to for each in shards.values()), default=float("inf"))
    rows = sorted(
        (
            (each.row["recorded_at"], number, place, each)
            for number, shard in shards.items()
            for place, each in shard.found
            if each.row["recorded_at"] <= known_to
        ),
        key=lambda row: row[:3],
    )[:limit]
    shown = _counted(number for _, number, _, _ in rows)
    places = {number: shard.next(shown.get(number, 0)) for number, shard in shards.items()}
    is_end = all(places[number].offset >= shard.end for number, shard in shards.items())
    return RejectPage([each for _, _, _, each in rows], None if is_end else places)


def _counted(numbers: Iterable[int]) -> dict[int, int]:
    found: dict[int, int] = {}
    for number in numbers:
        found[number] = found.get(number, 0) + 1
    return found


def shown_row(found: Rejected) -> dict[str, Any]:
    """A row's fields for JSON, without its bytes."""
    names = ("shard", "offset", "transaction_id", "code", "field", "reason")
    return {name: found.row[name] for name in names}

"""Whether ids that were refused were accepted since: by the general ledger and the decision log."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.outcomes import last_progress
from ledger.client.partitions import ledger_partitions
from ledger.client.past import IdLookup, storable
from ledger.client.records import Records
from ledger.domain.policy import LONG_AGO
from ledger.domain.run import Content, Watermark
from ledger.errors import LedgerError
from ledger.gl.books import Accepted
from ledger.settings import Settings
from ledger.streaming.decisions import decision_in, valid_runs
from ledger.streaming.reader import Reader
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics

RUNS = 2_000
"""Runs of each shard that are read where the general ledger cannot be asked."""


@dataclass(frozen=True, slots=True)
class AcceptedSince:
    """Where ids were accepted. All that were are known from the recorded time `known_from` on.

    `why`: why no more is known.
    """

    by_id: Mapping[str, Accepted] = field(default_factory=dict)
    known_from: int | None = None
    why: str | None = None

    def of(self, row: Mapping[str, Any]) -> Accepted | None:
        """Where the id of a Reject row was accepted after it, if that is known."""
        found = self.by_id.get(row["transaction_id"] or "")
        if found is None:
            return None
        if found.shard == row["shard"]:
            return found if found.offset > row["offset"] else None
        return found if found.known_from >= row["recorded_at"] else None

    def knows(self, row: Mapping[str, Any]) -> bool:
        """Whether the id was not accepted after the row where `of` gives nothing."""
        named = row["transaction_id"] is not None
        return named and self.known_from is not None and row["recorded_at"] >= self.known_from


async def accepted_since(
    settings: Settings, ids: Collection[str], journal: Callable[[], IdLookup]
) -> AcceptedSince:
    """What is known of `ids`; `journal` connects to the general ledger, or raises LedgerError.

    The decision log has what is decided and not posted yet. Without the general ledger the last
    RUNS runs of each shard are read.
    """
    marks: Mapping[int, Watermark] | None = None
    posted: dict[str, Accepted] = {}
    why = None
    try:
        connected = await asyncio.to_thread(journal)
        marks = await asyncio.to_thread(connected.watermarks)
        posted |= await asyncio.to_thread(connected.accepted, storable(ids))
    except LedgerError as error:
        why = str(error)
    try:
        found = await _in_decisions(settings, set(ids), marks if why is None else None)
    except LedgerError as error:
        return AcceptedSince(posted, None, f"{why}; {error}" if why else str(error))
    return AcceptedSince({**posted, **found.by_id}, found.known_from, why)


async def _in_decisions(
    settings: Settings, ids: set[str], marks: Mapping[int, Watermark] | None
) -> AcceptedSince:
    """Those accepted after `marks`, where everything is known before; else in the last runs."""
    names = topics(settings)
    shards = range((await ledger_partitions(settings, names.decisions.name))[names.decisions.name])
    records = await Records.of(settings, "Decision", "Progress")
    async with Reader(settings) as reader:
        if marks is None:
            progress = await last_progress(reader, records, names.progress.name, len(shards))
            known = {shard: each.watermark for shard, each in enumerate(progress)}
        else:
            known = {shard: marks.get(shard, Watermark()) for shard in shards}
        tps = [TopicPartition(names.decisions.name, shard) for shard in shards]
        bounds = await reader.bounds(tps)
        before = RUNS if marks is None else 0
        starts = {tp: max(bounds[tp][0], known[tp.partition].decisions_offset - before)
                  for tp in tps}  # fmt: skip
        ends = {tp: end for tp, (_, end) in bounds.items()}
        read = {shard: ShardRuns(ids, known[shard]) for shard in shards}
        async for fetched in reader.between(starts, ends):
            for record in fetched:
                read[record.partition].take(records.codec, record)
    found, known_from = dict[str, Accepted](), LONG_AGO
    for each in read.values():
        accepted, since = each.accepted()
        found |= accepted
        known_from = max(known_from, since)
    return AcceptedSince(found, LONG_AGO if marks is not None else known_from)


class _Run(NamedTuple):
    """A run before the watermark; it counts if the chain leads back to it."""

    follows: bytes
    start: int
    recorded_until: int
    accepted: dict[str, Accepted]


class ShardRuns:
    """The runs of one shard around `known`, a watermark of its chain."""

    def __init__(self, ids: set[str], known: Watermark) -> None:
        self._ids, self._known = ids, known
        self._mark = known
        self._before: dict[bytes, _Run] = {}
        self._after: dict[str, Accepted] = {}

    def take(self, codec: Codec, record: ConsumerRecord) -> None:
        """Take a record of the decision log, in order."""
        if record.offset < self._known.decisions_offset:
            decision = decision_in(codec, record)
            if decision is not None:
                accepted = self._wanted(decision.shard, Content.decode(decision.content))
                self._before[decision.digest] = _Run(
                    decision.follows, decision.start, decision.recorded_until, accepted
                )
            return
        for run in valid_runs(codec, [record], self._mark):
            self._mark = run.after
            self._after |= self._wanted(run.decision.shard, run.content)

    def accepted(self) -> tuple[dict[str, Accepted], int]:
        """Those of the ids that the chain accepted, and since when all of them are known."""
        found, digest = dict(self._after), self._known.digest
        start, since = self._known.end, self._known.recorded_until
        while (run := self._before.get(digest)) is not None:
            found = {**run.accepted, **found}
            digest, start, since = run.follows, run.start, run.recorded_until
        return found, since if start else LONG_AGO

    def _wanted(self, shard: int, content: Content) -> dict[str, Accepted]:
        rows: Iterable[tuple[str, int, int, int]] = zip(
            content.transaction_ids, content.offsets, content.recorded_at, content.created_at,
            strict=True,
        )  # fmt: skip
        return {
            name: Accepted(shard, offset, max(recorded_at, created_at))
            for name, offset, recorded_at, created_at in rows
            if name in self._ids
        }

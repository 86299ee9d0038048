"""The outcomes of published transactions: how they were decided, and whether they are reconciled.

The last `Progress` of each shard is read before publishing. It is a watermark, from which the
decision log is folded by the chain rule.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition
from pyroaring import BitMap64

from ledger.client.partitions import ledger_partitions
from ledger.client.receipt import Receipt
from ledger.client.records import Records
from ledger.client.resource import AsyncResource
from ledger.domain.run import Refusal, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.settings import Settings
from ledger.streaming.decisions import valid_runs
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics


class Outcome(StrEnum):
    """What the ledger decided of a transaction; `VOIDED`: it was accepted, then voided."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"
    VOIDED = "voided"
    VOID = "void"
    """It asked to void another one, and that was done."""
    UNDECIDED = "undecided"


class OpenBreak(NamedTuple):
    """A stripe on which stream and general ledger disagree."""

    shard: int
    account: str
    currency: str


@dataclass(slots=True)
class Tally:
    """Counts of the watched transactions; `breaks`: the open ones that touch them.

    `voids`: records that void another one; `voided`: transactions that were accepted, then voided.
    """

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    reconciled: int = 0
    voids: int = 0
    voided: int = 0
    breaks: list[OpenBreak] = field(default_factory=list)


@dataclass(slots=True)
class _ShardOutcomes:
    """The transactions of one shard, and how far the ledger is with them; positions are offsets.

    `published` and `decided` take a bit for each transaction of a bulk, and `lines` one for the
    number of its line, which rises with the offset. `touching` has lists, as most stripes are
    touched by few, and a bitmap takes 400 bytes at least.
    """

    watermark: Watermark
    progress_from: int
    published: BitMap64 = field(default_factory=BitMap64)
    lines: BitMap64 = field(default_factory=BitMap64)
    decided: dict[Outcome, BitMap64] = field(default_factory=lambda: defaultdict(BitMap64))
    touching: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    needed: int = 0
    compared: int = 0
    open: set[OpenBreak] = field(default_factory=set)

    def is_finished(self) -> bool:
        """Whether all of them are decided, and the accepted ones compared."""
        return self.watermark.end >= self.end and self.compared >= self.needed

    @property
    def end(self) -> int:
        """The position after the last published one; 0 for none."""
        return self.published.max() + 1 if self.published else 0

    def reconciled(self) -> int:
        """How many are compared and touch no stripe with an open break."""
        broken = BitMap64()
        for found in self.open:
            broken.update(self.touching.get((found.account, found.currency), ()))
        return (self.decided[Outcome.ACCEPTED] - broken).range_cardinality(0, self.compared)


class OutcomeWatch(AsyncResource):
    """Watches published transactions: enter it before publishing, `add` each receipt, `wait`."""

    def __init__(
        self, settings: Settings, *, on_refused: Callable[[int, Refusal], None] | None = None
    ) -> None:
        self._settings, self._on_refused = settings, on_refused
        self._names = topics(settings)
        self._reader = Reader(settings)
        self._shards: list[_ShardOutcomes] = []

    async def _enter(self, stack: AsyncExitStack) -> None:
        names = (self._names.transactions.name, self._names.decisions.name)
        counts = await ledger_partitions(self._settings, *names)
        self._records = await Records.of(self._settings, "Decision", "Progress", "Break")
        async with self._reader as reader:
            found = await last_progress(
                reader, self._records, self._names.progress.name, counts[names[0]]
            )
        self._shards = [_ShardOutcomes(*each, compared=each.watermark.end) for each in found]

    def add(self, receipt: Receipt, line: int | None = None) -> None:
        """Watch this transaction too; `line`: the number of its line, later than those before."""
        self._shards[receipt.shard].published.add(receipt.offset)
        if line is not None:
            self._shards[receipt.shard].lines.add(line)

    def line_of(self, receipt: Receipt) -> int:
        """The number of a transaction's line, where all were added with one."""
        shard = self._shards[receipt.shard]
        return int(shard.lines[shard.published.rank(receipt.offset) - 1])

    def outcome_of(self, receipt: Receipt) -> Outcome:
        """What the ledger decided of a transaction, as far as `wait` has read."""
        decided = self._shards[receipt.shard].decided.items()
        found = (outcome for outcome, offsets in decided if receipt.offset in offsets)
        return next(found, Outcome.UNDECIDED)

    async def wait(
        self, seconds: float | None = None, *, on_tally: Callable[[Tally], None] | None = None
    ) -> tuple[Tally, bool]:
        """Wait until each is reconciled or refused, for at most `seconds`.

        Returns the tally, and whether all of them are.
        """
        until = float("inf") if seconds is None else time.monotonic() + seconds
        watched = {index: shard for index, shard in enumerate(self._shards) if shard.published}
        if not watched:
            return self._tally(), True
        async with self._reader as reader:
            reader.assign(await self._starts(reader, watched))
            while not all(shard.is_finished() for shard in watched.values()):
                left = until - time.monotonic()
                if left <= 0:
                    return self._tally(), False
                await self._take(await reader.fetch(min(0.5, left)))
                if on_tally is not None:
                    on_tally(self._tally())
            await self._read_breaks(reader, watched)
        return self._tally(), True

    async def _starts(
        self, reader: Reader, watched: dict[int, _ShardOutcomes]
    ) -> dict[TopicPartition, int]:
        # All breaks, which are few: an older open one touches later transactions too.
        breaks = [TopicPartition(self._names.breaks.name, index) for index in watched]
        starts = {tp: first for tp, (first, _) in (await reader.bounds(breaks)).items()}
        for index, shard in watched.items():
            decisions = TopicPartition(self._names.decisions.name, index)
            starts[decisions] = shard.watermark.decisions_offset
            starts[TopicPartition(self._names.progress.name, index)] = shard.progress_from
        return starts

    async def _read_breaks(self, reader: Reader, watched: dict[int, _ShardOutcomes]) -> None:
        """Read the breaks: each is published before the progress that passes it."""
        name = self._names.breaks.name
        ends = await reader.ends([TopicPartition(name, index) for index in watched])
        async for records in reader.until(ends):
            await self._take(records)

    async def _take(self, records: Iterable[ConsumerRecord]) -> None:
        names = self._names
        by_topic: dict[str, list[ConsumerRecord]] = {}
        for record in records:
            by_topic.setdefault(record.topic, []).append(record)
        for record in by_topic.get(names.decisions.name, ()):
            shard = self._shards[record.partition]
            for run in valid_runs(self._records.codec, [record], shard.watermark):
                shard.watermark = run.after
                self._take_run(shard, run)
        progress = by_topic.get(names.progress.name, ())
        for _, row in await self._records.decode("Progress", progress):
            known = self._shards[row["shard"]]
            known.compared = max(known.compared, row["end"])
        for _, row in await self._records.decode("Break", by_topic.get(names.breaks.name, ())):
            _take_break(self._shards[row["shard"]], row)

    def _take_run(self, shard: _ShardOutcomes, run: ValidRun) -> None:
        ours, decision = shard.published, run.decision
        if not decision.voids and not ours.range_cardinality(decision.start, decision.end):
            return
        content = run.content
        for offset, legs in zip(content.offsets, content.legs(), strict=True):
            if offset in ours:
                shard.decided[Outcome.ACCEPTED].add(offset)
                shard.needed = offset + 1
                for account, currency in {leg[:2] for leg in legs}:
                    shard.touching.setdefault((account, currency), []).append(offset)
        self._take_voids(shard, run)
        for offset in run.outcomes.duplicates:
            if offset in ours:
                shard.decided[Outcome.DUPLICATE].add(offset)
                shard.needed = max(shard.needed, offset + 1)
        for refusal in run.outcomes.refused:
            if refusal.offset in ours:
                shard.decided[Outcome.REFUSED].add(refusal.offset)
                if self._on_refused is not None:
                    self._on_refused(decision.shard, refusal)

    def _take_voids(self, shard: _ShardOutcomes, run: ValidRun) -> None:
        for void in run.voided:
            offset = void.transaction.offsets[0]
            if offset in shard.decided[Outcome.ACCEPTED]:
                shard.decided[Outcome.ACCEPTED].remove(offset)
                shard.decided[Outcome.VOIDED].add(offset)
                for offsets in shard.touching.values():
                    if offset in offsets:
                        offsets.remove(offset)
            if void.offset in shard.published:
                shard.decided[Outcome.VOID].add(void.offset)
                shard.needed = max(shard.needed, void.offset + 1)

    def _tally(self) -> Tally:
        breaks = [
            found
            for shard in self._shards
            for found in sorted(shard.open)
            if (found.account, found.currency) in shard.touching
        ]
        return Tally(
            accepted=self._count(Outcome.ACCEPTED),
            duplicates=self._count(Outcome.DUPLICATE),
            rejected=self._count(Outcome.REFUSED),
            reconciled=sum(shard.reconciled() for shard in self._shards),
            voids=self._count(Outcome.VOID),
            voided=self._count(Outcome.VOIDED),
            breaks=breaks,
        )

    def _count(self, outcome: Outcome) -> int:
        return sum(len(shard.decided[outcome]) for shard in self._shards)


def _take_break(shard: _ShardOutcomes, row: dict[str, Any]) -> None:
    found = OpenBreak(row["shard"], row["account"], row["currency"])
    if row["state"] == "open":
        shard.open.add(found)
    else:
        shard.open.discard(found)


class LastProgress(NamedTuple):
    """A shard is compared up to `watermark`; later progress follows at offset `progress_from`."""

    watermark: Watermark
    progress_from: int


async def last_progress(
    reader: Reader, records: Records, topic: str, shards: int
) -> list[LastProgress]:
    """Each shard's last Progress record; the start of the log for a shard without one."""
    marks = [Watermark()] * shards
    bounds = await reader.bounds([TopicPartition(topic, shard) for shard in range(shards)])
    last = {tp: max(first, end - 1) for tp, (first, end) in bounds.items()}
    async for fetched in reader.between(last, {tp: end for tp, (_, end) in bounds.items()}):
        for _, row in await records.decode("Progress", fetched):
            marks[row["shard"]] = Watermark.of_progress(row)
    return [
        LastProgress(mark, bounds[TopicPartition(topic, shard)][1])
        for shard, mark in enumerate(marks)
    ]

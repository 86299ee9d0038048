"""What became of transactions after they were published: decided, then reconciled.

Where to begin is noted before publishing: the last `Progress` of each shard is a watermark, so the
decision log is folded from there by the chain rule and nothing is taken on trust.
"""

import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.lanes import Receipt
from ledger.client.reading import ledger_partitions
from ledger.client.records import Records
from ledger.domain.run import Refusal, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.settings import Settings
from ledger.streaming.decisions import valid_runs
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics


class OpenBreak(NamedTuple):
    """A stripe on which stream and general ledger disagree."""

    shard: int
    account: str
    currency: str


@dataclass(slots=True)
class Tally:
    """Counts of the transactions asked about; `breaks` are the open ones that touch them.

    `voids`: records that void something; `voided`: those accepted, and void since.
    """

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    reconciled: int = 0
    voids: int = 0
    voided: int = 0
    breaks: list[OpenBreak] = field(default_factory=list)


class Spans:
    """A set of offsets as half-open spans: what is published in bulk is mostly one span."""

    def __init__(self) -> None:
        self._spans: list[list[int]] = []

    def add(self, offset: int) -> None:
        """Offsets of a shard come in order, nearly always."""
        if self._spans and self._spans[-1][1] == offset:
            self._spans[-1][1] = offset + 1
        elif not self._spans or self._spans[-1][1] < offset:
            self._spans.append([offset, offset + 1])
        elif offset not in self:
            insort(self._spans, [offset, offset + 1])

    def __contains__(self, offset: int) -> bool:
        at = bisect_right(self._spans, offset, key=lambda span: span[0]) - 1
        return at >= 0 and offset < self._spans[at][1]

    @property
    def end(self) -> int:
        """The position after the last one; 0 for none."""
        return self._spans[-1][1] if self._spans else 0

    def meet(self, start: int, end: int) -> bool:
        """Whether any of them can be within [start, end)."""
        return bool(self._spans) and self._spans[0][0] < end and start < self.end


@dataclass(slots=True)
class _Shard:
    """One shard's transactions and how far the ledger got with them; positions are offsets."""

    watermark: Watermark
    progress_from: int
    published: Spans = field(default_factory=Spans)
    accepted: list[int] = field(default_factory=list)
    touching: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    needed: int = 0
    compared: int = 0
    open: set[OpenBreak] = field(default_factory=set)

    def settled(self) -> bool:
        """Whether all of them are decided, and those that count also compared."""
        return self.watermark.end >= self.published.end and self.compared >= self.needed

    def reconciled(self) -> int:
        """How many are compared, and touch no stripe with an open break."""
        broken = {
            offset
            for found in self.open
            for offset in self.touching.get((found.account, found.currency), ())
            if offset < self.compared
        }
        return bisect_left(self.accepted, self.compared) - len(broken)


class Outcomes:
    """Enter before publishing, `add` every receipt, then `settle`; an async context manager."""

    def __init__(
        self, settings: Settings, *, on_refused: Callable[[int, Refusal], None] | None = None
    ) -> None:
        self._settings, self._on_refused = settings, on_refused
        self._names = topics(settings)
        self._reader = Reader(settings)
        self._shards: list[_Shard] = []
        self._duplicates = self._rejected = self._voids = self._voided = 0

    async def __aenter__(self) -> Self:
        """Raises LedgerError, with what to do, when Kafka or the registry is not as it must be."""
        names = (self._names.transactions.name, self._names.decisions.name)
        counts = await ledger_partitions(self._settings, *names)
        self._records = await Records.of(self._settings, "Decision", "Progress", "Break")
        async with self._reader as reader:
            found = await standing(
                reader, self._records, self._names.progress.name, counts[names[0]]
            )
        self._shards = [_Shard(*each, compared=each.watermark.end) for each in found]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held open between `__aenter__` and `settle`."""

    def add(self, receipt: Receipt) -> None:
        """Ask about this one too."""
        self._shards[receipt.shard].published.add(receipt.offset)

    async def settle(
        self, seconds: float | None = None, *, on_tally: Callable[[Tally], None] | None = None
    ) -> tuple[Tally, bool]:
        """Wait until each is reconciled or refused; returns the tally, and whether all are.

        After `seconds` it returns what is known by then.
        """
        until = float("inf") if seconds is None else time.monotonic() + seconds
        asked = {index: shard for index, shard in enumerate(self._shards) if shard.published.end}
        if not asked:
            return self._tally(), True
        async with self._reader as reader:
            reader.assign(await self._starts(reader, asked))
            while not all(shard.settled() for shard in asked.values()):
                left = until - time.monotonic()
                if left <= 0:
                    return self._tally(), False
                await self._take(await reader.fetch(min(0.5, left)))
                if on_tally is not None:
                    on_tally(self._tally())
            await self._read_breaks(reader, asked)
        return self._tally(), True

    async def _starts(self, reader: Reader, asked: dict[int, _Shard]) -> dict[TopicPartition, int]:
        # Breaks are few, and one that was open before touches what came after.
        breaks = [TopicPartition(self._names.breaks.name, index) for index in asked]
        starts = {tp: first for tp, (first, _) in (await reader.bounds(breaks)).items()}
        for index, shard in asked.items():
            decisions = TopicPartition(self._names.decisions.name, index)
            starts[decisions] = shard.watermark.decisions_offset
            starts[TopicPartition(self._names.progress.name, index)] = shard.progress_from
        return starts

    async def _read_breaks(self, reader: Reader, asked: dict[int, _Shard]) -> None:
        """A break is published before the progress that passes it: read what is there now."""
        name = self._names.breaks.name
        ends = await reader.ends([TopicPartition(name, index) for index in asked])
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

    def _take_run(self, shard: _Shard, run: ValidRun) -> None:
        ours = shard.published
        if not run.decision.voids and not ours.meet(run.decision.start, run.decision.end):
            return
        content = run.content
        for offset, legs in zip(content.offsets, content.legs(), strict=True):
            if offset in ours:
                shard.accepted.append(offset)
                shard.needed = offset + 1
                for account, currency in {leg[:2] for leg in legs}:
                    shard.touching.setdefault((account, currency), []).append(offset)
        self._take_voids(shard, run)
        for offset in run.outcomes.duplicates:
            if offset in ours:
                self._duplicates += 1
                shard.needed = max(shard.needed, offset + 1)
        for refusal in run.outcomes.refused:
            if refusal.offset in ours:
                self._rejected += 1
                if self._on_refused is not None:
                    self._on_refused(run.decision.shard, refusal)

    def _take_voids(self, shard: _Shard, run: ValidRun) -> None:
        for void in run.voided:
            offset = void.transaction.offsets[0]
            if offset in shard.accepted:
                shard.accepted.remove(offset)
                for offsets in shard.touching.values():
                    if offset in offsets:
                        offsets.remove(offset)
                self._voided += 1
            if void.offset in shard.published:
                self._voids += 1
                shard.needed = max(shard.needed, void.offset + 1)

    def _tally(self) -> Tally:
        breaks = [
            found
            for shard in self._shards
            for found in sorted(shard.open)
            if (found.account, found.currency) in shard.touching
        ]
        return Tally(
            accepted=sum(len(shard.accepted) for shard in self._shards),
            duplicates=self._duplicates,
            rejected=self._rejected,
            reconciled=sum(shard.reconciled() for shard in self._shards),
            voids=self._voids,
            voided=self._voided,
            breaks=breaks,
        )


def _take_break(shard: _Shard, row: dict[str, Any]) -> None:
    found = OpenBreak(row["shard"], row["account"], row["currency"])
    if row["state"] == "open":
        shard.open.add(found)
    else:
        shard.open.discard(found)


class Standing(NamedTuple):
    """Where a shard stood: compared up to `watermark`; later progress comes at `progress_from`."""

    watermark: Watermark
    progress_from: int


async def standing(reader: Reader, records: Records, topic: str, shards: int) -> list[Standing]:
    """Each shard's last progress as a watermark: the start of the log where there is none."""
    marks = [Watermark()] * shards
    bounds = await reader.bounds([TopicPartition(topic, shard) for shard in range(shards)])
    last = {tp: end - 1 for tp, (first, end) in bounds.items() if end > first}
    reader.assign(last)
    async for fetched in reader.until({tp: offset + 1 for tp, offset in last.items()}):
        for _, row in await records.decode("Progress", fetched):
            marks[row["shard"]] = Watermark.of_progress(row)
    return [
        Standing(mark, bounds[TopicPartition(topic, shard)][1]) for shard, mark in enumerate(marks)
    ]

"""The topics that the flow follows, folded into its shards."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord, TopicPartition

from ledger.api.flow.follow import follow
from ledger.api.flow.runs import HeldRun, RecentRuns
from ledger.api.flow.shard import ShardFlow
from ledger.client.outcomes import OpenBreak, last_progress
from ledger.client.partitions import ledger_partitions
from ledger.client.records import Records
from ledger.settings import Settings
from ledger.streaming.decisions import valid_runs
from ledger.streaming.messages import posted_to
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics

Starts = dict[TopicPartition, int]


@dataclass(slots=True)
class FlowTopics:
    """`on_run` gets each run with its shard. The offsets to go on from move with what is read."""

    settings: Settings
    records: Records
    shards: list[ShardFlow]
    on_run: Callable[[int, HeldRun], None]
    starts: Starts
    breaks: Starts
    _left: Starts = field(default_factory=dict)
    _caught_up: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    async def begin(
        cls, settings: Settings, recent: RecentRuns, on_run: Callable[[int, HeldRun], None]
    ) -> "FlowTopics":
        """Where each shard is compared now, which is a position in the chain of its runs.

        Raises LedgerError where Kafka or the registry cannot be used.
        """
        names = topics(settings)
        counts = await ledger_partitions(settings, names.decisions.name)
        shards = range(counts[names.decisions.name])
        records = await Records.of(settings, "Decision", "Posted", "Progress", "Break")
        async with Reader(settings) as reader:
            last = await last_progress(reader, records, names.progress.name, len(shards))
            bounds = await reader.bounds(
                TopicPartition(name, shard)
                for name in (names.posted.name, names.progress.name, names.breaks.name)
                for shard in shards
            )

        def starts(name: str, *, newest: bool) -> Starts:
            found = {tp: held for tp, held in bounds.items() if tp.topic == name}
            return {
                tp: max(first, end - 1) if newest else first for tp, (first, end) in found.items()
            }

        return cls(
            settings,
            records,
            [ShardFlow.at(shard, recent, each.watermark) for shard, each in enumerate(last)],
            on_run,
            starts={
                TopicPartition(names.decisions.name, shard): each.watermark.decisions_offset
                for shard, each in enumerate(last)
            }
            # The newest message has the position; those before it have less.
            | starts(names.posted.name, newest=True)
            | starts(names.progress.name, newest=True),
            breaks=starts(names.breaks.name, newest=False),
        )

    async def follow(self, caught_up: Callable[[], None]) -> None:
        """Fold what comes, without end; `caught_up` is called once all that is there now is folded.

        Raises LedgerError, or a group of it.
        """
        names = topics(self.settings)
        takes = {
            names.decisions.name: self._take_decisions,
            names.posted.name: self._take_posted,
            names.progress.name: self._take_progress,
        }
        async with asyncio.TaskGroup() as group:
            group.create_task(follow(self.settings, self.starts, takes), name="flow")
            await self._reach_ends(names.posted.name)
            caught_up()

    async def _reach_ends(self, last_known: str) -> None:
        """Wait until what is there now is read; of the topic `last_known` the newest is enough."""
        wanted = [tp for tp in self.starts if tp.topic != last_known]
        async with Reader(self.settings) as reader:
            ends = await reader.ends(wanted)
        self._left = {tp: end for tp, end in ends.items() if self.starts[tp] < end}
        self._caught_up.clear()
        if self._left:
            await self._caught_up.wait()

    def _read(self, record: ConsumerRecord) -> None:
        tp = TopicPartition(record.topic, record.partition)
        if self._left and record.offset + 1 >= self._left.get(tp, record.offset + 2):
            del self._left[tp]
            if not self._left:
                self._caught_up.set()

    async def _take_decisions(self, shard: int, records: list[ConsumerRecord]) -> None:
        flow = self.shards[shard]
        for record in records:
            for run in valid_runs(self.records.codec, [record], flow.decided):
                self.on_run(shard, flow.take_run(run, record.timestamp * 1_000))
        self._read(records[-1])

    async def _take_posted(self, shard: int, records: list[ConsumerRecord]) -> None:
        for record in records:
            end = posted_to(self.records.codec, record)
            if end is not None:
                self.shards[shard].take_posted(end, record.timestamp * 1_000)

    async def _take_progress(self, shard: int, records: list[ConsumerRecord]) -> None:
        flow = self.shards[shard]
        found = await self.records.decode("Progress", records)
        ours = [(record, row) for record, row in found if row["shard"] == shard]
        if ours:
            # Each break is published before the progress that passes it.
            await self._learn_breaks(flow, open_breaks=ours[-1][1]["open_breaks"])
        for record, row in ours:
            flow.take_compared(row["end"], record.timestamp * 1_000)
        self._read(records[-1])

    async def _learn_breaks(self, flow: ShardFlow, *, open_breaks: int) -> None:
        if not open_breaks:
            flow.breaks.clear()
            return
        tp = next(tp for tp in self.breaks if tp.partition == flow.shard)
        async with Reader(self.settings) as reader:
            ends = await reader.ends([tp])
            async for records in reader.between({tp: self.breaks[tp]}, ends):
                await self._take_breaks(flow, records)
                self.breaks[tp] = records[-1].offset + 1

    async def _take_breaks(self, flow: ShardFlow, records: Iterable[ConsumerRecord]) -> None:
        for _, row in await self.records.decode("Break", records):
            found = OpenBreak(row["shard"], row["account"], row["currency"])
            flow.take_break(found, is_open=row["state"] == "open")

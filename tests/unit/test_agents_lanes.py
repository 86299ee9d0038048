"""Lanes of a stage start together, and one that is held up does not hold up the others for ever."""

import asyncio
import dataclasses

from aiokafka import ConsumerRecord
from faust.types import TP

from agents.runtime import lanes
from agents.runtime.lanes import FULL_BYTES, Gap, Lanes
from agents.runtime.runs import Run, joined
from ledger.errors import InvariantBroken
from ledger.health.application import Health
from ledger.health.partitions import State
from tests.runtimes import runtime


def record(offset: int, size: int = 1) -> ConsumerRecord:
    return ConsumerRecord("t", 0, offset, 0, 0, None, b"x" * size, None, 0, size, ())


def run(start: int, end: int, partition: int = 0, size: int = 1) -> Run:
    records = [record(offset, size) for offset in range(start, end)]
    return Run(TP("t", partition), start, end, records)


class Consumer:
    def __init__(self):
        self.opened = {TP("t", partition) for partition in range(4)}
        self.done_at, self.rewound, self.paused = {}, {}, []

    def done(self, tp, position):
        self.done_at[tp.partition] = position

    async def rewind(self, run, position):
        self.rewound[run.tp.partition] = position

    def pause_partitions(self, tps):
        self.paused += [("pause", tp.partition) for tp in tps]

    def resume_partitions(self, tps):
        self.paused += [("resume", tp.partition) for tp in tps]


class World:
    """Four lanes; `gates` hold partitions back, `taken` is what each took, in order."""

    def __init__(self):
        self.consumer, self.faults, self.taken = Consumer(), [], []
        self.health = Health()
        self.health.assign(self.consumer.opened)
        made = runtime(None, codec=None, consumer=self.consumer, health=self.health)
        fail = lambda error, doing: self.faults.append(error)  # noqa: E731
        self.together = Lanes(dataclasses.replace(made, fail=fail), self.take)
        self.gates = {partition: asyncio.Event() for partition in range(4)}
        self.lanes = [self.together.lane(TP("t", each)) for each in range(4)]
        self.raises = None
        self.takes = asyncio.Queue()

    async def take(self, found):
        self.taken.append((found.tp.partition, found.start, found.end))
        self.takes.put_nowait(found.tp.partition)
        await self.gates[found.tp.partition].wait()
        if self.raises:
            raise self.raises
        return found.end

    def put(self, partition, start, end, size=1):
        self.lanes[partition].put(run(start, end, partition, size))
        self.together.start()


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_runs_that_follow_each_other_are_one():
    found = joined([run(0, 2), run(5, 6, 1), run(2, 3), run(7, 8), run(6, 9, 1)])
    assert [(each.tp.partition, each.start, each.end, len(each.records)) for each in found] == [
        (0, 0, 3, 3), (1, 5, 9, 4), (0, 7, 8, 1)
    ]  # fmt: skip


def test_what_one_fetch_brought_starts_together():
    async def story():
        world = World()
        for partition in (0, 1, 2):
            world.lanes[partition].put(run(0, 1, partition))
        await turns()
        assert world.taken == []
        world.together.start()
        await turns()
        assert world.taken == [(0, 0, 1), (1, 0, 1), (2, 0, 1)]

    asyncio.run(story())


def test_what_comes_meanwhile_starts_together_and_as_one():
    async def story():
        world = World()
        world.put(0, 0, 1)
        await turns()
        for partition in (0, 1, 2):
            world.put(partition, 1, 2)
            world.put(partition, 2, 3)
        await turns()
        assert world.taken == [(0, 0, 1)]
        for gate in world.gates.values():
            gate.set()
        await turns()
        assert sorted(world.taken[1:]) == [(0, 1, 3), (1, 1, 3), (2, 1, 3)]
        assert world.consumer.done_at == {0: 3, 1: 3, 2: 3}

    asyncio.run(story())


def test_a_lane_that_is_held_up_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(lanes, "PATIENCE", 0.01)

    async def story():
        world = World()
        world.gates[1].set()
        world.put(0, 0, 1)
        world.put(1, 0, 1)
        async with asyncio.timeout(5):
            assert [await world.takes.get() for _ in range(2)] == [0, 1]
        world.put(1, 1, 2)
        async with asyncio.timeout(5):
            assert await world.takes.get() == 1
        assert 0 not in world.consumer.done_at
        world.gates[0].set()
        await turns()
        assert world.consumer.done_at == {0: 1, 1: 2}

    asyncio.run(story())


def test_a_gap_is_read_again_and_a_broken_invariant_stops_one_lane():
    async def story():
        world = World()
        for gate in world.gates.values():
            gate.set()
        world.raises = Gap(7)
        world.put(0, 9, 10)
        await turns()
        assert world.consumer.rewound == {0: 7}
        world.raises = InvariantBroken("no")
        world.put(1, 0, 1)
        await turns()
        world.raises = None
        world.put(1, 1, 2)
        world.put(2, 0, 1)
        await turns()
        assert [each for each in world.taken if each[0] == 1] == [(1, 0, 1)]
        assert world.consumer.done_at == {2: 1}
        assert world.consumer.paused == [("pause", 1)]
        says = world.health.at(TP("t", 1)).status()
        assert (says.state, says.why) == (State.STOPPED, "no")
        assert world.health.counts.runs["t"] == 1
        world.lanes[1].clear()
        world.put(1, 1, 2)
        await turns()
        assert world.consumer.done_at == {1: 2, 2: 1}
        world.raises = ValueError("ours")
        world.put(3, 0, 1)
        await turns()
        assert [type(each) for each in world.faults] == [ValueError]

    asyncio.run(story())


def test_a_full_lane_is_not_fetched_from_until_it_is_taken():
    async def story():
        world = World()
        world.put(0, 0, 1)
        await turns()
        world.put(0, 1, 3, size=FULL_BYTES)
        assert world.consumer.paused == [("pause", 0)]
        world.gates[0].set()
        await turns()
        assert world.consumer.paused == [("pause", 0), ("resume", 0)]
        assert world.taken == [(0, 0, 1), (0, 1, 3)]

    asyncio.run(story())


def test_what_waits_is_forgotten_when_its_partition_is_opened_anew():
    async def story():
        world = World()
        world.put(0, 0, 1)
        await turns()
        world.put(0, 1, 2)
        world.lanes[0].clear()
        world.gates[0].set()
        await turns()
        assert world.taken == [(0, 0, 1)]

    asyncio.run(story())

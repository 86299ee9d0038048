"""One run at a time; what comes meanwhile is one run more; a fault is delivered once."""

import asyncio
from contextvars import ContextVar
from random import Random

import pytest

from ledger.streaming.coalescer import Coalescer

CALLER = ContextVar("caller", default="nobody")


class Work:
    """Takes what waits, in as many turns of the loop as `turns` says."""

    def __init__(self, turns=lambda: 1):
        self.waiting, self.taken, self.faults = [], [], []
        self.turns, self.at_once, self.most = turns, 0, 0
        self.errors = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.coalescer = Coalescer(self, name="work", fault=self.faults.append)

    def add(self, *items):
        self.waiting += items
        self.coalescer.wake()

    async def __call__(self):
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        taken, self.waiting = self.waiting, []
        try:
            await self.gate.wait()
            for _ in range(self.turns()):
                await asyncio.sleep(0)
            self.taken.append(taken)
            if self.errors:
                raise self.errors.pop(0)
        finally:
            self.at_once -= 1


def test_what_one_turn_of_the_loop_adds_is_one_run():
    async def story():
        work = Work()
        assert not work.coalescer.running
        work.add(1)
        work.add(2, 3)
        assert work.coalescer.running
        assert work.taken == [], "work starts in a later turn of the loop"
        await work.coalescer.idle()
        assert work.taken == [[1, 2, 3]]
        assert not work.coalescer.running

    asyncio.run(story())


def test_what_comes_during_a_run_is_one_run_more():
    async def story():
        work = Work()
        work.gate.clear()
        work.add(1)
        await asyncio.sleep(0)
        for each in range(2, 6):
            work.add(each)
            await asyncio.sleep(0)
        work.gate.set()
        await work.coalescer.idle()
        assert work.taken == [[1], [2, 3, 4, 5]]

    asyncio.run(story())


def test_a_wake_from_within_a_run_is_one_run_more():
    async def story():
        runs = []

        async def again():
            runs.append(len(runs))
            if len(runs) < 3:
                coalescer.wake()

        coalescer = Coalescer(again, name="again", fault=runs.append)
        coalescer.wake()
        await coalescer.idle()
        assert runs == [0, 1, 2]

    asyncio.run(story())


@pytest.mark.parametrize("seed", range(30))
def test_nothing_is_lost_and_nothing_runs_twice_at_once(seed):
    async def story():
        chance = Random(seed)
        work = Work(lambda: chance.randint(0, 3))
        work.errors = [ValueError(str(each)) for each in range(chance.randint(0, 5))]
        added = []
        for each in range(200):
            if chance.random() < 0.5:
                added.append(each)
                work.add(each)
            if chance.random() < 0.5:
                await asyncio.sleep(0)
        await work.coalescer.idle()
        assert [item for taken in work.taken for item in taken] == added
        assert work.most == 1
        assert not work.waiting

    asyncio.run(story())


def test_a_fault_is_delivered_once_and_the_next_wake_starts_again():
    async def story():
        work = Work()
        work.errors = [ValueError("first")]
        work.add(1)
        await work.coalescer.idle()
        assert [str(each) for each in work.faults] == ["first"]
        await asyncio.sleep(0)
        assert work.taken == [[1]], "nothing runs again by itself"
        work.add(2)
        await work.coalescer.idle()
        assert work.taken == [[1], [2]]
        assert len(work.faults) == 1

    asyncio.run(story())


def test_what_came_during_a_run_that_failed_is_not_lost():
    async def story():
        work = Work()
        work.errors = [ValueError("first")]
        work.add(1)
        await asyncio.sleep(0)
        work.add(2)
        await work.coalescer.idle()
        assert work.taken == [[1], [2]]
        assert len(work.faults) == 1

    asyncio.run(story())


def test_a_run_that_was_cancelled_does_not_keep_later_ones_from_starting():
    async def story():
        work = Work()
        work.gate.clear()
        work.add(1)
        await asyncio.sleep(0)
        work.coalescer._task.cancel()
        await work.coalescer.idle()
        assert work.faults == []
        work.gate.set()
        work.add(2)
        await work.coalescer.idle()
        assert work.taken == [[2]]

    asyncio.run(story())


def test_waiting_for_a_run_neither_cancels_it_nor_raises_what_it_raised():
    async def story():
        work = Work()
        work.errors = [ValueError("first")]
        work.gate.clear()
        work.add(1)
        waiting = asyncio.create_task(work.coalescer.idle())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert work.coalescer.running
        work.gate.set()
        await work.coalescer.idle()
        assert work.taken == [[1]]

    asyncio.run(story())


def test_a_run_has_the_context_of_whoever_started_it_and_leaves_none_behind():
    async def story():
        seen = []

        async def work():
            seen.append(CALLER.get())
            CALLER.set("work")

        coalescer = Coalescer(work, name="work", fault=seen.append)
        for caller in ("one", "two"):
            CALLER.set(caller)
            coalescer.wake()
            await coalescer.idle()
            assert CALLER.get() == caller
        assert seen == ["one", "two"]

    asyncio.run(story())


def test_without_a_fault_handler_asyncio_reports_the_error_and_the_next_wake_starts_again():
    async def story():
        reported, runs = [], []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))

        async def work():
            runs.append(len(runs))
            if len(runs) == 1:
                raise ValueError("first")

        coalescer = Coalescer(work, name="work")
        coalescer.wake()
        await coalescer.idle()
        coalescer.wake()
        await coalescer.idle()
        assert runs == [0, 1]
        assert [str(each) for each in reported] == ["first"]

    asyncio.run(story())

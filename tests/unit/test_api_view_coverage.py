"""When coverage counts, who is woken by it, and how old a copy says it is."""

import asyncio

import pytest

from ledger.api.view import reached as reached_module
from ledger.api.view.coverage import Claim, PartitionCoverage
from ledger.api.view.reached import Reached
from ledger.api.view.waits import COMPACTED_FROM, Waits


def looked_up(coverage, end):
    coverage.ask()
    coverage.note_end(end)


def test_a_claim_counts_once_an_end_looked_up_after_it_is_read():
    coverage = PartitionCoverage()
    coverage.hear(Claim(10, (5, 7)))
    assert not coverage.reach(50)
    assert coverage.needs_end
    looked_up(coverage, 60)
    assert not coverage.reach(59)
    assert coverage.ends == ()
    assert coverage.reach(60)
    assert coverage.ends == (5, 7)


def test_an_end_that_was_being_looked_up_before_the_claim_came_does_not_count_for_it():
    coverage = PartitionCoverage()
    coverage.hear(Claim(10, (1,)))
    coverage.ask()
    coverage.hear(Claim(20, (2,)))
    coverage.note_end(10)
    assert coverage.reach(100)
    assert coverage.ends == (1,)
    assert coverage.needs_end


def test_a_claim_beyond_the_end_that_was_found_waits_for_its_own_offset():
    coverage = PartitionCoverage()
    coverage.hear(Claim(30, (4,)))
    looked_up(coverage, 20)
    assert not coverage.reach(29)
    assert coverage.reach(30)


def test_a_lookup_that_failed_is_made_again_for_all_that_wait():
    coverage = PartitionCoverage()
    coverage.hear(Claim(1, (3, 1)))
    coverage.ask()
    coverage.hear(Claim(2, (1, 2)))
    coverage.fail()
    assert coverage.needs_end
    looked_up(coverage, 2)
    assert coverage.reach(2)
    assert coverage.ends == (3, 2)


def test_positions_never_fall_and_what_is_known_asks_for_nothing():
    coverage = PartitionCoverage([4, 4])
    coverage.hear(Claim(9, (3, 4)))
    assert not coverage.needs_end
    coverage.hear(Claim(9, (3, 5, 1)))
    looked_up(coverage, 9)
    assert coverage.reach(9)
    assert coverage.ends == (4, 5, 1)


def played(story):
    return asyncio.run(asyncio.wait_for(story(), 10))


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


def test_who_waits_is_woken_when_all_its_shards_are_covered():
    async def story():
        waits, ends = Waits(), [0, 0]
        one = asyncio.create_task(waits.until(lambda: ends, {0: 4}))
        both = asyncio.create_task(waits.until(lambda: ends, {0: 2, 1: 3}))
        beyond = asyncio.create_task(waits.until(lambda: ends, {7: 0}))
        await turns()
        ends[0] = 4
        waits.wake(ends)
        await turns()
        assert not one.done() and not both.done()
        ends[0] = 5
        waits.wake(ends)
        await turns()
        assert one.done() and not both.done()
        ends[1] = 4
        waits.wake(ends)
        await turns()
        assert both.done() and not beyond.done()
        beyond.cancel()

    played(story)


def test_thousands_that_gave_up_leave_nothing_behind():
    async def story():
        waits = Waits()
        for _ in range(3):
            tasks = [
                asyncio.create_task(waits.until(lambda: (0,), {0: each})) for each in range(5_000)
            ]
            await turns()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert len(waits) <= COMPACTED_FROM
        left = asyncio.create_task(waits.until(lambda: (9_000,), {0: 8_000}))
        await turns()
        waits.wake((9_000,))
        await turns()
        assert left.done()
        assert len(waits) == 0

    played(story)


@pytest.fixture
def clock(monkeypatch):
    moment = [1_000_000_000]
    monkeypatch.setattr(reached_module, "now", lambda: moment[0])
    return moment


def test_a_copy_is_as_of_the_moment_before_an_end_that_it_has_reached(clock):
    reached = Reached()
    reached.begin([0, 0], {0: [1], 1: [1]}, None)
    reached.note_ends([5, 0], clock[0])
    assert reached.state().as_of is None
    assert reached.state().records_behind == 5
    # A later moment does not push the earlier one away: who lags would never have any.
    reached.note_ends([9, 0], clock[0] + 500_000)
    reached.parts[0].reach(5)
    reached.note_moved()
    assert reached.state().as_of == clock[0]
    assert reached.state().is_ready
    assert reached.state().problem is None
    clock[0] += 8_000_000
    assert "lags" in reached.state().problem
    assert reached.state().behind_seconds == 8


def test_without_coverage_of_each_partition_nothing_is_ready(clock):
    reached = Reached()
    reached.begin([3, 3], {0: [1]}, clock[0])
    reached.trouble = None
    assert not reached.state().is_ready
    assert "being read" in reached.state().problem
    assert reached.least(reached.parts) == ()
    reached.parts[1].coverage.hear(Claim(3, (4,)))
    reached.ask()
    reached.note_ends([3, 3], clock[0])
    assert reached.state().is_ready
    assert reached.least(reached.parts) == (1,)
    assert reached.unnoted() == {1: (4,)}
    assert reached.unnoted() == {}


def test_what_keeps_it_from_reading_is_in_the_state_until_it_is_over(clock):
    reached = Reached()
    assert reached.state().problem
    reached.begin([0], {0: [2]}, clock[0])
    reached.ask()
    reached.fail("Kafka at a:1 does not answer")
    state = reached.state()
    assert state.is_ready
    assert state.problem == "Kafka at a:1 does not answer"
    reached.note_ends([0], clock[0])
    assert reached.state().problem is None


def test_who_waits_goes_on_waiting_where_the_copy_is_read_again(clock):
    async def story():
        reached = Reached()
        reached.begin([5], {0: [2]}, None)
        waiting = asyncio.create_task(
            reached.parts[0].waits.until(
                lambda: reached.parts and reached.parts[0].coverage.ends, {0: 3}
            )
        )
        await turns()
        reached.begin([], {}, None)
        reached.begin([0], {}, None)
        reached.parts[0].coverage.hear(Claim(1, (4,)))
        reached.ask()
        reached.note_ends([1], None)
        reached.parts[0].reach(1)
        await turns()
        assert waiting.done()

    played(story)

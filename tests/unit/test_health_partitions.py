"""The state of a partition, and why it makes no progress."""

import asyncio

import pytest

from ledger.errors import Unavailable
from ledger.health import waiting
from ledger.health.application import LOOP_SECONDS, Health
from ledger.health.partitions import (
    HANGING_SECONDS,
    NO_ANSWER,
    State,
    current_partition,
    waiting_for,
)
from ledger.health.rows import partition_rows, reasons, spans
from ledger.health.waiting import waited_for
from tests.runtimes import Clock

TP = ("t", 3)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    made = Health(clock)
    made.stages["t"] = "taker"
    made.assign([TP])
    return made


@pytest.fixture
def partition(health):
    token = current_partition.set(health.at(TP))
    yield health.at(TP)
    current_partition.reset(token)


def test_a_partition_opens_goes_on_and_is_revoked(health, partition, clock):
    assert (partition.status().state, partition.status().since) == (State.OPENING, 1000.0)
    with waiting_for("restore what it had"):
        assert partition.status().doing == "restore what it had"
    clock.now += 3
    partition.opened()
    assert partition.status() == (State.GOING_ON, 1003.0, "", "")
    health.revoke()
    assert not health.membership.member
    health.assign([("t", 4)])
    assert [row["partition"] for row in partition_rows(health)] == [4]
    # What its last run still does is not reported.
    health.at(TP).stop("late")
    assert [row["state"] for row in partition_rows(health)] == ["opening"]


def test_the_first_reason_to_stop_is_kept_until_it_is_opened_again(health, partition, clock):
    partition.opened()
    partition.stop("the first")
    clock.now += 10
    partition.stop("what follows from it")
    with waiting_for("do something"):
        assert partition.status() == (State.STOPPED, 1000.0, "", "the first")
    health.assign([TP])
    assert partition.status().state == State.OPENING


def test_a_partition_waits_from_the_first_failure_of_a_request(partition, clock, monkeypatch):
    partition.opened()
    seen = []

    async def story():
        answers = [Unavailable("it is down"), Unavailable("it is still down"), None]

        async def attempt():
            seen.append(partition.status())
            clock.now += 2
            answer = answers.pop(0)
            if answer:
                raise answer

        await waited_for(attempt, "reach it")

    monkeypatch.setattr(waiting, "wait_random_exponential", lambda **_: lambda state: 0)
    asyncio.run(story())
    assert [each.state for each in seen] == [State.GOING_ON, State.WAITING, State.WAITING]
    assert seen[1] == (State.WAITING, 1002.0, "reach it", "it is down")
    assert seen[2] == (State.WAITING, 1002.0, "reach it", "it is still down")
    assert partition.status().state == State.GOING_ON
    assert partition.waits == 1


def test_a_partition_waits_for_a_request_or_a_run_that_hangs(partition, clock):
    partition.opened()
    with waiting_for("post to shard 3"):
        clock.now += HANGING_SECONDS
        assert partition.status().state == State.GOING_ON
        clock.now += 1
        assert partition.status() == (State.WAITING, 1000.0, "post to shard 3", NO_ANSWER)
    assert partition.status().state == State.GOING_ON
    partition.run_started()
    clock.now += HANGING_SECONDS + 1
    assert partition.status().state == State.WAITING
    partition.run_finished()
    assert partition.status().state == State.GOING_ON


def test_an_endless_request_waits_only_for_a_while_after_a_failure(partition, clock):
    partition.opened()
    with waiting_for("follow", endless=True) as request:
        clock.now += 100
        assert partition.status().state == State.GOING_ON
        request.failed(Unavailable("down"))
        assert partition.status().state == State.WAITING
        clock.now += HANGING_SECONDS + 1
        assert partition.status().state == State.GOING_ON
        request.failed(Unavailable("down"))
        assert partition.status().since == clock.now
    assert partition.waits == 2


def test_a_request_of_no_partition_is_no_partitions_wait(health, partition):
    partition.opened()
    token = current_partition.set(None)
    with waiting_for("anything") as request:
        request.failed(Unavailable("down"))
        assert partition.status().state == State.GOING_ON
    current_partition.reset(token)


def test_waits_of_a_partition_are_counted_after_it_is_revoked(health, partition):
    with waiting_for("x") as request:
        request.failed(Unavailable("down"))
    assert health.waits()["taker"] == 1
    health.assign([])
    assert health.waits()["taker"] == 1


def test_a_pause_of_the_loop_is_remembered_for_a_while(health, clock):
    health.loop.ran()
    clock.now += LOOP_SECONDS
    health.loop.ran()
    assert not health.loop.stood_still(3, within=100)
    clock.now += 4
    assert health.loop.stood_still(3, within=100)
    health.loop.ran()
    assert health.loop.stood_still(3, within=10)
    clock.now += 2
    health.loop.ran()
    clock.now += 11
    assert not health.loop.stood_still(30, within=10)


def test_partitions_with_the_same_reason_share_a_sentence():
    def row(partition, state, why, seconds=1.0):
        return {"stage": "posting", "partition": partition, "state": state, "seconds": seconds,
                "doing": f"post to shard {partition}" if state == "waiting" else "", "why": why}  # fmt: skip

    found = reasons(
        [row(0, "waiting", "down", 2.0), row(1, "waiting", "down", 9.0), row(2, "going on", ""),
         row(5, "stopped", "It was cut.")]
    )  # fmt: skip
    assert found == [
        "posting 0-1: waiting for 9 s, to post to shard 0: down",
        "posting 5: stopped for 1 s: It was cut.",
    ]
    assert spans([7, 0, 2, 1, 9, 10]) == "0-2, 7, 9-10"

"""What a partition is said to do, and why it does not go on."""

import asyncio

import pytest

from ledger.errors import Unavailable
from ledger.health import waiting
from ledger.health.partitions import (
    HANGING_SECONDS,
    TURN_SECONDS,
    UNHEARD,
    Health,
    State,
    asking,
    here,
    rows,
    sentences,
    spans,
)
from ledger.health.waiting import waited_for

TP = ("t", 3)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


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
def place(health):
    token = here.set(health.at(TP))
    yield health.at(TP)
    here.reset(token)


def test_a_partition_opens_goes_on_and_is_somebody_elses(health, place, clock):
    assert (place.says().state, place.says().since) == (State.OPENING, 1000.0)
    with asking("restore what it had"):
        assert place.says().doing == "restore what it had"
    clock.now += 3
    place.opened()
    assert place.says() == (State.GOING_ON, 1003.0, "", "")
    health.revoke()
    assert not health.member
    health.assign([("t", 4)])
    assert [row["partition"] for row in rows(health)] == [4]
    # What its last run still does is seen by nobody.
    health.at(TP).stop("late")
    assert [row["state"] for row in rows(health)] == ["opening"]


def test_what_stopped_it_first_counts_until_it_is_opened_again(health, place, clock):
    place.opened()
    place.stop("the first")
    clock.now += 10
    place.stop("what follows from it")
    with asking("do something"):
        assert place.says() == (State.STOPPED, 1000.0, "", "the first")
    health.assign([TP])
    assert place.says().state == State.OPENING


def test_what_is_away_is_waited_for_from_the_first_failure_on(place, clock, monkeypatch):
    place.opened()
    seen = []

    async def story():
        answers = [Unavailable("it is away"), Unavailable("it is still away"), None]

        async def attempt():
            seen.append(place.says())
            clock.now += 2
            answer = answers.pop(0)
            if answer:
                raise answer

        await waited_for(attempt, "reach it")

    monkeypatch.setattr(waiting, "wait_random_exponential", lambda **_: lambda state: 0)
    asyncio.run(story())
    assert [each.state for each in seen] == [State.GOING_ON, State.WAITING, State.WAITING]
    assert seen[1] == (State.WAITING, 1002.0, "reach it", "it is away")
    assert seen[2] == (State.WAITING, 1002.0, "reach it", "it is still away")
    assert place.says().state == State.GOING_ON
    assert place.waits == 1


def test_what_hangs_is_waited_for_too(place, clock):
    place.opened()
    with asking("post to shard 3"):
        clock.now += HANGING_SECONDS
        assert place.says().state == State.GOING_ON
        clock.now += 1
        assert place.says() == (State.WAITING, 1000.0, "post to shard 3", UNHEARD)
    assert place.says().state == State.GOING_ON
    place.takes()
    clock.now += HANGING_SECONDS + 1
    assert place.says().state == State.WAITING
    place.rests()
    assert place.says().state == State.GOING_ON


def test_what_never_comes_back_fails_only_for_a_while(place, clock):
    place.opened()
    with asking("follow", endless=True) as asked:
        clock.now += 100
        assert place.says().state == State.GOING_ON
        asked.failed(Unavailable("away"))
        assert place.says().state == State.WAITING
        clock.now += HANGING_SECONDS + 1
        assert place.says().state == State.GOING_ON
        asked.failed(Unavailable("away"))
        assert place.says().since == clock.now
    assert place.waits == 2


def test_what_is_asked_for_by_nobody_is_nobodys_wait(health, place):
    place.opened()
    token = here.set(None)
    with asking("anything") as asked:
        asked.failed(Unavailable("away"))
        assert place.says().state == State.GOING_ON
    here.reset(token)


def test_waits_are_counted_though_the_partition_leaves(health, place):
    with asking("x") as asked:
        asked.failed(Unavailable("away"))
    assert health.waits()["taker"] == 1
    health.assign([])
    assert health.waits()["taker"] == 1


def test_a_loop_that_stood_still_is_known_for_a_while(health, clock):
    health.turn()
    clock.now += TURN_SECONDS
    health.turn()
    assert not health.slept_for(3, within=100)
    clock.now += 4
    assert health.slept_for(3, within=100)
    health.turn()
    assert health.slept_for(3, within=10)
    clock.now += 2
    health.turn()
    clock.now += 11
    assert not health.slept_for(30, within=10)


def test_sentences_say_alike_partitions_together():
    def row(partition, state, why, seconds=1.0):
        return {"stage": "posting", "partition": partition, "state": state, "seconds": seconds,
                "doing": f"post to shard {partition}" if state == "waiting" else "", "why": why}  # fmt: skip

    found = sentences(
        [row(0, "waiting", "away", 2.0), row(1, "waiting", "away", 9.0), row(2, "going on", ""),
         row(5, "stopped", "It was cut.")]
    )  # fmt: skip
    assert found == [
        "posting 0-1: waiting for 9 s, to post to shard 0: away",
        "posting 5: stopped for 1 s: It was cut.",
    ]
    assert spans([7, 0, 2, 1, 9, 10]) == "0-2, 7, 9-10"

"""What a shard has told and not compared: in which order it settles, and when it is late."""

from agents import balances
from agents.balances import Ahead, Told
from tests.builders import stripe, totals

A, B = stripe("assets:a"), stripe("assets:b")


def told(place: int, offset: int, name=A, since: float = 0.0) -> Told:
    return Told(place, since, offset + 1, {name: totals(offset, 0, 1, offset)})


def ahead(*items: Told) -> Ahead:
    made = Ahead()
    for each in items:
        made.add(each)
    return made


def test_what_is_below_the_compared_position_settles_and_leaves():
    waiting = ahead(told(0, 3), told(1, 4, B), told(2, 9))
    assert not waiting.due(3)
    assert waiting.due(4)
    assert [each.place for each in waiting.take_settled(5)] == [0, 1]
    assert [each.place for each in waiting.told] == [2]
    assert not waiting.due(9)


def test_what_waits_is_late_once():
    waiting = ahead(told(0, 3, since=10.0), told(1, 4, B, since=10.5))
    assert waiting.take_late(10.05, 0.1) == []
    assert waiting.take_late(10.2, 0.1) == [A]
    assert waiting.take_late(10.3, 0.1) == []
    assert waiting.take_late(10.7, 0.1) == [B]
    waiting.add(told(2, 9, since=11.0))
    assert waiting.take_late(11.2, 0.1) == [A]


def test_what_is_compared_in_time_is_not_late(monkeypatch):
    monkeypatch.setattr(balances.time, "monotonic", lambda: 20.0)
    waiting = ahead(told(0, 3, since=19.5), told(1, 9, B, since=19.6))
    list(waiting.take_settled(4))
    # Half a second is usual here, and something was compared just now.
    assert waiting.take_late(20.3, 0.1) == []
    assert waiting.take_late(20.99, 0.1) == []
    assert waiting.take_late(21.1, 0.1) == [B]


def test_a_long_wait_keeps_the_latest_of_each_stripe(monkeypatch):
    monkeypatch.setattr(balances, "MAX_AHEAD", 10)
    waiting = Ahead()
    for place in range(100):
        waiting.add(told(place, place, (A, B)[place % 2]))
    assert len(waiting.told) <= 20
    assert [each.place for each in waiting.told][-2:] == [98, 99]
    settled = list(waiting.take_settled(100))
    latest = {stripe: live for each in settled for stripe, live in each.totals.items()}
    assert {stripe: live.offset for stripe, live in latest.items()} == {A: 98, B: 99}
    assert [each.end for each in settled] == sorted(each.end for each in settled)


def test_what_a_run_touched_waits_until_all_of_it_is_compared(monkeypatch):
    monkeypatch.setattr(balances.time, "monotonic", lambda: 10.3)
    run = Told(0, 10.0, 10, {A: totals(3, 0, 1, 3), B: totals(9, 0, 1, 9)})
    waiting = ahead(run, told(2, 12, since=10.5))
    assert list(waiting.take_settled(9)) == []
    assert waiting.take_late(10.2, 0.1) == [A, B]
    assert list(waiting.take_settled(10)) == [run]
    assert waiting.take_late(11.2, 0.1) == [A]

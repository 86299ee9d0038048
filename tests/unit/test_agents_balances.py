"""What a shard has decided and not compared: in which order it leaves, and when it is late."""

from ledger.domain import sums
from ledger.domain.sums import Backlog, Batch
from tests.builders import stripe, totals

A, B = stripe("assets:a"), stripe("assets:b")


def batch(place: int, offset: int, name=A, since: float = 0.0) -> Batch:
    return Batch(place, since, offset + 1, {name: totals(offset, 0, 1, offset)})


def ahead(*items: Batch) -> Backlog:
    made = Backlog()
    for each in items:
        made.add(each)
    return made


def test_what_is_below_the_compared_position_settles_and_leaves():
    waiting = ahead(batch(0, 3), batch(1, 4, B), batch(2, 9))
    assert not waiting.is_due(3)
    assert waiting.is_due(4)
    assert [each.place for each in waiting.take_compared(5, 0.0)] == [0, 1]
    assert [each.place for each in waiting.batches] == [2]
    assert not waiting.is_due(9)


def test_what_waits_is_late_once():
    waiting = ahead(batch(0, 3, since=10.0), batch(1, 4, B, since=10.5))
    assert waiting.take_late(10.05, 0.1) == []
    assert waiting.take_late(10.2, 0.1) == [A]
    assert waiting.take_late(10.3, 0.1) == []
    assert waiting.take_late(10.7, 0.1) == [B]
    waiting.add(batch(2, 9, since=11.0))
    assert waiting.take_late(11.2, 0.1) == [A]


def test_what_is_compared_in_time_is_not_late():
    waiting = ahead(batch(0, 3, since=19.5), batch(1, 9, B, since=19.6))
    list(waiting.take_compared(4, 20.0))
    # Half a second is usual here, and something was compared just now.
    assert waiting.take_late(20.3, 0.1) == []
    assert waiting.take_late(20.99, 0.1) == []
    assert waiting.take_late(21.1, 0.1) == [B]


def test_a_long_wait_keeps_the_latest_of_each_stripe(monkeypatch):
    monkeypatch.setattr(sums, "MAX_AHEAD", 10)
    waiting = Backlog()
    for place in range(100):
        waiting.add(batch(place, place, (A, B)[place % 2]))
    assert len(waiting.batches) <= 20
    assert [each.place for each in waiting.batches][-2:] == [98, 99]
    settled = list(waiting.take_compared(100, 0.0))
    latest = {stripe: live for each in settled for stripe, live in each.totals.items()}
    assert {stripe: live.offset for stripe, live in latest.items()} == {A: 98, B: 99}
    assert [each.end for each in settled] == sorted(each.end for each in settled)


def test_what_a_run_touched_waits_until_all_of_it_is_compared():
    run = Batch(0, 10.0, 10, {A: totals(3, 0, 1, 3), B: totals(9, 0, 1, 9)})
    waiting = ahead(run, batch(2, 12, since=10.5))
    assert list(waiting.take_compared(9, 10.3)) == []
    assert waiting.take_late(10.2, 0.1) == [A, B]
    assert list(waiting.take_compared(10, 10.3)) == [run]
    assert waiting.take_late(11.2, 0.1) == [A]

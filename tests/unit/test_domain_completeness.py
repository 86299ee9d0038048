"""What is complete, case by case."""

import pytest

from ledger.domain.completeness import Asked, Completeness, Position

MOMENT = 1_000
LEVEL = Position(0, 7, 300, 7)


def found(*positions, as_of=None, by="effective"):
    return Completeness(Asked(as_of, by), MOMENT, positions)


def test_a_shard_that_rests_is_complete_up_to_the_moment():
    idle = Position(1, 0, 0, 0)
    assert found(LEVEL, idle).complete
    assert found(LEVEL, idle).through == MOMENT
    assert found(LEVEL, idle, as_of=MOMENT, by="recorded").complete


def test_marks_of_transactions_are_no_records():
    assert found(Position(0, 7, 300, 9, waits=False)).complete
    assert not found(Position(0, 7, 300, 9, waits=None)).complete


def test_a_shard_that_waits_is_named_with_how_many():
    behind = Position(3, 40, 300, 57, waits=True, waits_since=500)
    answer = found(LEVEL, behind, as_of=10**9)
    assert not answer.complete
    assert answer.missing == [behind]
    assert behind.waiting == 17
    assert answer.through == 500


@pytest.mark.parametrize(("as_of", "complete"), [(300, True), (500, True), (501, False)])
def test_by_recorded_time_what_waits_counts_from_its_own_time(as_of, complete):
    behind = Position(0, 40, 300, 57, waits=True, waits_since=500)
    assert found(behind, as_of=as_of, by="recorded").complete is complete


def test_a_time_to_come_is_never_complete():
    ahead = Position(0, 7, 5_000, 7)
    answer = found(ahead, as_of=MOMENT + 1, by="recorded")
    assert answer.to_come
    assert not answer.complete
    assert answer.missing == []
    assert found(ahead, as_of=MOMENT + 1).complete, "by effective time it says what is known now"


def test_where_the_log_cannot_be_read_recorded_time_is_proved_by_what_is_posted():
    unread = Position(0, 7, 300, None)
    assert not found(unread).complete
    assert found(unread, as_of=300, by="recorded").complete
    assert not found(unread, as_of=301, by="recorded").complete
    assert unread.waiting is None


def test_a_log_that_ends_before_what_is_counted_is_another_one():
    other = Position(0, 7, 300, 5, cut=True)
    assert not found(other).complete
    assert not found(other, as_of=100, by="recorded").complete
    assert other.waiting is None


def test_what_was_counted_after_the_end_was_read_is_more_than_was_asked():
    assert found(Position(0, 9, 1_200, 7)).complete


def test_nothing_is_known_of_no_shards():
    assert not found().complete
    assert found().through is None

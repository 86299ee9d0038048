"""Cutting what is much into parts that fit."""

from itertools import count, islice, zip_longest

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.portions import portions


def test_by_count_and_by_weight():
    assert list(portions("abcde", count=2)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(portions([2, 2, 2], size=4, weight=int)) == [[2, 2], [2]]
    assert list(portions([2, 2, 2, 2], size=99, count=3, weight=int)) == [[2, 2, 2], [2]]
    assert list(portions([], size=1, weight=int)) == []


def test_one_that_is_too_heavy_is_alone():
    assert list(portions([1, 9, 1, 1], size=3, weight=int)) == [[1], [9], [1, 1]]


def test_they_are_made_when_asked_for():
    assert list(islice(portions(count(), count=2), 2)) == [[0, 1], [2, 3]]
    assert list(islice(portions(count(1), size=3, weight=int), 2)) == [[1, 2], [3]]


@given(st.lists(st.integers(0, 9)), st.integers(1, 5), st.integers(0, 12))
def test_nothing_is_lost_and_each_is_as_large_as_it_can_be(items, most, size):
    made = list(portions(items, count=most, size=size, weight=int))
    assert [each for some in made for each in some] == items
    for some, after in zip_longest(made, made[1:]):
        assert len(some) <= most
        assert sum(some) <= size or len(some) == 1
        if after is not None:
            assert len(some) == most or sum(some) + after[0] > size

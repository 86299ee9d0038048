"""Comparing both sides, case by case; tests/property has any interleaving."""

import pytest

from ledger.domain import compare
from ledger.domain.balance import Totals
from ledger.domain.compare import Compared, Difference, Side, Sides
from tests.builders import CASH, DEPOSIT, FEES, stripe, totals

A, B, C = stripe(CASH), stripe(DEPOSIT), stripe(FEES)
NAMES = {"a": A, "b": B, "c": C}


def side(at: int, **offsets: int) -> Side:
    """Run `at`, ending at position 10 × `at`; stripes A, B, C with `offset` as their totals."""
    return Side(at, 10 * at, {NAMES[name]: total(each) for name, each in offsets.items()})


def total(offset: int) -> Totals:
    return totals(offset, 0, offset, offset)


def test_whichever_came_first_waits() -> None:
    sides = Sides(0, 0)
    assert sides.add_stream(side(1, a=3)) is None
    compared = sides.add_ledger(0, side(1, a=3))
    assert compared == Compared(1, 10, {A: total(3)}, [])
    assert sides.add_ledger(1, side(2, a=15, b=16)) is None
    compared = sides.add_stream(side(2, a=15, b=16))
    assert compared == Compared(2, 20, {A: total(15), B: total(16)}, [])
    assert (sides.compared, sides.end) == (2, 20)
    assert not sides.stream
    assert not sides.ledger


def test_the_ledger_may_post_several_runs_at_once() -> None:
    sides = Sides(0, 0)
    sides.add_stream(side(1, a=3, b=4))
    sides.add_stream(side(2, a=15))
    compared = sides.add_ledger(0, side(2, a=15, b=4))
    assert compared is not None
    assert compared.totals == {A: total(15), B: total(4)}
    assert not compared.differences


def test_an_end_that_the_stream_does_not_know_waits_for_one_that_it_does() -> None:
    sides = Sides(0, 0)
    sides.add_ledger(0, side(1, a=3))
    sides.add_stream(side(2, a=15, b=4))
    assert sides.add_ledger(1, side(3, c=25)) is None
    compared = sides.add_stream(side(3, c=25))
    assert compared is not None
    # The ledger has no row of B at all.
    assert compared.differences == [
        Difference(A, total(15), total(3)),
        Difference(B, total(4), None),
    ]


@pytest.mark.parametrize(
    ("stream", "ledger"),
    [
        (total(3), total(4)),
        (total(3), total(3)._replace(entries=9)),
        (total(3), total(3)._replace(credits=1)),
        (total(3), total(3)._replace(offset=2)),
        (total(3), None),
        (None, total(3)),
        (Totals(10**30, 0, 1, 3), Totals(10**30 + 1, 0, 1, 3)),
    ],
)
def test_any_difference_is_one(stream: Totals | None, ledger: Totals | None) -> None:
    sides = Sides(0, 0)
    sides.add_stream(Side(1, 10, {} if stream is None else {A: stream}))
    compared = sides.add_ledger(0, Side(1, 10, {} if ledger is None else {A: ledger}))
    assert compared is not None
    assert compared.differences == [Difference(A, stream, ledger)]


def test_differences_are_sorted() -> None:
    sides = Sides(0, 0)
    names = [stripe(f"assets:{number}") for number in range(20)]
    sides.add_stream(Side(1, 10, dict.fromkeys(reversed(names), total(1))))
    compared = sides.add_ledger(0, side(1))
    assert compared is not None
    assert [each.stripe for each in compared.differences] == sorted(names)


def test_a_repeat_changes_nothing() -> None:
    sides = Sides(0, 0)
    sides.add_ledger(0, side(1, a=3))
    sides.add_ledger(1, side(2, a=15))
    for after, repeat in ((0, side(1, a=3)), (1, side(2, a=15)), (0, side(2, a=15))):
        assert sides.add_ledger(after, repeat) is None
    assert [each.at for each in sides.ledger] == [1, 2]
    sides.add_stream(side(1, a=3))
    compared = sides.add_stream(side(2, a=15))
    assert compared is not None
    assert not compared.differences
    assert sides.add_ledger(0, side(2, a=15)) is None
    assert not sides.ledger


def test_a_catch_up_from_before_leaves_out_what_was_compared() -> None:
    sides = Sides(2, 20)
    sides.add_stream(side(3, b=25))
    compared = sides.add_ledger(0, side(3, a=3, b=25))
    assert compared == Compared(3, 30, {B: total(25)}, [])


def test_a_catch_up_may_come_while_what_it_repeats_still_waits() -> None:
    """Posting restarted with the stream behind: what was posted twice opens no break."""
    sides = Sides(0, 0)
    sides.add_ledger(0, side(1, a=3, b=4))
    sides.add_ledger(0, side(2, a=3, b=4, c=15))
    assert sides.add_stream(side(1, a=3, b=4)) == Compared(1, 10, {A: total(3), B: total(4)}, [])
    assert sides.add_stream(side(2, c=15)) == Compared(2, 20, {C: total(15)}, [])


def test_a_row_whose_offset_went_back_is_shown_as_it_is() -> None:
    sides = Sides(2, 20)
    sides.add_stream(side(3, a=25))
    compared = sides.add_ledger(2, side(3, a=4))
    assert compared is not None
    assert compared.differences == [Difference(A, total(25), total(4))]


def test_a_skipped_run_is_a_fault() -> None:
    sides = Sides(2, 20)
    with pytest.raises(ValueError, match="posted from 3 on, and is known only up to 2"):
        sides.add_ledger(3, side(4, a=35))
    sides.add_ledger(2, side(3, a=25))
    with pytest.raises(ValueError, match="posted from 4 on, and is known only up to 3"):
        sides.add_ledger(4, side(5, a=45))


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("first", ["stream", "ledger"])
def test_a_long_lag_is_bounded_and_ends_in_a_comparison(
    monkeypatch: pytest.MonkeyPatch, limit: int, first: str
) -> None:
    monkeypatch.setattr(compare, "MAX_WAITING", limit)
    sides = Sides(0, 0)
    ends: list[int] = []
    for at in range(1, 101):
        if first == "stream":
            assert sides.add_stream(side(at, a=10 * at - 1, b=at)) is None
        else:
            assert sides.add_ledger(at - 1, side(at, a=10 * at - 1, b=at)) is None
        assert len(sides.stream) + len(sides.ledger) <= limit
    for at in range(1, 101):
        # b's offset stays below `end`: as a row of the ledger it would count as compared.
        other = side(at, a=10 * at - 1, b=at)
        compared = sides.add_ledger(at - 1, other) if first == "stream" else sides.add_stream(other)
        if compared is not None:
            ends.append(compared.at)
            assert A not in [each.stripe for each in compared.differences]
    assert ends[-1] == 100
    assert not sides.stream
    assert not sides.ledger


def test_what_is_added_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "MAX_WAITING", 1)
    sides, added = Sides(0, 0), [side(at, a=at) for at in range(1, 4)]
    for each in added:
        sides.add_stream(each)
    assert added == [side(at, a=at) for at in range(1, 4)]

"""A shard's comparison, what was compared before, and breaks; tests/property has any interleaving.

Run `at` is the one before decision offset `at`; it ends at position 10 × `at`.
"""

from collections.abc import Sequence
from itertools import combinations

import pytest

from ledger.domain.balance import NOTHING, Totals
from ledger.domain.compare import (
    Breaks,
    Compared,
    Comparison,
    Difference,
    Mark,
    Posted,
    Step,
    breaks_of,
    compare_again,
)
from ledger.domain.fold import NO_ROW, Row, Rows, RowsOf
from ledger.domain.run import Stripe, Watermark
from ledger.errors import InvariantBroken
from tests.builders import CASH, DEPOSIT, FEES, stripe, totals

A, B, C = stripe(CASH), stripe(DEPOSIT), stripe(FEES)
NAMES = {"a": A, "b": B, "c": C}


def named(**offsets: int) -> dict[Stripe, Totals]:
    """Stripes A, B, C with `offset` as their totals."""
    return {NAMES[name]: total(each) for name, each in offsets.items()}


def total(offset: int) -> Totals:
    return totals(offset, 0, offset, offset)


def rows(broken: str = "", **offsets: int) -> Rows:
    """Rows of A, B, C with `offset` as their totals; `broken` names those with an open break."""
    return {
        NAMES[name]: Row(2, total(each), NOTHING, broken=name in broken)
        for name, each in offsets.items()
    }


def after(at: int) -> Watermark:
    """Where the stream stands after the run before decision offset `at`."""
    return Watermark(at, 10 * at, bytes([at]) * 32, at)


def mark(stream: int, compared: int = 0, posted: int = 0, breaks: int = 0) -> Mark:
    return Mark(after(stream), after(compared), posted, breaks)


def posted(start: int, at: int, *, place: int | None = None, **offsets: int) -> Posted:
    """The message at `place`, by default `at - 1`, about the runs [start, at)."""
    place = at - 1 if place is None else place
    digest = after(at).digest
    return Posted(place + 1, start, at, 10 * at, digest, named(**offsets), has_more=False)


def add_run(comparison: Comparison, at: int, **offsets: int) -> Step | None:
    return comparison.add_run(after(at), named(**offsets))


def test_a_step_names_where_both_sides_stand() -> None:
    comparison = Comparison(Mark(), {})
    assert add_run(comparison, 1, a=3, b=4) is None
    step = comparison.add_posted(posted(0, 1, place=7, a=3, b=4))
    assert step is not None
    assert step.compared == Compared(1, 10, {A: total(3), B: total(4)}, [])
    assert step.watermark == after(1)
    assert step.posted == comparison.position == 8


ORDERS = [
    ["run" if number in places else "posted" for number in range(6)]
    for places in combinations(range(6), 3)
]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_runs_and_postings_may_come_in_any_order(order: Sequence[str]) -> None:
    content = {1: {"a": 3}, 2: {"a": 15, "b": 16}, 3: {"c": 25}}
    comparison, seen = Comparison(Mark(), {}), {"run": 0, "posted": 0}
    ends = []
    for kind in order:
        seen[kind] = at = seen[kind] + 1
        step = (
            add_run(comparison, at, **content[at]) if kind == "run"
            else comparison.add_posted(posted(at - 1, at, **content[at]))
        )  # fmt: skip
        # As soon as both are there, and not before.
        assert (step is not None) == (at == min(seen.values()))
        if step is not None:
            ends.append(step.watermark)
            assert step.posted == at
            assert step.compared == Compared(at, 10 * at, named(**content[at]), [])
    assert ends == [after(1), after(2), after(3)]


def test_differences_are_part_of_the_step() -> None:
    comparison = Comparison(Mark(), {})
    add_run(comparison, 1, a=3, b=4)
    step = comparison.add_posted(posted(0, 1, a=3, b=5))
    assert step is not None
    assert step.compared.differences == [Difference(B, total(4), total(5))]


def test_uncompared_rows_are_one_run_that_waits() -> None:
    comparison = Comparison(mark(3, 1, posted=5), rows(a=15, c=25))
    assert comparison.position == 5
    assert comparison.add_posted(posted(1, 2, place=5, a=15)) is None
    step = comparison.add_posted(posted(2, 3, place=6, c=25))
    assert step is not None
    assert step.compared == Compared(3, 30, {A: total(15), C: total(25)}, [])
    assert (step.watermark, step.posted) == (after(3), 7)


def test_where_all_is_compared_the_next_run_is_the_next() -> None:
    comparison = Comparison(mark(2, 2, posted=4), {})
    assert comparison.add_posted(posted(1, 2, place=4, a=15)) is None
    assert add_run(comparison, 3, b=25) is None
    step = comparison.add_posted(posted(2, 3, place=5, b=25))
    assert step is not None
    assert (step.compared.at, step.posted) == (3, 6)
    assert not step.compared.differences


def test_rows_of_a_predecessor_that_was_ahead_wait_until_they_are_reached() -> None:
    """The mark is at run 1; B has been folded up to run 2 and A up to run 3."""
    comparison = Comparison(mark(1), rows(a=25, b=15, c=5))
    # The general ledger's row of A at run 1 is another than ours: it must not be compared.
    assert comparison.add_posted(posted(0, 1, a=3, b=4, c=5)) is None
    assert add_run(comparison, 2, b=15) is None
    comparison.caught_up()
    assert comparison.add_posted(posted(1, 2, b=15)) is None
    assert add_run(comparison, 3, a=25) is None
    step = comparison.add_posted(posted(2, 3, a=25))
    assert step is not None
    assert step.compared == Compared(3, 30, {A: total(25), B: total(15), C: total(5)}, [])


def test_a_row_is_ahead_from_the_position_of_the_mark_on() -> None:
    comparison = Comparison(mark(1), rows(a=10))
    assert comparison.add_posted(posted(0, 1, a=9)) is None
    add_run(comparison, 2, a=10)
    step = comparison.add_posted(posted(1, 2, a=10))
    assert step is not None
    assert step.compared == Compared(2, 20, {A: total(10)}, [])


def test_a_row_ahead_that_a_run_brings_up_waits_too() -> None:
    """All was compared according to the mark; A has been folded up to run 4."""
    comparison = Comparison(mark(2, 2), {})
    assert add_run(comparison, 3, a=35, b=25) is None
    assert comparison.add_posted(posted(2, 3, a=21, b=25)) is None
    assert add_run(comparison, 4, a=35) is None
    step = comparison.add_posted(posted(3, 4, a=35))
    assert step is not None
    assert step.compared == Compared(4, 40, {A: total(35), B: total(25)}, [])


def test_once_rows_ahead_are_reached_runs_are_compared_one_by_one() -> None:
    comparison = Comparison(mark(1), rows(a=15))
    add_run(comparison, 2, a=15)
    comparison.caught_up()
    add_run(comparison, 3, b=25)
    step = comparison.add_posted(posted(0, 2, a=15))
    assert step is not None
    assert step.compared == Compared(2, 20, {A: total(15)}, [])
    step = comparison.add_posted(posted(2, 3, b=25))
    assert step is not None
    assert step.compared == Compared(3, 30, {B: total(25)}, [])


def test_a_posting_that_is_missing_is_a_fault() -> None:
    comparison = Comparison(mark(1, 1, posted=1), {})
    with pytest.raises(InvariantBroken) as caught:
        comparison.add_posted(posted(2, 3, place=1, a=25))
    assert str(caught.value) == (
        "A posting is missing: the general ledger posted from 2 on, and is known only up to 1. "
        "Restart the posting application of this shard: it publishes again everything after what "
        "was compared."
    )
    # It is read again, and what the application publishes again is taken.
    assert comparison.position == 1


@pytest.mark.parametrize("first", ["run", "posted"])
def test_another_chain_of_runs_is_a_fault(first: str) -> None:
    comparison = Comparison(Mark(), {})
    other = posted(0, 1, a=3)._replace(digest=bytes(32))
    message = r"At 10 the general ledger followed another chain .* Run `faust-ledger verify`\."
    if first == "run":
        add_run(comparison, 1, a=3)
        with pytest.raises(InvariantBroken, match=message):
            comparison.add_posted(other)
    else:
        comparison.add_posted(other)
        with pytest.raises(InvariantBroken, match=message):
            add_run(comparison, 1, a=3)


def test_what_waits_is_read_again_after_a_restart() -> None:
    """`posted` moves over what is compared, and over nothing behind what waits."""
    comparison = Comparison(Mark(), {})
    comparison.add_posted(posted(0, 1, place=0, a=3))
    comparison.add_posted(posted(1, 2, place=1, a=15))
    comparison.add_posted(posted(0, 1, place=2, a=3))
    step = add_run(comparison, 1, a=3)
    assert step is not None
    assert (step.posted, comparison.position) == (1, 3)
    step = add_run(comparison, 2, a=15)
    assert step is not None
    assert step.posted == 3


def test_a_restart_goes_on_from_the_step() -> None:
    first = Comparison(Mark(), {})
    add_run(first, 1, a=3)
    add_run(first, 2, a=15, b=16)
    step = first.add_posted(posted(0, 1, a=3))
    assert step is not None
    again = Comparison(Mark(after(2), step.watermark, step.posted), rows(a=15, b=16))
    assert again.position == 1
    step = again.add_posted(posted(1, 2, a=15, b=16))
    assert step is not None
    assert step.compared == Compared(2, 20, {A: total(15), B: total(16)}, [])


def test_the_position_only_rises() -> None:
    comparison = Comparison(mark(0, 0, posted=4), {})
    comparison.reach(9)
    assert comparison.position == 9
    comparison.reach(6)
    assert comparison.position == 9


def test_parts_of_a_message_are_put_together() -> None:
    comparison = Comparison(Mark(), {})
    first = posted(0, 1, place=3, a=3)._replace(has_more=True)
    second = posted(0, 1, place=4, b=4)._replace(has_more=True)
    last = posted(0, 1, place=5, c=5)
    assert comparison.whole(first) is None
    assert comparison.whole(second) is None
    assert comparison.whole(last) == posted(0, 1, place=5, a=3, b=4, c=5)
    # The next has nothing of it.
    assert comparison.whole(posted(1, 2, b=15)) == posted(1, 2, b=15)
    assert comparison.whole(last) == last


@pytest.mark.parametrize("other", [posted(0, 2, c=15), posted(1, 3, c=25)])
def test_what_was_published_in_part_is_published_again_whole(other: Posted) -> None:
    comparison = Comparison(Mark(), {})
    assert comparison.whole(posted(0, 3, a=3)._replace(has_more=True)) is None
    assert comparison.whole(other) == other
    again = [posted(0, 3, a=3)._replace(has_more=True), posted(0, 3, b=4)]
    assert [comparison.whole(each) for each in again] == [None, posted(0, 3, a=3, b=4)]


def test_parts_of_another_chain_are_not_put_together() -> None:
    comparison = Comparison(Mark(), {})
    assert comparison.whole(posted(0, 3, a=3)._replace(has_more=True)) is None
    other = posted(0, 3, b=4)._replace(digest=bytes(32))
    assert comparison.whole(other) == other


def test_a_late_message_between_the_parts_of_another_does_not_lose_them() -> None:
    """It is of a worker that was replaced."""
    comparison = Comparison(Mark(), {})
    assert comparison.whole(posted(0, 3, a=3)._replace(has_more=True)) is None
    late = posted(0, 2, place=3, a=3)
    assert comparison.whole(late) == late._replace(next_offset=2)
    assert comparison.whole(posted(0, 3, b=4)) == posted(0, 3, a=3, b=4)


def test_parts_that_wait_are_read_again_after_a_restart() -> None:
    comparison = Comparison(Mark(), {})
    add_run(comparison, 1, a=3)
    parts = posted(0, 2, place=4, b=15)._replace(has_more=True), posted(0, 2, place=6, c=16)
    assert comparison.whole(parts[0]) is None
    late = comparison.whole(posted(0, 1, place=5, a=3))
    assert late is not None
    message = comparison.whole(parts[1])
    assert message is not None
    step = comparison.add_posted(late)
    assert step is not None
    assert step.posted == 4
    assert comparison.add_posted(message) is None
    assert comparison.position == 7
    step = add_run(comparison, 2, b=15, c=16)
    assert step is not None
    assert step.posted == 7


def test_parts_that_were_never_completed_are_not_waited_for() -> None:
    """The application died, and publishes once more what it posted, and more."""
    comparison = Comparison(Mark(), {})
    assert comparison.whole(posted(0, 1, place=4, b=4)._replace(has_more=True)) is None
    message = posted(0, 2, place=5, a=15, b=4)
    assert comparison.whole(message) == message
    add_run(comparison, 2, a=15, b=4)
    step = comparison.add_posted(message)
    assert step is not None
    assert step.posted == 6


# What was compared before.


def test_a_repetition_is_all_compared_already() -> None:
    comparison = Comparison(mark(2, 2, posted=2), {})
    assert comparison.is_repetition(posted(0, 1, a=3))
    assert comparison.is_repetition(posted(0, 2, a=15))
    assert not comparison.is_repetition(posted(0, 3, a=25))


def held(table: Rows) -> RowsOf:
    """As a table of stripes answers."""
    return lambda stripes: [table.get(stripe, NO_ROW) for stripe in stripes]


@pytest.mark.parametrize(
    ("row", "again", "compared", "differs"),
    [
        (total(15), total(15), True, False),
        (total(15), total(15)._replace(debits=16), True, True),
        (total(3), total(15), True, True),
        # The row has moved on since: what it was then is not known any more.
        (total(25), total(15), False, False),
    ],
)
def test_comparing_again_takes_rows_that_have_not_moved_on(
    row: Totals, again: Totals, compared: bool, differs: bool
) -> None:
    table = {A: Row(2, row, NOTHING, broken=False), B: Row(2, total(4), NOTHING, broken=False)}
    message = posted(0, 2, a=15, b=4)._replace(totals={A: again, B: total(4)})
    found = compare_again(message, mark(5, 4), held(table))
    assert (found.at, found.end) == (4, 40)
    assert found.totals == ({A: row} if compared else {}) | {B: total(4)}
    assert found.differences == ([Difference(A, row, again)] if differs else [])


# Breaks.


def compared_at_2(*differences: Difference, **offsets: int) -> Compared:
    return Compared(2, 20, named(**offsets), list(differences))


def test_no_difference_and_no_break_change_nothing() -> None:
    assert breaks_of(compared_at_2(a=3, b=4), held(rows(a=3, b=4))) == Breaks([], {}, 0)


def test_a_difference_opens_a_break() -> None:
    found = Difference(A, total(3), total(9))
    breaks = breaks_of(compared_at_2(found, a=3, b=4), held(rows(a=3, b=4)))
    # The row's posted side is what the stream had there.
    assert breaks == Breaks([(found, "open")], {A: Row(2, total(3), total(3), broken=True)}, 1)


def test_a_difference_that_is_found_again_is_reported_again() -> None:
    found = Difference(A, total(3), total(9))
    breaks = breaks_of(compared_at_2(found, a=3), held(rows("a", a=3)))
    assert breaks == Breaks([(found, "open")], {}, 0)


def test_equal_totals_close_a_break() -> None:
    breaks = breaks_of(compared_at_2(a=3, b=4), held(rows("a", a=13, b=4)))
    both = Difference(A, total(3), total(3))
    # The row is ahead of what was compared.
    assert breaks == Breaks([(both, "closed")], {A: Row(2, total(13), total(3), broken=False)}, -1)


def test_a_break_that_was_not_compared_stays_open() -> None:
    assert breaks_of(compared_at_2(b=4), held(rows("a", a=3, b=4))) == Breaks([], {}, 0)


def test_a_stripe_that_the_ledger_alone_has_is_a_break_too() -> None:
    found = Difference(C, None, total(9))
    breaks = breaks_of(compared_at_2(found, a=3), held(rows(a=3)))
    assert breaks == Breaks([(found, "open")], {C: NO_ROW._replace(broken=True)}, 1)


def test_breaks_open_and_close_at_once() -> None:
    opened = Difference(C, total(5), None)
    breaks = breaks_of(compared_at_2(opened, a=3, b=4, c=5), held(rows("ab", a=3, b=4, c=5)))
    assert breaks.found == [
        (Difference(A, total(3), total(3)), "closed"),
        (opened, "open"),
        (Difference(B, total(4), total(4)), "closed"),
    ]
    assert {each: row.broken for each, row in breaks.rows.items()} == {A: False, B: False, C: True}
    assert breaks.opened == -1

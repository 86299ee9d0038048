"""The fold of runs into history, case by case; tests/property has any runs and instants."""

import pytest

from ledger.domain.history import (
    BLOCK,
    PIECE,
    BlockName,
    Figures,
    FoldedHistory,
    Line,
    Piece,
    Running,
    Span,
    WholeBlock,
    completed,
    covering,
    fold,
    packed_figures,
    pieces,
    spans,
)
from ledger.domain.run import Refusal
from tests.builders import CASH, DEPOSIT, FEES, NOW, stripe
from tests.decision_log import DecisionLog
from tests.integration.gl_runs import Leg, made, moved, void_of

A, B, C = stripe(CASH), stripe(DEPOSIT), stripe(FEES)


@pytest.fixture
def log() -> DecisionLog:
    return DecisionLog()


@pytest.fixture
def stripes() -> dict[tuple[str, str], Running]:
    return {A: Running(1, 2), B: Running(2, 2), C: Running(3, 2)}


Stripes = dict[tuple[str, str], Running]


def of(folded: FoldedHistory, key: int) -> list[tuple[int, ...]]:
    return [line for line in folded.lines if line[0] == key]


def test_each_line_has_the_totals_of_its_stripe_after_it(
    log: DecisionLog, stripes: Stripes
) -> None:
    log.run(moved(0, 500), moved(1, 30, credit=FEES))
    log.run(moved(4, 7, debit=DEPOSIT, credit=CASH, effective_at=NOW - 5))
    folded = fold(log.runs, stripes)
    assert of(folded, 1) == [
        Line(1, 1, NOW, 0, 0, NOW, 500, 1, 500, 0, 1),
        Line(1, 2, NOW + 1, 1, 0, NOW, 30, 1, 530, 0, 2),
        Line(1, 3, NOW + 4, 4, 1, NOW - 5, -7, 1, 530, 7, 3),
    ]
    assert stripes == {
        A: Running(1, 2, 3, 530, 7, 3), B: Running(2, 2, 2, 7, 500, 2), C: Running(3, 2, 1, 0, 30, 1),
    }  # fmt: skip
    assert (folded.rescaled, folded.blocks) == ({}, [])


def test_lines_go_on_from_what_was_folded_before(log: DecisionLog, stripes: Stripes) -> None:
    log.run(moved(9, 500))
    stripes[A] = Running(1, 2, 4, 11, 3, 2)
    folded = fold(log.runs, stripes)
    assert of(folded, 1) == [Line(1, 5, NOW + 9, 9, 0, NOW, 500, 1, 511, 3, 3)]


def test_a_void_takes_back_where_it_was_recorded_and_when_it_was_effective(
    log: DecisionLog, stripes: Stripes
) -> None:
    first = log.run(moved(0, 500, effective_at=NOW - 9), moved(1, 20))
    log.run(moved(2, 1), moved(4, 2), voided=[void_of(first, 0, at=3)], end=5)
    assert of(fold(log.runs, stripes), 1)[2:] == [
        Line(1, 3, NOW + 2, 2, 0, NOW, 1, 1, 521, 0, 3),
        Line(1, 4, NOW + 3, 3, 0, NOW - 9, 500, -1, 21, 0, 2),
        Line(1, 5, NOW + 4, 4, 0, NOW, 2, 1, 23, 0, 3),
    ]


def test_a_void_may_be_all_that_a_run_has(log: DecisionLog, stripes: Stripes) -> None:
    first = log.run(made(0, Leg(CASH, 5), Leg(CASH, 7), Leg(FEES, -12)))
    log.run(voided=[void_of(first, 0, at=1)], end=2)
    fold(log.runs, stripes)
    assert stripes[A] == Running(1, 2, 4, 0, 0, 0)
    assert stripes[C] == Running(3, 2, 2, 0, 0, 0)


def test_a_stripe_takes_the_scale_of_what_is_not_void(log: DecisionLog, stripes: Stripes) -> None:
    log.run(made(0, Leg(CASH, 5, scale=3), Leg(FEES, -5)))
    assert fold(log.runs, stripes).rescaled == {A: 3}
    assert stripes[A].scale == 3


def test_a_block_is_whole_with_its_last_line(log: DecisionLog, stripes: Stripes) -> None:
    stripes[A] = Running(1, 2, 3 * BLOCK - 2, 0, 0, 0)
    log.run(moved(0, 1), moved(1, 1), moved(2, 1))
    assert fold(log.runs, stripes).blocks == [WholeBlock(1, 2, NOW + 1)]
    stripes[A] = Running(1, 2, BLOCK - 1, 0, 0, 0)
    log.run(voided=[void_of(log.runs[0], 0, at=5)], end=6)
    assert fold(log.runs[1:], stripes).blocks == [WholeBlock(1, 0, NOW + 5)]


def test_refusals_have_the_run_that_decided_them(log: DecisionLog, stripes: Stripes) -> None:
    refused = Refusal(1, NOW, "t-1", "NOT_BALANCED", "", "CAD: 1 and 2", None, b"value")
    log.run(moved(0, 5))
    log.run(refused=[refused], end=2)
    folded = fold(log.runs, stripes)
    assert folded.refusals == [(1, refused)]
    assert len(folded.lines) == 2


def test_spans_are_whole_periods_down_to_the_finest() -> None:
    instant = (3 << 48) + (5 << 44) + (1 << 36) + 17
    assert spans(instant, 36) == (
        [
            Span(48, None, 3),
            Span(44, 3 << 4, (3 << 4) + 5),
            Span(36, instant >> 40 << 4, instant >> 36),
        ],
        instant - 17,
    )


def test_what_is_before_1970_has_its_periods_too() -> None:
    made, end = spans(-(9 << 36), 36)
    assert (made, end) == ([Span(48, None, 0), Span(40, -1, 0, -1), Span(36, -16, -9)], -(9 << 36))


def test_where_more_than_half_of_a_period_is_before_an_instant_the_rest_is_taken_away() -> None:
    made, end = spans(-1, 36)
    assert (made, end) == ([Span(48, None, 0), Span(36, -1, 0, -1)], -(1 << 36))
    instant = (3 << 48) + (8 << 44) + (9 << 40)
    assert spans(instant, 36)[0] == [
        Span(48, None, 4),
        Span(44, (3 << 4) + 9, 4 << 4, -1),
        Span(40, (instant >> 44 << 4) + 9, (instant >> 44 << 4) + 16, -1),
    ]


@pytest.mark.parametrize(
    ("lines", "blocks", "covered"),
    [
        (0, [], 0),
        (BLOCK - 1, [], 0),
        (3 * BLOCK + 1, [BlockName(0, 0), BlockName(0, 1), BlockName(0, 2)], 3 * BLOCK),
        (8 * BLOCK, [BlockName(1, 0)], 8 * BLOCK),
        (73 * BLOCK + 9, [BlockName(2, 0), BlockName(1, 8), BlockName(0, 72)], 73 * BLOCK),
    ],
)
def test_few_blocks_cover_many_lines(lines: int, blocks: list[BlockName], covered: int) -> None:
    assert covering(lines) == (blocks, covered)


def test_every_eighth_block_completes_one_of_the_next_level() -> None:
    assert completed(0) == [BlockName(0, 0)]
    assert completed(7) == [BlockName(0, 7), BlockName(1, 0)]
    assert completed(63) == [BlockName(0, 63), BlockName(1, 7), BlockName(2, 0)]


def test_a_piece_has_what_its_block_has_before_it() -> None:
    lines = [(NOW - number, 10 if number % 2 else -3, 1) for number in range(PIECE + 2)]
    first, second = pieces(lines)
    assert (len(first.effective_at), len(second.effective_at)) == (PIECE, 2)
    assert first.before == Figures()
    assert second.before == first.figures(NOW + 1)
    assert second.figures(NOW) == Figures(10 * (PIECE // 2 + 1), 3 * PIECE // 2, PIECE + 1)
    assert second.figures(NOW + 1) == Figures(490, 147, PIECE + 2)


def test_a_piece_is_read_as_it_was_packed() -> None:
    [piece] = pieces([(NOW, 2**63 - 1, 1), (-NOW, -(2**63) + 1, -1)])
    again = Piece.unpacked(piece.before, piece.packed())
    assert again.figures(NOW + 1) == piece.figures(NOW + 1) == Figures(2**63 - 1, 1 - 2**63, 0)
    assert list(again.effective_at) == [-NOW, NOW]
    for before in (-NOW, NOW, NOW + 1):
        packed = packed_figures(piece.before, piece.packed(), before)
        assert packed == piece.figures(before)

"""History answers any pair of instants: the same from lines, periods and blocks as from the log.

The model adds up the entries that were recorded and effective before the instants, without what was
taken back by then.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.history import (
    ALL_LEVELS,
    BLOCK,
    LEVELS,
    ZERO,
    Figures,
    Line,
    Piece,
    Running,
    completed,
    covering,
    fold,
    packed_figures,
    pieces,
    spans,
)
from ledger.domain.run import Stripe
from ledger.domain.valid_run import ValidRun
from tests.builders import NOW
from tests.decision_log import DecisionLog
from tests.integration.gl_runs import Leg, made, void_of

ACCOUNTS = [f"assets:{name}" for name in "abc"]
AMOUNTS = st.sampled_from([1, 2, 2**63 - 1])
INSTANTS = st.integers(-5, 30).map(lambda seconds: NOW + seconds)
TIMES = st.integers(-(2**55), 2**57)


@st.composite
def logs(draw: Callable[..., Any]) -> DecisionLog:
    """Runs of a few transactions, effective at any time; some void what runs before accepted."""
    log, offset = DecisionLog(), 0
    voidable: list[tuple[ValidRun, int]] = []
    for _ in range(draw(st.integers(1, 5))):
        transactions, voided = [], []
        for _ in range(draw(st.integers(0, 4))):
            offset += draw(st.integers(1, 2))
            if voidable and draw(st.integers(0, 2)) == 0:
                run, at = voidable.pop(draw(st.integers(0, len(voidable) - 1)))
                voided.append(void_of(run, at, at=offset))
                continue
            debit, credit = draw(st.sampled_from(ACCOUNTS)), draw(st.sampled_from(ACCOUNTS))
            amount, effective_at = draw(AMOUNTS), draw(INSTANTS)
            legs = Leg(debit, amount), Leg(credit, -amount)
            transactions.append(made(offset, *legs, effective_at=effective_at))
        offset += 1
        run = log.run(*transactions, voided=voided, end=offset)
        voidable += [(run, transaction.offset) for transaction in transactions]
    return log


def counted(runs: list[ValidRun], effective: int, recorded: int) -> dict[Stripe, Figures]:
    """The model."""
    void = {
        voided.transaction.offsets[0]
        for run in runs
        for voided in run.voided
        if voided.recorded_at < recorded
    }
    found: dict[Stripe, Figures] = {}
    for run in runs:
        content = run.content
        times = zip(content.offsets, content.recorded_at, content.effective_at, strict=True)
        for (offset, recorded_at, effective_at), legs in zip(times, content.legs(), strict=True):
            if offset in void or recorded_at >= recorded or effective_at >= effective:
                continue
            for account, currency, amount in legs:
                debits, credits, entries = found.get(Stripe(account, currency), ZERO)
                found[Stripe(account, currency)] = Figures(
                    debits + max(amount, 0), credits + max(-amount, 0), entries + 1
                )
    return found


def folded(runs: list[ValidRun]) -> dict[Stripe, list[Line]]:
    """Lines by stripe."""
    names = [Stripe(account, "CAD") for account in ACCOUNTS]
    made = fold(runs, {name: Running(key, 2) for key, name in enumerate(names)})
    lines = [Line(*row) for row in made.lines]
    return {name: [each for each in lines if each.stripe == key] for key, name in enumerate(names)}


def added(lines: list[Line]) -> Figures:
    debits = sum(line.change * line.amount for line in lines if line.amount > 0)
    credits = -sum(line.change * line.amount for line in lines if line.amount < 0)
    return Figures(debits, credits, sum(line.change for line in lines))


@given(logs(), INSTANTS, INSTANTS)
def test_lines_before_two_instants_are_what_was_believed_then(
    log: DecisionLog, effective: int, recorded: int
) -> None:
    model = counted(log.runs, effective, recorded)
    for stripe, lines in folded(log.runs).items():
        known = [line for line in lines if line.recorded_at < recorded]
        assert known == lines[: len(known)]
        assert [line.number for line in lines] == [*range(1, len(lines) + 1)]
        found = added([line for line in known if line.effective_at < effective])
        assert found == model.get(stripe, ZERO)
        last = Figures(*known[-1][-3:]) if known else ZERO
        assert last == added(known)


@given(logs(), st.integers(0, 5))
def test_any_portions_make_the_same_lines(log: DecisionLog, cut: int) -> None:
    names = [Stripe(account, "CAD") for account in ACCOUNTS]
    whole, parts = ({name: Running(key, 2) for key, name in enumerate(names)} for _ in range(2))
    lines = fold(log.runs, whole).lines
    assert fold(log.runs[:cut], parts).lines + fold(log.runs[cut:], parts).lines == lines
    assert parts == whole


@given(TIMES, TIMES, st.sampled_from([each for each in ALL_LEVELS if each <= LEVELS[-1]]))
def test_an_instant_before_another_counts_once_in_spans_or_in_the_rest(
    time: int, before: int, finest: int
) -> None:
    made, end = spans(before, finest)
    within = [
        span.sign
        for span in made
        if (span.start is None or span.start <= time >> span.level)
        and time >> span.level < span.end
    ]
    assert sum(within) + (end <= time < before) == (time < before)
    assert before - end < 1 << finest
    assert all(span.end - span.start <= 8 for span in made if span.start is not None)


LINES = st.lists(st.tuples(INSTANTS, st.sampled_from([5, -7]), st.sampled_from([1, -1])))


@given(LINES, st.integers(1, 4), INSTANTS)
def test_the_last_piece_before_an_instant_has_the_figures_of_its_block(
    lines: list[tuple[int, int, int]], times: int, before: int
) -> None:
    lines = lines * times * 20
    made = [Piece.unpacked(each.before, each.packed()) for each in pieces(lines)]
    for piece in made:
        assert packed_figures(piece.before, piece.packed(), before) == piece.figures(before)
    reached = [piece for piece in made if piece.effective_at[0] < before]
    found = reached[-1].figures(before) if reached else ZERO
    wanted = [Line(0, 0, 0, 0, 0, *line, 0, 0, 0) for line in lines if line[0] < before]
    assert found == added(wanted)


@given(st.integers(0, 3_000))
def test_blocks_are_made_before_they_are_needed(blocks: int) -> None:
    made = {name for block in range(blocks) for name in completed(block)}
    wanted, covered = covering(blocks * BLOCK + 17)
    assert made.issuperset(wanted)
    assert covered == blocks * BLOCK
    assert len(wanted) <= 7 * 5

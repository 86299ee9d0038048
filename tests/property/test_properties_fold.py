"""The fold of runs into rows: the same in any portions, and however often it is done.

The model counts, for each stripe, the entries of what is not void.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.balance import NOTHING, Totals
from ledger.domain.fold import Row
from ledger.domain.run import Stripe
from ledger.domain.valid_run import ValidRun
from tests.decision_log import DecisionLog, Table
from tests.integration.gl_runs import Leg, made, void_of

ACCOUNTS = [f"assets:{name}" for name in "abcd"]
AMOUNTS = st.sampled_from([1, 2, 2**63 - 1])
MAX_RUNS = 6


@st.composite
def logs(draw: Callable[..., Any]) -> DecisionLog:
    """Runs of a few transactions over few stripes; some void what runs before have accepted."""
    log, offset = DecisionLog(), 0
    voidable: list[tuple[ValidRun, int]] = []
    for _ in range(draw(st.integers(1, MAX_RUNS))):
        transactions, voided = [], []
        for _ in range(draw(st.integers(0, 3))):
            offset += draw(st.integers(1, 2))
            if voidable and draw(st.integers(0, 2)) == 0:
                run, at = voidable.pop(draw(st.integers(0, len(voidable) - 1)))
                voided.append(void_of(run, at, at=offset))
                continue
            debit, credit = draw(st.sampled_from(ACCOUNTS)), draw(st.sampled_from(ACCOUNTS))
            amount = draw(AMOUNTS)
            transactions.append(made(offset, Leg(debit, amount), Leg(credit, -amount)))
        offset += 1
        run = log.run(*transactions, voided=voided, end=offset)
        voidable += [(run, transaction.offset) for transaction in transactions]
    return log


def counted(runs: list[ValidRun]) -> dict[Stripe, Totals]:
    """The model: of each stripe that runs touch, what is not void; and what touched it last."""
    void = {voided.transaction.offsets[0]: voided.offset for run in runs for voided in run.voided}
    found: dict[Stripe, list[int]] = {}
    for run in runs:
        for offset, legs in zip(run.content.offsets, run.content.legs(), strict=True):
            for account, currency, amount in legs:
                row = found.setdefault(Stripe(account, currency), [0, 0, 0, -1])
                row[3] = max(row[3], offset, void.get(offset, -1))
                if offset not in void:
                    row[0 if amount > 0 else 1] += abs(amount)
                    row[2] += 1
    return {name: Totals(*row) for name, row in found.items()}


def portions(runs: list[ValidRun], cuts: set[int]) -> list[list[ValidRun]]:
    places = [0, *sorted(cut for cut in cuts if 0 < cut < len(runs)), len(runs)]
    return [runs[start:end] for start, end in zip(places, places[1:], strict=False)]


CUTS = st.sets(st.integers(1, MAX_RUNS))


@given(logs(), CUTS, st.integers(0, 40))
def test_any_portions_make_the_same_rows(log: DecisionLog, cuts: set[int], compared: int) -> None:
    whole, parts = Table(), Table()
    folded = whole.fold(*log.runs, compared=compared)
    totals = [
        each
        for portion in portions(log.runs, cuts)
        for each in parts.fold(*portion, compared=compared).totals
    ]
    assert parts.rows == whole.rows == folded.rows
    assert totals == folded.totals


@given(logs())
def test_the_rows_after_each_run_are_what_the_log_amounts_to(log: DecisionLog) -> None:
    folded = Table().fold(*log.runs)
    for number, (run, totals) in enumerate(zip(log.runs, folded.totals, strict=True), 1):
        expected = counted(log.runs[:number])
        assert totals == {stripe: expected[stripe] for stripe in run.stripes()}
    assert {stripe: row.live for stripe, row in folded.rows.items()} == counted(log.runs)


@given(logs(), st.lists(st.integers(0, MAX_RUNS), max_size=4), st.integers(0, MAX_RUNS))
def test_rows_of_any_age_reach_the_same_totals(
    log: DecisionLog, ages: list[int], start: int
) -> None:
    """A table restored from a predecessor has rows that are ahead of its own position."""
    table = Table()
    start = min(start, len(log.runs))
    for account, age in zip(ACCOUNTS, [*ages, 0, 0, 0, 0], strict=False):
        until = min(max(age, start), len(log.runs))
        stripe = Stripe(account, "CAD")
        if stripe in (known := counted(log.runs[:until])):
            table.rows[stripe] = Row(2, known[stripe], NOTHING, broken=False)
    table.fold(*log.runs[start:])
    assert {stripe: row.live for stripe, row in table.rows.items()} == counted(log.runs)


@given(logs(), CUTS, st.lists(st.integers(0, 40), min_size=MAX_RUNS, max_size=MAX_RUNS))
def test_the_posted_side_is_the_last_that_was_compared(
    log: DecisionLog, cuts: set[int], positions: list[int]
) -> None:
    """`compared` rises from portion to portion, and never beyond what is folded."""
    table, compared = Table(), 0
    for portion, position in zip(portions(log.runs, cuts), positions, strict=False):
        before = dict(table.rows)
        compared = min(max(position, compared), portion[0].before.end)
        after = table.fold(*portion, compared=compared).rows
        for stripe, row in after.items():
            was = before.get(stripe, Row(0, NOTHING, NOTHING, broken=False))
            assert row.posted == (was.live if was.live.offset < compared else was.posted)
            assert row.posted.offset < compared

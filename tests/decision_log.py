"""The decision log of one shard, and rows in a dictionary.

log = DecisionLog()
first = log.run(moved(0, 500))
log.run(moved(1, 7), voided=[void_of(first, 0, at=2)], end=3)
"""

from collections.abc import Sequence

from ledger.domain.fold import NO_ROW, Folded, Row, fold
from ledger.domain.run import Outcomes, Refusal, Stripe, Voided
from ledger.domain.valid_run import ValidRun
from tests.integration.gl_runs import Chain, Made


class DecisionLog:
    """Valid runs, one after another."""

    def __init__(self, shard: int = 0) -> None:
        self._chain = Chain(shard, outcomes=Outcomes().encode())
        self.runs: list[ValidRun] = []

    def run(
        self,
        *transactions: Made,
        voided: Sequence[Voided] = (),
        refused: Sequence[Refusal] = (),
        end: int | None = None,
    ) -> ValidRun:
        """Append the next run; `end` where refused or void records are the last."""
        before = self._chain.watermark
        self._chain.outcomes = Outcomes(refused=list(refused)).encode()
        made = self._chain.run(*transactions, voided=voided, end=end)
        run = ValidRun(made.decision, made.decisions_offset, before, self._chain.watermark)
        self.runs.append(run)
        return run


class Table:
    """Rows by stripe; `looked_up` has every stripe that was asked for, in order."""

    def __init__(self) -> None:
        self.rows: dict[Stripe, Row] = {}
        self.looked_up: list[Stripe] = []

    def rows_of(self, stripes: Sequence[Stripe]) -> list[Row]:
        self.looked_up += stripes
        return [self.rows.get(stripe, NO_ROW) for stripe in stripes]

    def fold(self, *runs: ValidRun, compared: int = 0, void_ahead: Sequence[Voided] = ()) -> Folded:
        """Fold `runs` in one portion, and keep the rows."""
        folded = fold(runs, self.rows_of, compared, void_ahead)
        self.rows |= folded.rows
        return folded

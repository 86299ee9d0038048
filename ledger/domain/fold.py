"""The fold of decisions into stripes: what runs make of the rows that they touch."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ledger.domain.balance import NOTHING, Totals, added_up, taken_back
from ledger.domain.run import Stripe, Voided
from ledger.domain.valid_run import ValidRun
from ledger.errors import InvariantBroken


class Row(NamedTuple):
    """A stripe: `live` as decided, `posted` as last compared when the row was written."""

    scale: int
    live: Totals
    posted: Totals
    broken: bool


NO_ROW = Row(0, NOTHING, NOTHING, broken=False)
Rows = Mapping[Stripe, Row]
RowsOf = Callable[[Sequence[Stripe]], Sequence[Row]]
"""The rows of stripes before the fold, in their order; NO_ROW for one that is new."""


class ScalesMixed(InvariantBroken):
    """A run has other decimals for a stripe than it has: its sums would be of no worth."""


class Folded(NamedTuple):
    """What runs make of the rows: `rows` after all of them; `totals` after each, of its stripes."""

    rows: dict[Stripe, Row]
    totals: list[dict[Stripe, Totals]]


def fold(
    runs: Sequence[ValidRun], rows_of: RowsOf, compared: int, void_ahead: Sequence[Voided] = ()
) -> Folded:
    """Fold runs that follow each other.

    `compared`: position in the transactions before which everything is compared. `void_ahead`:
    what later runs of the log void. Raises ScalesMixed.
    """
    rows: dict[Stripe, Row] = {}
    totals = []
    for run in runs:
        changed = _fold_run(run, rows, rows_of, compared, void_ahead)
        rows |= changed
        totals.append({stripe: row.live for stripe, row in changed.items()})
    return Folded(rows, totals)


def _fold_run(
    run: ValidRun, rows: Rows, rows_of: RowsOf, compared: int, void_ahead: Sequence[Voided]
) -> dict[Stripe, Row]:
    """The rows that the run touches, after it."""
    content = run.content
    stripes = content.stripes()
    before = _rows_before(stripes, rows, rows_of)
    after = added_up(content, [row.live for row in before])
    changed = {}
    for stripe, row, totals, scale in zip(stripes, before, after, content.scales, strict=True):
        live = row.live
        if live.entries and row.scale != scale:
            _require_void(run, stripe, row.scale, scale, void_ahead)
        posted = live if live.offset < compared else row.posted
        changed[stripe] = Row(scale, totals, posted, row.broken)
    return _take_back(run, changed, rows, rows_of, compared) if run.decision.voids else changed


def _rows_before(stripes: Sequence[Stripe], rows: Rows, rows_of: RowsOf) -> Sequence[Row]:
    """After the runs folded so far, whose rows are `rows`."""
    if not rows:
        return rows_of(stripes)
    unknown = [stripe for stripe in stripes if stripe not in rows]
    if not unknown:
        return [rows[stripe] for stripe in stripes]
    held = dict(zip(unknown, rows_of(unknown), strict=True))
    return [rows[stripe] if stripe in rows else held[stripe] for stripe in stripes]


def _take_back(
    run: ValidRun, changed: dict[Stripe, Row], rows: Rows, rows_of: RowsOf, compared: int
) -> dict[Stripe, Row]:
    """`changed` after what the run voids was taken back too."""
    for voided in run.voided:
        content = voided.transaction
        stripes = content.stripes()
        held = dict(zip(stripes, _rows_before(stripes, rows, rows_of), strict=True))
        before = {stripe: row.live for stripe, row in held.items()}
        after = before | {stripe: row.live for stripe, row in changed.items()}
        scales = dict(zip(stripes, voided.scales, strict=True))
        for stripe, totals in taken_back(content, voided.offset, before, after).items():
            row = held[stripe]
            posted = row.live if row.live.offset < compared else row.posted
            changed[stripe] = Row(scales[stripe], totals, posted, row.broken)
    return changed


def _require_void(
    run: ValidRun, stripe: Stripe, had: int, has: int, void_ahead: Sequence[Voided]
) -> None:
    """Raises ScalesMixed unless one of the two is void further on in the log."""
    content = run.content
    touch = {
        offset
        for offset, entries in zip(content.offsets, content.legs(), strict=True)
        if any(Stripe(*entry[:2]) == stripe for entry in entries)
    }
    void = {each.transaction.offsets[0]: each.transaction for each in void_ahead}
    is_older_void = any(
        (stripe, had) in zip(transaction.stripes(), transaction.scales, strict=True)
        for transaction in void.values()
    )
    if is_older_void or touch <= void.keys():
        return
    raise ScalesMixed(
        f"{stripe.currency} had {had} decimals and has {has} in the run at decision offset "
        f"{run.decisions_offset}, by the transactions at {sorted(touch)[:20]}: what was posted "
        "would change its worth. This shard waits. What to do: docs/runbooks/not-postable.md"
    )

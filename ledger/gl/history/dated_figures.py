"""Figures of many accounts before a recorded time, and an effective one, from totals of periods.

A period of effect counts whole if all of it was recorded before the time; it is left out if nothing
of it was. Of one in between, its parts are looked at, and in the end its lines: few, where most is
recorded when it is effective.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, select

from ledger.domain.history import ALL_LEVELS, LEVELS, Figures
from ledger.gl.history.given import given_rows
from ledger.gl.history.period_figures import SIDES, has_uncounted, summed, uncounted
from ledger.gl.history.stripe_figures import CREDIT, DEBIT
from ledger.gl.history.tables import lines, periods, positions, stripes, totals

MOST_LINES = 200_000
MOST_PERIODS = 5_000
"""Above these, the last line of each stripe is read instead."""


class _Period(NamedTuple):
    level: int
    period: int
    lines: int
    first_recorded: int
    last_recorded: int
    is_split: int


@dataclass(slots=True)
class _Chosen:
    """Periods that count whole, and those of which lines are to be read."""

    whole: list[_Period] = field(default_factory=list)
    leaves: list[_Period] = field(default_factory=list)

    @property
    def is_much(self) -> bool:
        lines_read = sum(each.lines for each in self.leaves)
        return lines_read > MOST_LINES or len(self.whole) + len(self.leaves) > MOST_PERIODS


def dated_figures_of_all(
    connection: Connection,
    chosen: ColumnElement[bool] | None,
    effective_before: int | None,
    recorded_before: int,
) -> dict[int, Figures] | None:
    """By account id, zero ones included; None where too much would have to be read."""
    found = _choose(connection, effective_before, recorded_before)
    if found is None:
        return None
    before = [lines.c.recorded_at < recorded_before]
    if effective_before is not None:
        before.append(lines.c.effective_at < effective_before)
    is_behind = has_uncounted(connection)
    parts = []
    if found.whole:
        parts.append(_whole(found.whole))
    if found.leaves:
        parts.append(_leaves(found.leaves, before, is_behind=is_behind))
    if is_behind:
        parts.append(uncounted(*before))
    return summed(connection, parts, chosen) if parts else {}


def _choose(
    connection: Connection, effective_before: int | None, recorded_before: int
) -> _Chosen | None:
    found = _Chosen()
    columns = [periods.c[name] for name in _Period._fields]
    rows = connection.execute(select(*columns).where(periods.c.level == LEVELS[0])).all()
    for level, below in zip(ALL_LEVELS, (*ALL_LEVELS[1:], None), strict=True):
        split = _sort_out(map(_Period._make, rows), effective_before, recorded_before, found)
        if found.is_much or len(split) > MOST_PERIODS:
            return None
        if not split or below is None:
            break
        step = level - below
        names = [(each.period << step) + part for each in split for part in range(1 << step)]
        asked = given_rows("wanted", {"period": names})
        same = and_(periods.c.level == below, periods.c.period == asked.c.period)
        rows = connection.execute(select(*columns).join_from(asked, periods, same)).all()
    return found


def _sort_out(
    rows: Any, effective_before: int | None, recorded_before: int, found: _Chosen
) -> list[_Period]:
    """Add what counts to `found`; the others are returned, of which parts count."""
    split = []
    for each in rows:
        start, end = each.period << each.level, (each.period + 1) << each.level
        if each.first_recorded >= recorded_before:
            continue
        if effective_before is not None and start >= effective_before:
            continue
        is_before = effective_before is None or end <= effective_before
        if is_before and each.last_recorded < recorded_before:
            found.whole.append(each)
        elif each.is_split:
            split.append(each)
        else:
            found.leaves.append(each)
    return split


def _whole(found: Sequence[_Period]) -> Select[Any]:
    levels, names = [each.level for each in found], [each.period for each in found]
    asked = given_rows("whole", {"level": levels, "period": names})
    same = and_(totals.c.level == asked.c.level, totals.c.period == asked.c.period)
    sides = (totals.c[side] for side in SIDES)
    return select(totals.c.account_id, *sides).join_from(asked, totals, same)


def _leaves(
    found: Sequence[_Period], before: Sequence[ColumnElement[bool]], *, is_behind: bool
) -> Select[Any]:
    """Their lines, without those that no totals count yet: these are read by themselves."""
    starts = [each.period << each.level for each in found]
    ends = [(each.period + 1) << each.level for each in found]
    asked = given_rows("part", {"first": starts, "after": ends})
    within = and_(lines.c.effective_at >= asked.c.first, lines.c.effective_at < asked.c.after)
    joined = asked.join(lines, within).join(stripes, stripes.c.id == lines.c.stripe)
    conditions = list(before)
    if is_behind:
        joined = joined.join(positions, positions.c.shard == stripes.c.shard)
        conditions.append(lines.c.folded_at <= positions.c.totalled_at)
    columns = (stripes.c.account_id, DEBIT, CREDIT, lines.c.change)
    return select(*columns).select_from(joined).where(*conditions)

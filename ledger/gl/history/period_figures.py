"""Figures of many accounts before an effective time, from totals of periods and a few lines.

Whole periods before the time are summed, by levels: a few rows an account. How far a level is split
into finer ones depends on how many lines a period has; those of the last, unfinished period are
added up.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    func,
    or_,
    select,
    union_all,
)

from ledger.domain.history import ALL_LEVELS, FINEST, LEVELS, SPLIT_STEP, Figures, spans
from ledger.gl.history.stripe_figures import CREDIT, DEBIT
from ledger.gl.history.tables import accounts, lines, periods, positions, stripes, totals

SIDES = ("debits", "credits", "entries")


def effective_figures_of_all(
    connection: Connection, chosen: ColumnElement[bool] | None, effective_before: int
) -> dict[int, Figures]:
    """By account id the figures of lines that are effective before the time, zero ones included."""
    finest = _finest(connection, effective_before)
    whole, end = spans(effective_before, finest)
    parts = [_periods(each.level, each.start, each.end) for each in whole]
    parts.append(_lines(lines.c.effective_at >= end, lines.c.effective_at < effective_before))
    if _has_uncounted(connection):
        parts.append(_uncounted(end))
    return _summed(connection, [*parts], chosen)


def late_figures_of_all(
    connection: Connection,
    chosen: ColumnElement[bool] | None,
    *,
    effective_before: int,
    recorded_from: int,
) -> dict[int, Figures]:
    """Of lines that are effective before a time and recorded at or after another."""
    is_late = (lines.c.effective_at < effective_before, lines.c.recorded_at >= recorded_from)
    return _summed(connection, [_lines(*is_late)], chosen)


def early_figures_of_all(
    connection: Connection,
    chosen: ColumnElement[bool] | None,
    *,
    effective_from: int,
    recorded_before: int,
) -> dict[int, Figures]:
    """Of lines that are effective at or after a time and recorded before another."""
    is_early = (lines.c.effective_at >= effective_from, lines.c.recorded_at < recorded_before)
    return _summed(connection, [_lines(*is_early)], chosen)


def _finest(connection: Connection, effective_before: int) -> int:
    """The finest level of which the period around the time has totals of its parts."""
    around = [
        and_(periods.c.level == level, periods.c.period == effective_before >> level)
        for level in ALL_LEVELS
        if LEVELS[-1] >= level > FINEST
    ]
    query = select(periods.c.level).where(or_(*around), periods.c.is_split == 1)
    split = {row.level for row in connection.execute(query)}
    level = LEVELS[-1]
    while level in split:
        level -= SPLIT_STEP
    return level


def _periods(level: int, start: int | None, end: int) -> Select[Any]:
    sums = [func.sum(totals.c[side]).label(side) for side in SIDES]
    query = select(totals.c.account_id, *sums).group_by(totals.c.account_id)
    query = query.where(totals.c.level == level, totals.c.period < end)
    return query if start is None else query.where(totals.c.period >= start)


def _lines(*conditions: ColumnElement[bool], joined: FromClause | None = None) -> Select[Any]:
    """By account; lines are summed by stripe first, which has a shorter key to join with."""
    sums = (DEBIT, CREDIT, lines.c.change)
    columns = [func.sum(each).label(side) for each, side in zip(sums, SIDES, strict=True)]
    by_stripe = select(lines.c.stripe, *columns).where(*conditions).group_by(lines.c.stripe)
    if joined is not None:
        by_stripe = by_stripe.select_from(joined)
    found = by_stripe.subquery()
    sides = [func.sum(found.c[side]).label(side) for side in SIDES]
    return (
        select(stripes.c.account_id, *sides)
        .select_from(found.join(stripes, stripes.c.id == found.c.stripe))
        .group_by(stripes.c.account_id)
    )


def _has_uncounted(connection: Connection) -> bool:
    query = select(positions.c.shard).where(positions.c.folded_at > positions.c.totalled_at)
    return connection.execute(query.limit(1)).first() is not None


def _uncounted(end: int) -> Select[Any]:
    """Lines effective before `end` that no totals count yet: the last ones of each shard."""
    owner = stripes.alias("owner")
    joined = lines.join(owner, owner.c.id == lines.c.stripe).join(
        positions, positions.c.shard == owner.c.shard
    )
    first = select(func.min(positions.c.totalled_at)).scalar_subquery()
    return _lines(
        lines.c.folded_at > first,
        lines.c.folded_at > positions.c.totalled_at,
        lines.c.effective_at < end,
        joined=joined,
    )


def _summed(
    connection: Connection, parts: list[Select[Any]], chosen: ColumnElement[bool] | None
) -> dict[int, Figures]:
    together = union_all(*parts).subquery("parts")
    sums = [func.sum(together.c[side]) for side in SIDES]
    query = select(together.c.account_id, *sums).group_by(together.c.account_id)
    if chosen is not None:
        wanted = select(accounts.c.id).where(chosen)
        query = query.where(together.c.account_id.in_(wanted))
    return {
        account: Figures(int(debits), int(credits), int(entries))
        for account, debits, credits, entries in connection.execute(query)
    }


def differences(figures: Mapping[int, Figures], less: Mapping[int, Figures]) -> dict[int, Figures]:
    """By account the first figures less the second."""
    nothing = Figures()
    return {
        account: Figures(*map(int.__sub__, each, less.get(account, nothing)))
        for account, each in figures.items()
    }

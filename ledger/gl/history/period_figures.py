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
    Select,
    and_,
    func,
    or_,
    select,
    union_all,
)

from ledger.domain.history import ALL_LEVELS, FINEST, LEVELS, SPLIT_STEP, Figures, Span, spans
from ledger.gl.history.stripe_figures import CREDIT, DEBIT
from ledger.gl.history.tables import accounts, lines, periods, positions, stripes, totals

SIDES = ("debits", "credits", "entries")


def effective_figures_of_all(
    connection: Connection, chosen: ColumnElement[bool] | None, effective_before: int
) -> dict[int, Figures]:
    """By account id the figures of lines that are effective before the time, zero ones included."""
    finest = _finest(connection, effective_before)
    whole, end = spans(effective_before, finest)
    parts = list(map(_periods, whole))
    parts.append(_lines(lines.c.effective_at >= end, lines.c.effective_at < effective_before))
    if has_uncounted(connection):
        parts.append(uncounted(lines.c.effective_at < end))
    return summed(connection, [*parts], chosen)


def late_figures_of_all(
    connection: Connection,
    chosen: ColumnElement[bool] | None,
    *,
    effective_before: int,
    recorded_from: int,
) -> dict[int, Figures]:
    """Of lines that are effective before a time and recorded at or after another."""
    is_late = (lines.c.effective_at < effective_before, lines.c.recorded_at >= recorded_from)
    return summed(connection, [_lines(*is_late)], chosen)


def early_figures_of_all(
    connection: Connection,
    chosen: ColumnElement[bool] | None,
    *,
    effective_from: int,
    recorded_before: int,
) -> dict[int, Figures]:
    """Of lines that are effective at or after a time and recorded before another."""
    is_early = (lines.c.effective_at >= effective_from, lines.c.recorded_at < recorded_before)
    return summed(connection, [_lines(*is_early)], chosen)


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


def _periods(span: Span) -> Select[Any]:
    sides = (totals.c[side] if span.sign > 0 else -totals.c[side] for side in SIDES)
    query = select(totals.c.account_id, *sides)
    query = query.where(totals.c.level == span.level, totals.c.period < span.end)
    return query if span.start is None else query.where(totals.c.period >= span.start)


def _lines(*conditions: ColumnElement[bool]) -> Select[Any]:
    joined = lines.join(stripes, stripes.c.id == lines.c.stripe)
    return (
        select(stripes.c.account_id, DEBIT, CREDIT, lines.c.change)
        .select_from(joined)
        .where(*conditions)
    )


def has_uncounted(connection: Connection) -> bool:
    """Whether there are lines that no totals count yet."""
    query = select(positions.c.shard).where(positions.c.folded_at > positions.c.totalled_at)
    return connection.execute(query.limit(1)).first() is not None


def uncounted(*conditions: ColumnElement[bool]) -> Select[Any]:
    """Lines that no totals count yet: the last ones of each shard."""
    joined = lines.join(stripes, stripes.c.id == lines.c.stripe).join(
        positions, positions.c.shard == stripes.c.shard
    )
    first = select(func.min(positions.c.totalled_at)).scalar_subquery()
    return (
        select(stripes.c.account_id, DEBIT, CREDIT, lines.c.change)
        .select_from(joined)
        .where(
            lines.c.folded_at > first,
            lines.c.folded_at > positions.c.totalled_at,
            *conditions,
        )
    )


def summed(
    connection: Connection, parts: list[Select[Any]], chosen: ColumnElement[bool] | None
) -> dict[int, Figures]:
    """By account; of all parts at once, for the database takes longest to begin a sum."""
    together = union_all(*parts).subquery("parts")
    account, *sides = together.c
    query = select(account, *map(func.sum, sides)).group_by(account)
    if chosen is not None:
        query = query.where(account.in_(select(accounts.c.id).where(chosen)))
    return {
        account_id: Figures(int(debits), int(credits), int(entries))
        for account_id, debits, credits, entries in connection.execute(query)
    }


def differences(figures: Mapping[int, Figures], less: Mapping[int, Figures]) -> dict[int, Figures]:
    """By account the first figures less the second."""
    nothing = Figures()
    return {
        account: Figures(*map(int.__sub__, each, less.get(account, nothing)))
        for account, each in figures.items()
    }

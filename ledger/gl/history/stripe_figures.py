"""Figures of stripes before an effective and a recorded time, from lines and blocks.

By recorded time alone a stripe's figures are in its last line. With an effective time too, the
lines before that one are covered by a few blocks; in each of them one piece has the answer. What is
in no block, at most a few hundred lines at the end, is added up.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    true,
)

from ledger.domain import history
from ledger.domain.history import (
    BLOCKS_TOGETHER,
    ZERO,
    BlockName,
    Figures,
    covering,
    packed_figures,
)
from ledger.gl.history.given import given_rows
from ledger.gl.history.tables import accounts, blocks, lines, stripes

AT_ONCE = 1_000
"""Rows of a list that a query takes."""

SIGNED = lines.c.change * lines.c.amount
DEBIT = case((lines.c.amount > 0, SIGNED), else_=0)
CREDIT = case((lines.c.amount < 0, -SIGNED), else_=0)
"""What a line adds to its stripe."""


class StripeRow(NamedTuple):
    """A stripe: its id, account's id, shard; lines before the recorded time, and their figures."""

    id: int
    account_id: int
    shard: int
    lines: int
    figures: Figures


def read_stripes(
    connection: Connection, chosen: ColumnElement[bool], recorded_before: int | None
) -> list[StripeRow]:
    """The stripes of the accounts that `chosen` names, as their lines before the time left them."""
    last = last_line(recorded_before)
    query = (
        select(stripes.c.id, stripes.c.account_id, stripes.c.shard, *last.c)
        .select_from(stripes.join(accounts, accounts.c.id == stripes.c.account_id))
        .join(last, true())
        .where(chosen)
    )
    return [
        StripeRow(id_, account, shard, count, Figures(int(debits), int(credits), entries))
        for id_, account, shard, count, debits, credits, entries in connection.execute(query)
    ]


def recorded_figures(
    connection: Connection, chosen: ColumnElement[bool] | None, recorded_before: int | None
) -> dict[int, Figures]:
    """By account id the figures of what was recorded before the time, or of all."""
    last = last_line(recorded_before)
    sums = map(func.sum, (last.c.debits, last.c.credits, last.c.entries))
    query = select(stripes.c.account_id, *sums).group_by(stripes.c.account_id)
    joined: FromClause = stripes
    if chosen is not None:
        joined = stripes.join(accounts, accounts.c.id == stripes.c.account_id)
        query = query.where(chosen)
    query = query.select_from(joined.join(last, true()))
    return {
        account: Figures(int(debits), int(credits), int(entries))
        for account, debits, credits, entries in connection.execute(query)
    }


def last_line(recorded_before: int | None) -> FromClause:
    """Of each stripe its last line that is recorded before the time: one look-up by key."""
    found = (
        select(lines.c.n, lines.c.debits, lines.c.credits, lines.c.entries)
        .where(lines.c.stripe == stripes.c.id)
        .order_by(lines.c.recorded_at.desc(), lines.c.n.desc())
        .limit(1)
    )
    if recorded_before is not None:
        found = found.where(lines.c.recorded_at < recorded_before)
    return found.lateral("last_line")


def effective_figures(
    connection: Connection,
    found: Sequence[StripeRow],
    effective_before: int,
    recorded_before: int | None,
) -> dict[int, Figures]:
    """By stripe the figures of those of its lines that are effective before that time."""
    sums: dict[int, Figures] = dict.fromkeys((each.id for each in found), ZERO)
    covered = _add_blocks(connection, found, effective_before, sums)
    left = {each.id: (covered[each.id], each.lines) for each in found}
    _add_lines(connection, left, effective_before, recorded_before, sums)
    return sums


def _add_blocks(
    connection: Connection,
    found: Sequence[StripeRow],
    effective_before: int,
    sums: dict[int, Figures],
) -> dict[int, int]:
    """By stripe how many of its first lines are in the blocks that were added.

    A block that is not made yet is replaced by its parts; at the first of the lowest level that is
    missing, the blocks of a stripe end.
    """
    wanted: list[tuple[int, BlockName]] = []
    ends: dict[int, int] = {}
    for each in found:
        names, ends[each.id] = covering(each.lines)
        wanted += [(each.id, name) for name in names]
    added: dict[int, dict[BlockName, Figures]] = defaultdict(dict)
    while wanted:
        figures = _block_figures(connection, wanted, effective_before)
        missing = []
        for stripe, name in wanted:
            if (stripe, name) in figures:
                added[stripe][name] = figures[stripe, name]
            elif name.level:
                missing += [(stripe, part) for part in _parts(name)]
            else:
                ends[stripe] = min(ends[stripe], _start(name))
        wanted = [(stripe, name) for stripe, name in missing if _start(name) < ends[stripe]]
    for stripe, by_name in added.items():
        inside = (figures for name, figures in by_name.items() if _start(name) < ends[stripe])
        sums[stripe] = added_up((sums[stripe], *inside))
    return ends


def _parts(name: BlockName) -> Iterator[BlockName]:
    first = name.block * BLOCKS_TOGETHER
    return (BlockName(name.level - 1, first + each) for each in range(BLOCKS_TOGETHER))


def _start(name: BlockName) -> int:
    """How many lines of its stripe are before it."""
    return name.block * history.BLOCK * int(BLOCKS_TOGETHER**name.level)


def _block_figures(
    connection: Connection, wanted: Sequence[tuple[int, BlockName]], effective_before: int
) -> dict[tuple[int, BlockName], Figures]:
    """Of those of the blocks that there are; zero where nothing of it is effective by then."""
    found: dict[tuple[int, BlockName], Figures] = {}
    for at in range(0, len(wanted), AT_ONCE):
        part = [(stripe, *name) for stripe, name in wanted[at : at + AT_ONCE]]
        rows = connection.execute(_pieces(part, effective_before)).all()
        for stripe, level, block, packed, debits, credits, entries in rows:
            figures = ZERO
            if packed is not None:
                before = Figures(int(debits), int(credits), entries)
                figures = packed_figures(before, packed, effective_before)
            found[stripe, BlockName(level, block)] = figures
    return found


def _pieces(wanted: Sequence[tuple[int, int, int]], effective_before: int) -> Select[Any]:
    """Of each of the blocks that there are, its last piece that begins before the time."""
    ids, levels, names = zip(*wanted, strict=True)
    asked = given_rows("wanted", {"stripe": ids, "level": levels, "block": names})
    same = and_(
        blocks.c.stripe == asked.c.stripe,
        blocks.c.level == asked.c.level,
        blocks.c.block == asked.c.block,
    )
    piece = (
        select(blocks.c.lines, blocks.c.debits, blocks.c.credits, blocks.c.entries)
        .where(same, blocks.c.first_effective < effective_before)
        .order_by(blocks.c.first_effective.desc(), blocks.c.piece.desc())
        .limit(1)
        .lateral("piece")
    )
    is_made = exists().where(same)
    return (
        select(asked.c.stripe, asked.c.level, asked.c.block, *piece.c)
        .select_from(asked.outerjoin(piece, true()))
        # The second look-up is made only where the first one finds nothing.
        .where(or_(piece.c.lines.is_not(None), is_made))
    )


def _add_lines(
    connection: Connection,
    left: Mapping[int, tuple[int, int]],
    effective_before: int,
    recorded_before: int | None,
    sums: dict[int, Figures],
) -> None:
    """Add a stripe's lines after the first ones; `left`: by stripe how many those are, and all."""
    # Those with about the same number of lines together: a query has one limit.
    wanted = sorted((end - start, stripe, start) for stripe, (start, end) in left.items()
                    if start < end)  # fmt: skip
    for at in range(0, len(wanted), AT_ONCE):
        counts, ids, starts = zip(*wanted[at : at + AT_ONCE], strict=True)
        asked = given_rows("wanted", {"stripe": ids, "first": starts})
        recent = _recent_lines(asked, counts[-1], recorded_before)
        sides = (recent.c.debit, recent.c.credit, recent.c.change)
        query = (
            select(asked.c.stripe, *map(func.sum, sides))
            .select_from(asked.join(recent, true()))
            .where(recent.c.n > asked.c.first, recent.c.effective_at < effective_before)
            .group_by(asked.c.stripe)
        )
        for stripe, debits, credits, entries in connection.execute(query):
            figures = Figures(int(debits), int(credits), int(entries))
            sums[stripe] = added_up((sums[stripe], figures))


def _recent_lines(asked: FromClause, most: int, recorded_before: int | None) -> FromClause:
    """Of each stripe its last lines; a limit that differs by row is not standard SQL."""
    columns = (lines.c.n, lines.c.effective_at, lines.c.change)
    query = (
        select(*columns, DEBIT.label("debit"), CREDIT.label("credit"))
        .where(lines.c.stripe == asked.c.stripe)
        .order_by(lines.c.recorded_at.desc(), lines.c.n.desc())
        .limit(most)
    )
    if recorded_before is not None:
        query = query.where(lines.c.recorded_at < recorded_before)
    return query.lateral("recent")


def added_up(figures: Iterable[Figures]) -> Figures:
    """Their sum."""
    return Figures(*map(sum, zip(*figures, strict=True)))

"""The statements that count lines in totals by period of effect, and that make blocks of lines.

Both are derived from lines that were committed before, each in a database transaction of its own: a
reader adds up lines that are not counted yet, and lines of which there is no block yet.
"""

from collections.abc import Sequence
from typing import Any

import psycopg

from ledger.domain.history import (
    BLOCK,
    BLOCKS_TOGETHER,
    FINEST,
    LEVELS,
    SPLIT_STEP,
    ZERO,
    BlockName,
    Piece,
    completed,
    pieces,
)

SPLIT_LINES = 50_000
"""A period in which more is effective is split, if that makes fewer rows by so much:"""
SPLIT_BY = 8
BLOCKS_AT_ONCE = 64
"""Made in one database transaction."""

# One at a time counts in totals, whatever shards: a period is split as a whole. Any number that no
# other program uses; "history" in ASCII.
_LOCK = f"SELECT pg_advisory_xact_lock({int.from_bytes(b'history', 'big')})"
# These read many rows, and the planner may choose how.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL enable_seqscan TO on"
# Nobody folds these shards meanwhile.
_POSITIONS = """
SELECT folded_at, totalled_at FROM positions WHERE shard = ANY (%(shards)s) ORDER BY shard
FOR UPDATE
"""
_RECENT = """
SELECT stripes.account_id, lines.effective_at, lines.recorded_at, lines.amount, lines.change
FROM lines JOIN stripes ON stripes.id = lines.stripe JOIN positions USING (shard)
WHERE lines.folded_at > %(since)s AND lines.folded_at > positions.totalled_at
    AND positions.shard = ANY (%(shards)s)
"""
_SUMS = """
coalesce(sum(amount * change) FILTER (WHERE amount > 0), 0) AS debits,
coalesce(-sum(amount * change) FILTER (WHERE amount < 0), 0) AS credits,
sum(change) AS entries, count(*) AS lines,
min(recorded_at) AS first_recorded, max(recorded_at) AS last_recorded
"""
_ADD_TO_TOTALS = """
INSERT INTO totals AS known (level, period, account_id, debits, credits, entries)
SELECT level, period, account_id, sum(debits), sum(credits), sum(entries) FROM parts
GROUP BY level, period, account_id ORDER BY level, period, account_id
ON CONFLICT (level, period, account_id) DO UPDATE
SET debits = known.debits + excluded.debits, credits = known.credits + excluded.credits,
    entries = known.entries + excluded.entries
"""
_ADD_TO_PERIODS = f"""
INSERT INTO periods AS known (level, period, lines, first_recorded, last_recorded, is_split)
SELECT level, period, sum(lines), min(first_recorded), max(last_recorded),
    CASE WHEN level > {LEVELS[-1]} THEN 1 ELSE 0 END
FROM parts GROUP BY level, period ORDER BY level, period
ON CONFLICT (level, period) DO UPDATE SET lines = known.lines + excluded.lines,
    first_recorded = least(known.first_recorded, excluded.first_recorded),
    last_recorded = greatest(known.last_recorded, excluded.last_recorded)
RETURNING level, period, lines, is_split
"""  # noqa: S608 - a number of ours
_ADD = f"added AS ({_ADD_TO_TOTALS}) {_ADD_TO_PERIODS}"
_COUNT = f"""
WITH recent AS ({_RECENT}), finest AS (
    SELECT account_id, effective_at >> {LEVELS[-1]} AS period, {_SUMS} FROM recent GROUP BY 1, 2
), parts AS (
    SELECT level, period >> level - {LEVELS[-1]} AS period, account_id, debits, credits, entries,
        lines, first_recorded, last_recorded
    FROM finest CROSS JOIN unnest('{{{",".join(map(str, LEVELS))}}}'::integer[]) AS level
), {_ADD}
"""  # noqa: S608
_COUNT_SPLIT = f"""
WITH recent AS ({_RECENT}), parts AS (
    SELECT %(level)s::integer - {SPLIT_STEP} AS level,
        effective_at >> %(level)s::integer - {SPLIT_STEP} AS period, account_id, {_SUMS}
    FROM recent WHERE effective_at >> %(level)s::integer = ANY (%(periods)s)
    GROUP BY 1, 2, 3
), {_ADD}
"""  # noqa: S608
_SPLIT = f"""
WITH within AS (
    SELECT stripes.account_id, lines.effective_at, lines.recorded_at, lines.amount, lines.change
    FROM lines JOIN stripes ON stripes.id = lines.stripe JOIN positions USING (shard)
    WHERE lines.effective_at >= %(start)s AND lines.effective_at < %(end)s
        AND lines.folded_at <= positions.totalled_at
), parts AS (
    SELECT %(level)s::integer - {SPLIT_STEP} AS level,
        effective_at >> %(level)s::integer - {SPLIT_STEP} AS period, account_id, {_SUMS}
    FROM within GROUP BY 1, 2, 3
), {_ADD}
"""  # noqa: S608
_COUNTED = "UPDATE positions SET totalled_at = folded_at WHERE shard = ANY (%(shards)s)"
_SPLIT_PERIODS = f"""
SELECT level, array_agg(period) FROM periods WHERE is_split = 1 AND level <= {LEVELS[-1]}
GROUP BY level ORDER BY level DESC
"""  # noqa: S608
_ACCOUNTS_OF = "SELECT count(*) FROM totals WHERE level = %s AND period = %s"
_IS_SPLIT = "UPDATE periods SET is_split = 1 WHERE level = %s AND period = %s"

_TAKE_UNBLOCKED = """
DELETE FROM unblocked USING (
    SELECT unblocked.stripe, block FROM unblocked JOIN stripes ON stripes.id = unblocked.stripe
    WHERE stripes.shard = ANY (%(shards)s) ORDER BY unblocked.stripe, block LIMIT %(count)s
) AS taken
WHERE unblocked.stripe = taken.stripe AND unblocked.block = taken.block
RETURNING unblocked.stripe, unblocked.block, unblocked.recorded_at
"""
_LINES = f"""
SELECT effective_at, amount, change FROM lines
WHERE stripe = %s AND (recorded_at, n) <= (%s, %s)
ORDER BY recorded_at DESC, n DESC LIMIT {BLOCK}
"""  # noqa: S608
_PIECES = """
SELECT lines FROM blocks WHERE stripe = %s AND level = %s AND block >= %s AND block < %s
"""
_INSERT_PIECE = """
INSERT INTO blocks (stripe, level, block, first_effective, piece, debits, credits, entries, lines)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""

Driver = psycopg.Connection[Any]
Period = tuple[int, int, int, int]
"""Level, period, lines that are effective in it, whether it is split."""


def count_totals(driver: Driver, shards: Sequence[int]) -> None:
    """Count the shards' lines that are not counted yet, and split periods that have many."""
    given = {"shards": list(shards)}
    driver.execute(_BEGIN)
    driver.execute(_LOCK)
    waiting = [
        totalled_at
        for folded_at, totalled_at in driver.execute(_POSITIONS, given).fetchall()
        if folded_at > totalled_at
    ]
    if waiting:
        _count(driver, given | {"since": min(waiting)})
    driver.execute("COMMIT")


def _count(driver: Driver, given: dict[str, object]) -> None:
    split = driver.execute(_SPLIT_PERIODS).fetchall()
    touched: list[Period] = driver.execute(_COUNT, given).fetchall()
    for level, periods in split:
        arguments = given | {"level": level, "periods": periods}
        touched += driver.execute(_COUNT_SPLIT, arguments).fetchall()
    driver.execute(_COUNTED, given)
    while touched:
        period = touched.pop()
        if _is_dense(driver, period):
            touched += _split(driver, period)


def _is_dense(driver: Driver, period: Period) -> bool:
    level, number, lines, is_split = period
    if is_split or level <= FINEST or lines <= SPLIT_LINES:
        return False
    found = driver.execute(_ACCOUNTS_OF, [level, number]).fetchone()
    return found is not None and lines > SPLIT_BY * int(found[0])


def _split(driver: Driver, period: Period) -> list[Period]:
    """Count the period's lines at the next finer level too; returns its parts."""
    level, number, _, _ = period
    given = {"level": level, "start": number << level, "end": (number + 1) << level}
    made: list[Period] = driver.execute(_SPLIT, given).fetchall()
    driver.execute(_IS_SPLIT, [level, number])
    return made


def make_blocks(driver: Driver, shards: Sequence[int]) -> bool:
    """Make some blocks of the shards' stripes. Whether there may be more to make."""
    given = {"shards": list(shards), "count": BLOCKS_AT_ONCE}
    driver.execute(_BEGIN)
    # One at a time makes blocks of a shard: those of a level before the one that has them.
    driver.execute(_POSITIONS, given)
    taken = driver.execute(_TAKE_UNBLOCKED, given).fetchall()
    for stripe, block, recorded_at in sorted(taken):
        last = (block + 1) * BLOCK
        lines = driver.execute(_LINES, [stripe, recorded_at, last], prepare=True).fetchall()
        _insert(driver, stripe, BlockName(0, block), pieces(lines))
        for name in completed(block)[1:]:
            _insert(driver, stripe, name, pieces(_lines_below(driver, stripe, name)))
    driver.execute("COMMIT")
    return len(taken) == BLOCKS_AT_ONCE


def _lines_below(driver: Driver, stripe: int, name: BlockName) -> list[tuple[int, int, int]]:
    """The lines of the blocks that make this one."""
    first = name.block * BLOCKS_TOGETHER
    bounds = [stripe, name.level - 1, first, first + BLOCKS_TOGETHER]
    lines: list[tuple[int, int, int]] = []
    for (packed,) in driver.execute(_PIECES, bounds, prepare=True):
        piece = Piece.unpacked(ZERO, packed)
        lines += zip(piece.effective_at, piece.amounts, piece.changes, strict=True)
    return lines


def _insert(driver: Driver, stripe: int, name: BlockName, made: Sequence[Piece]) -> None:
    rows = [
        (stripe, *name, each.effective_at[0], number, *each.before, each.packed())
        for number, each in enumerate(made)
    ]
    with driver.cursor() as cursor:
        cursor.executemany(_INSERT_PIECE, rows)

"""The statements that count lines in totals by period of effect, and that make blocks of lines.

Both are derived from lines that were committed before, each in a database transaction of its own: a
reader adds up lines that are not counted yet, and lines of which there is no block yet.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import psycopg

from ledger.domain.history import (
    ALL_LEVELS,
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
AHEAD = 64
"""Periods after a dense one that are split before they have lines."""
BLOCKS_AT_ONCE = 64
"""Made in one database transaction."""

# One at a time counts in totals, whatever shards: a period is split as a whole. Any number that no
# other program uses; "history" in ASCII.
_LOCK = f"SELECT pg_advisory_xact_lock({int.from_bytes(b'history', 'big')})"
# These read many rows, and the planner may choose how.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL enable_seqscan TO on"
# It takes the many rows of a step for few, of which each would look for its period by itself.
_BEGIN_COUNT = f"{_BEGIN}; SET LOCAL enable_nestloop TO off; SET LOCAL work_mem TO '64MB'"
# Lines up to here are committed and never change; what is folded meanwhile is later.
_POSITIONS = """
SELECT shard, folded_at, totalled_at FROM positions
WHERE shard = ANY (%(shards)s) AND folded_at > totalled_at
"""
# In order of shard, as folds lock them.
_LOCK_POSITIONS = """
SELECT FROM positions WHERE shard = ANY (%(shards)s) ORDER BY shard FOR UPDATE
"""
_RECENT = """
SELECT stripes.account_id, lines.effective_at, lines.recorded_at, lines.amount, lines.change
FROM lines JOIN stripes ON stripes.id = lines.stripe
JOIN unnest(%(shards)s::integer[], %(after)s::bigint[], %(until)s::bigint[])
    AS counted (shard, after, until) USING (shard)
WHERE lines.folded_at > %(since)s AND lines.folded_at > counted.after
    AND lines.folded_at <= counted.until
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
_RANGE = f"SELECT min(effective_at), max(effective_at) FROM ({_RECENT}) AS recent"  # noqa: S608
# What follows a dense period is most likely as dense: it is split before it has lines, where a
# period that turns out to be has to have them counted again.
_SPLIT_NEXT = f"""
INSERT INTO periods (level, period, lines, first_recorded, last_recorded, is_split)
SELECT DISTINCT level, next, 0, {2**63 - 1}, {-(2**63)}, 1
FROM periods AS dense, generate_series(
    greatest(period + 1, %(first)s::bigint >> level),
    least(period + {AHEAD}, %(last)s::bigint >> level)
) AS next
WHERE level = %(level)s AND is_split = 1 AND lines > {SPLIT_LINES} AND (
    level = {LEVELS[-1]} OR EXISTS (
        SELECT FROM periods AS above WHERE above.level = dense.level + {SPLIT_STEP}
        AND above.period = next >> {SPLIT_STEP} AND above.is_split = 1
    )
)
ON CONFLICT DO NOTHING
"""  # noqa: S608
_SPLIT_LEVELS = f"""
SELECT DISTINCT level FROM periods
WHERE is_split = 1 AND level <= {LEVELS[-1]}
    AND period BETWEEN %(first)s::bigint >> level AND %(last)s::bigint >> level
ORDER BY level DESC
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
_OF_FINEST = f"""
WITH recent AS ({_RECENT}), of_{{level}} AS MATERIALIZED (
    SELECT account_id, effective_at >> {{level}} AS period, {_SUMS} FROM recent GROUP BY 1, 2
)
"""  # noqa: S608
_OF_BELOW = """
of_{level} AS MATERIALIZED (
    SELECT account_id, period >> {step} AS period, sum(debits) AS debits, sum(credits) AS credits,
        sum(entries) AS entries, sum(lines) AS lines, min(first_recorded) AS first_recorded,
        max(last_recorded) AS last_recorded
    FROM of_{below} GROUP BY 1, 2
)
"""
_PART = """
SELECT {level} AS level, period, account_id, debits, credits, entries, lines, first_recorded,
    last_recorded
FROM of_{level} AS part {where}
"""
_PARENT = f"""
WHERE EXISTS (
    SELECT FROM periods AS above WHERE above.level = {{level}} + {SPLIT_STEP}
    AND above.period = part.period >> {SPLIT_STEP} AND above.is_split = 1
)
"""
_COUNTED = """
UPDATE positions SET totalled_at = counted.until
FROM unnest(%(shards)s::integer[], %(until)s::bigint[]) AS counted (shard, until)
WHERE positions.shard = counted.shard
"""
_ACCOUNTS_OF = "SELECT count(*) FROM totals WHERE level = %s AND period = %s"
_IS_SPLIT = "UPDATE periods SET is_split = 1 WHERE level = %s AND period = %s"

# Where a run came before the journal's row of its currency, or an older version went by the run.
# In order of key, as two workers may do it at once.
_MEND_SCALES = """
UPDATE accounts SET scale = wrong.scale
FROM (
    SELECT id, posted.scale FROM accounts AS known
    JOIN currencies AS posted ON posted.code = known.currency
    WHERE known.scale <> posted.scale ORDER BY id FOR UPDATE OF known
) AS wrong
WHERE accounts.id = wrong.id
"""

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
    driver.execute(_BEGIN_COUNT)
    driver.execute(_LOCK)
    waiting = driver.execute(_POSITIONS, {"shards": list(shards)}).fetchall()
    if waiting:
        own, until, after = map(list, zip(*waiting, strict=True))
        _count(driver, {"shards": own, "until": until, "after": after, "since": min(after)})
    driver.execute("COMMIT")


def _count(driver: Driver, given: dict[str, object]) -> None:
    first, last = driver.execute(_RANGE, given).fetchone() or (None, None)
    touched = list[Period]()
    # A run that has refused everything has no lines.
    if first is not None:
        touched = _count_lines(driver, given | {"first": first, "last": last})
    driver.execute(_LOCK_POSITIONS, given)
    driver.execute(_COUNTED, given)
    while touched:
        period = touched.pop()
        if _is_dense(driver, period):
            touched += _split(driver, period)


def _count_lines(driver: Driver, given: dict[str, object]) -> list[Period]:
    """Count them in the periods that there are; returns those, and how many lines they have."""
    for level in range(LEVELS[-1], FINEST, -SPLIT_STEP):
        driver.execute(_SPLIT_NEXT, given | {"level": level})
    split = [level for (level,) in driver.execute(_SPLIT_LEVELS, given)]
    finest = split[-1] - SPLIT_STEP if split else LEVELS[-1]
    touched: list[Period] = driver.execute(_counting(finest), given).fetchall()
    return touched


def _counting(finest: int) -> str:
    """The statement that counts recent lines: added up at the finest level, and then upwards."""
    levels = [level for level in reversed(ALL_LEVELS) if level >= finest]
    steps = [_OF_FINEST.format(level=finest)]
    steps += [
        _OF_BELOW.format(level=level, below=below, step=level - below)
        for below, level in pairwise(levels)
    ]
    parts = [
        _PART.format(level=level, where="" if level in LEVELS else _PARENT.format(level=level))
        for level in levels
    ]
    return ", ".join([*steps, f"parts AS ({' UNION ALL '.join(parts)})", _ADD])


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


def mend_scales(driver: Driver) -> None:
    """Give accounts the decimals that the journal has of their currencies, where they differ."""
    driver.execute(_BEGIN)
    driver.execute(_MEND_SCALES)
    driver.execute("COMMIT")


def make_blocks(driver: Driver, shards: Sequence[int]) -> bool:
    """Make some blocks of the shards' stripes. Whether there may be more to make."""
    given = {"shards": list(shards), "count": BLOCKS_AT_ONCE}
    driver.execute(_BEGIN)
    # Those of a level are made before the one that has them.
    driver.execute(_LOCK)
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

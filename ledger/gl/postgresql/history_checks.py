"""Checks of history in PostgreSQL: against the journal, and its derived tables against its lines.

Everything is read in one snapshot. Each statement gives the rows that are wrong; of many in one
table the first hundred are named.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, text

from ledger.domain.history import (
    ALL_LEVELS,
    BLOCK,
    BLOCK_LEVELS,
    BLOCKS_TOGETHER,
    LEVELS,
    SPLIT_STEP,
    completed,
    pieces,
)
from ledger.gl.history.tables import schema_of
from ledger.gl.rows import JournalFinding, RowKey

NAMED = 100
FETCHED = 1_000

_MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::bigint"
_JOURNAL = f"""
SELECT e.log_offset, e.entry, e.account, e.currency,
    CASE e.side WHEN 'D' THEN e.amount ELSE -e.amount END AS amount,
    {_MICROSECONDS.format("t.effective_at")} AS effective_at,
    {_MICROSECONDS.format("t.recorded_at")} AS recorded_at
FROM entries AS e JOIN transactions AS t USING (shard, log_offset)
WHERE e.shard = :shard AND e.log_offset < :end
"""  # noqa: S608 - text of ours
_LINES = """
SELECT l.log_offset, l.entry, a.account, a.currency, l.amount::numeric, l.effective_at,
    l.recorded_at, l.stripe, l.n
FROM {h}.lines AS l JOIN {h}.stripes AS s ON s.id = l.stripe JOIN {h}.accounts AS a
    ON a.id = s.account_id
WHERE s.shard = :shard AND l.change = 1 AND l.log_offset < :end
"""
_AGAINST_JOURNAL = f"""
SELECT log_offset, entry, j.account IS NULL, h.account IS NULL, h.stripe, h.recorded_at, h.n
FROM ({_JOURNAL}) AS j FULL JOIN ({_LINES}) AS h USING (log_offset, entry)
WHERE (j.account, j.currency, j.amount, j.effective_at, j.recorded_at)
    IS DISTINCT FROM (h.account, h.currency, h.amount, h.effective_at, h.recorded_at)
    AND NOT EXISTS (
        SELECT FROM voids AS v
        WHERE v.shard = :shard AND v.log_offset = log_offset AND v.was_posted = 0
    )
ORDER BY log_offset, entry LIMIT :limit
"""  # noqa: S608
_VOIDS = f"""
SELECT coalesce(w.log_offset, h.log_offset), coalesce(w.entry, h.entry), w.stripe IS NULL,
    h.stripe IS NULL, h.stripe, h.recorded_at, h.n
FROM (
    SELECT o.stripe, o.entry, v.void_offset AS log_offset, o.amount, o.effective_at,
        {_MICROSECONDS.format("v.recorded_at")} AS recorded_at
    FROM voids AS v JOIN {{h}}.stripes AS s ON s.shard = v.shard JOIN {{h}}.lines AS o
        ON o.stripe = s.id AND o.log_offset = v.log_offset AND o.change = 1
    WHERE v.shard = :shard AND v.decisions_offset < :decisions
) AS w FULL JOIN (
    SELECT l.* FROM {{h}}.lines AS l JOIN {{h}}.stripes AS s ON s.id = l.stripe
    WHERE s.shard = :shard AND l.change <> 1
) AS h USING (stripe, log_offset, entry)
WHERE (w.amount, w.effective_at, w.recorded_at) IS DISTINCT FROM
    (h.amount, h.effective_at, h.recorded_at) OR h.change IS DISTINCT FROM -1
LIMIT :limit
"""  # noqa: S608
# What a line adds to the one before it: one altered line is one wrong row, and not all after it.
_RUNNING = """
SELECT stripe, recorded_at, n FROM (
    SELECT l.*, s.id AS known, s.shard, p.end_offset,
        lag(l.n, 1, 0::bigint) OVER w AS before_n,
        lag(l.log_offset, 1, -1::bigint) OVER w AS before_offset,
        lag(l.debits, 1, 0::numeric) OVER w AS before_debits,
        lag(l.credits, 1, 0::numeric) OVER w AS before_credits,
        lag(l.entries, 1, 0::bigint) OVER w AS before_entries
    FROM {h}.lines AS l LEFT JOIN {h}.stripes AS s ON s.id = l.stripe
    LEFT JOIN {h}.positions AS p USING (shard)
    WINDOW w AS (PARTITION BY l.stripe ORDER BY l.recorded_at, l.n)
) AS l
WHERE n <> before_n + 1 OR log_offset < before_offset OR change NOT IN (1, -1)
    OR debits <> before_debits + greatest(amount, 0)::numeric * change
    OR credits <> before_credits + greatest(-amount, 0)::numeric * change
    OR entries <> before_entries + change OR known IS NULL OR end_offset IS NULL
    OR log_offset >= end_offset OR log_offset < 0
ORDER BY stripe, recorded_at, n LIMIT :limit
"""
_NAMES = """
SELECT 'stripes', 'id', s.id FROM {h}.stripes AS s LEFT JOIN {h}.accounts AS a
    ON a.id = s.account_id LEFT JOIN {h}.positions AS p USING (shard)
WHERE a.id IS NULL OR p.shard IS NULL
    OR NOT EXISTS (SELECT FROM {h}.lines AS l WHERE l.stripe = s.id)
UNION ALL
SELECT 'accounts', 'id', a.id FROM {h}.accounts AS a LEFT JOIN currencies AS c
    ON c.code = a.currency
WHERE (c.scale IS DISTINCT FROM a.scale AND EXISTS (
        SELECT FROM {h}.stripes AS s JOIN {h}.lines AS l ON l.stripe = s.id
        LEFT JOIN voids AS v ON v.shard = s.shard AND v.log_offset = l.log_offset
        WHERE s.account_id = a.id AND l.change > 0 AND v.shard IS NULL
    )) OR NOT EXISTS (SELECT FROM {h}.stripes AS s WHERE s.account_id = a.id)
UNION ALL
SELECT 'positions', 'shard', p.shard FROM {h}.positions AS p LEFT JOIN runs AS r
    ON r.shard = p.shard AND r.decisions_offset = p.decisions_offset - 1
WHERE EXISTS (
        SELECT FROM shards AS s
        WHERE s.shard = p.shard AND s.decisions_offset >= p.decisions_offset
    ) AND (
        r.shard IS NULL OR r.end_offset <> p.end_offset OR r.digest <> p.digest
    )
UNION ALL
SELECT 'positions', 'shard', shard FROM {h}.positions WHERE totalled_at > folded_at
UNION ALL
SELECT 'refusals', 'shard', shard FROM {h}.refusals AS f LEFT JOIN {h}.positions AS p USING (shard)
WHERE p.shard IS NULL OR f.log_offset >= p.end_offset OR f.log_offset < 0
UNION ALL
SELECT 'unblocked', 'stripe', u.stripe FROM {h}.unblocked AS u LEFT JOIN {h}.stripes AS s
    ON s.id = u.stripe WHERE s.id IS NULL
LIMIT :limit
"""
_SUMS = """
sum(greatest(l.amount, 0)::numeric * l.change) AS debits,
sum(greatest(-l.amount, 0)::numeric * l.change) AS credits, sum(l.change) AS entries,
count(*) AS lines, min(l.recorded_at) AS first_recorded, max(l.recorded_at) AS last_recorded
"""
_COUNTED = """
SELECT s.account_id, l.effective_at >> :level AS period, {sums}
FROM {h}.lines AS l JOIN {h}.stripes AS s ON s.id = l.stripe JOIN {h}.positions AS p USING (shard)
WHERE l.folded_at <= p.totalled_at AND (:level >= :base OR EXISTS (
    SELECT FROM {h}.periods AS above
    WHERE above.level = :above AND above.period = l.effective_at >> :above AND above.is_split = 1
)) GROUP BY 1, 2
"""
_TOTALS = f"""
WITH counted AS ({_COUNTED.replace("{sums}", _SUMS)})
SELECT period, account_id FROM counted AS c
FULL JOIN (SELECT * FROM {{h}}.totals WHERE level = :level) AS t USING (period, account_id)
WHERE (c.debits, c.credits, c.entries) IS DISTINCT FROM (t.debits, t.credits, t.entries)
ORDER BY period, account_id LIMIT :limit
"""  # noqa: S608
_PERIODS = f"""
WITH counted AS ({_COUNTED.replace("{sums}", _SUMS)})
SELECT period FROM (
    SELECT period, sum(lines) AS lines, min(first_recorded) AS first_recorded,
        max(last_recorded) AS last_recorded
    FROM counted GROUP BY period
) AS c
FULL JOIN (SELECT * FROM {{h}}.periods WHERE level = :level) AS t USING (period)
WHERE coalesce(c.lines, 0) IS DISTINCT FROM t.lines OR t.is_split NOT IN (0, 1)
    OR c.first_recorded <> t.first_recorded OR c.last_recorded <> t.last_recorded
ORDER BY period LIMIT :limit
"""  # noqa: S608
_OTHER_LEVELS = """
SELECT DISTINCT 'totals', level FROM {h}.totals WHERE NOT level = ANY (:levels)
UNION ALL SELECT DISTINCT 'periods', level FROM {h}.periods WHERE NOT level = ANY (:levels)
"""
# In order of recording, each once: blocks of all levels are cut from it.
_BLOCKED_LINES = """
SELECT stripe, effective_at, amount, change FROM {h}.lines
WHERE stripe IN (SELECT stripe FROM {h}.blocks) ORDER BY stripe, recorded_at, n
"""
_BLOCK = """
SELECT first_effective, piece, debits, credits, entries, lines FROM {h}.blocks
WHERE stripe = :stripe AND level = :level AND block = :block ORDER BY piece
"""
_BEYOND = """
SELECT DISTINCT b.stripe, level, block FROM {h}.blocks AS b LEFT JOIN (
    SELECT stripe, max(n) AS n FROM {h}.lines GROUP BY stripe
) AS l ON l.stripe = b.stripe
WHERE level NOT BETWEEN 0 AND :highest OR block < 0
    OR (block + 1)::numeric * :size * power(:together, level) > coalesce(l.n, 0)
LIMIT :limit
"""


class HistoryChecks:
    """All checks on one connection, which is in a repeatable read."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        ledger = str(connection.scalar(text("SELECT current_schema()")))
        self._schema = schema_of(ledger)

    def findings(self) -> Iterator[JournalFinding]:
        """What is wrong; nothing where there is no history."""
        there = "SELECT to_regclass(:name) IS NOT NULL"
        if not self._connection.scalar(text(there), {"name": f"{self._schema}.positions"}):
            return
        yield from self._lines()
        yield from self._names()
        yield from self._totals()
        yield from self._blocks()

    def _rows(self, query: str, **values: object) -> Iterator[Sequence[Any]]:
        statement = text(query.replace("{h}", self._schema))
        limited = {"limit": NAMED, **values} if ":limit" in query else values
        options = {"yield_per": FETCHED}
        yield from self._connection.execute(statement, limited, execution_options=options)

    def _about(self, table: str, why: str, **columns: int) -> JournalFinding:
        row = RowKey.of(f"{self._schema}.{table}", **columns)
        return JournalFinding.about(row, f"{row} {why}; history is wrong there until it is folded "
                                    "again: faust-ledger rebuild history.")  # fmt: skip

    def _lines(self) -> Iterator[JournalFinding]:
        for stripe, recorded_at, n in self._rows(_RUNNING):
            key = {"stripe": stripe, "recorded_at": recorded_at, "n": n}
            yield self._about("lines", "does not follow the line before it", **key)
        shards = """
            SELECT p.shard, least(p.end_offset, s.end_offset) AS "end",
                least(p.decisions_offset, s.decisions_offset) AS decisions
            FROM {h}.positions AS p JOIN shards AS s USING (shard) ORDER BY shard
        """
        for shard, end, decisions in list(self._rows(shards)):
            given = {"shard": shard, "end": end}
            yield from self._compared(shard, self._rows(_AGAINST_JOURNAL, **given))
            given = {"shard": shard, "decisions": decisions}
            yield from self._compared(shard, self._rows(_VOIDS, **given))

    def _compared(self, shard: int, wrong: Iterable[Sequence[Any]]) -> Iterator[JournalFinding]:
        for offset, entry, is_extra, is_missing, stripe, recorded_at, n in wrong:
            if is_missing:
                columns = {"shard": shard, "log_offset": offset, "entry": entry}
                yield self._about("lines", "is missing, and the journal has the entry", **columns)
                continue
            key = {"stripe": stripe, "recorded_at": recorded_at, "n": n}
            what = "is no entry" if is_extra else "is not the entry"
            yield self._about("lines", f"{what} of the journal at offset {offset}", **key)._replace(
                shard=shard, offset=offset
            )

    def _names(self) -> Iterator[JournalFinding]:
        for table, column, key in self._rows(_NAMES):
            yield self._about(table, "belongs to nothing that was folded", **{column: key})

    def _totals(self) -> Iterator[JournalFinding]:
        for table, level in self._rows(_OTHER_LEVELS, levels=list(ALL_LEVELS)):
            yield self._about(table, "has a level that there is not", level=level)
        for level in ALL_LEVELS:
            given = {"level": level, "above": level + SPLIT_STEP, "base": LEVELS[-1]}
            for period, account in self._rows(_TOTALS, **given):
                key = {"level": level, "period": period, "account_id": account}
                yield self._about("totals", "is not the sum of its lines", **key)
            for (period,) in self._rows(_PERIODS, **given):
                yield self._about("periods", "does not count its lines", level=level, period=period)

    def _blocks(self) -> Iterator[JournalFinding]:
        given = {"highest": BLOCK_LEVELS - 1, "size": BLOCK, "together": BLOCKS_TOGETHER}
        wrong = [tuple(row) for row in self._rows(_BEYOND, **given)]
        rows = self._rows(_BLOCKED_LINES)
        for stripe, lines in groupby(rows, key=lambda row: int(row[0])):
            if len(wrong) >= NAMED:
                break
            wrong += self._wrong_blocks(stripe, (tuple(row[1:]) for row in lines))
        for stripe, level, block in wrong[:NAMED]:
            key = {"stripe": stripe, "level": level, "block": block}
            yield self._about("blocks", "does not have its lines", **key)

    def _wrong_blocks(
        self, stripe: int, lines: Iterable[tuple[int, int, int]]
    ) -> Iterator[tuple[int, int, int]]:
        """Blocks of a stripe that are there and are not what `lines`, all of its, make."""
        kept: list[tuple[int, int, int]] = []
        for count, line in enumerate(lines, 1):
            kept.append(line)
            if count % BLOCK:
                continue
            for level, block in completed(count // BLOCK - 1):
                size = BLOCK * BLOCKS_TOGETHER**level
                stored = self._stored(stripe, level, block)
                if stored and stored != _made(kept[-size:]):
                    yield stripe, level, block
                if level == BLOCK_LEVELS - 1:
                    kept.clear()

    def _stored(self, stripe: int, level: int, block: int) -> list[tuple[object, ...]]:
        rows = self._rows(_BLOCK, stripe=stripe, level=level, block=block)
        return [(*row[:2], *map(int, row[2:5]), bytes(row[5])) for row in rows]


def _made(lines: Sequence[tuple[int, int, int]]) -> list[tuple[object, ...]]:
    """A block's rows, as `_stored` gives those that there are."""
    return [
        (piece.effective_at[0], number, *piece.before, piece.packed())
        for number, piece in enumerate(pieces(lines))
    ]

"""History of any size in minutes: its tables, filled by the database itself.

Lines are made in the order in which the writer would have added them; totals and blocks are made
from them by the writer's own statements. A transaction has two lines of one amount, a debit and a
credit, and is in one shard.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import create_engine

from ledger.domain.history import BLOCK
from ledger.gl.history.tables import metadata, schema_of
from ledger.gl.postgresql import history_tidying

SCHEMA = schema_of("public")
START = 1_577_836_800_000_000
"""2020-01-01T00:00:00Z."""
SECOND = 1_000_000
DAY = 86_400 * SECOND
YEARS = 4 * 365 * DAY
RATE = 80_000
"""Lines a second, where all are recorded in a day."""
SHARDS = 8
FOLD_LINES = 50_000
"""Lines of a fold."""

_ACCOUNTS = """
INSERT INTO accounts (account, currency, scale)
SELECT 'assets:a' || lpad((%(first)s + i)::text, 7, '0'), 'CAD', 2
FROM generate_series(0, %(accounts)s - 1) AS i
"""
_STRIPES = """
INSERT INTO stripes (account_id, shard)
SELECT id, shard FROM accounts, generate_series(0, %(shards)s - 1) AS shard
WHERE id > %(first)s ORDER BY id, shard
"""
# Account and shard at random, but the same in every run; `t` is a transaction's number.
_LINES = """
INSERT INTO lines (stripe, recorded_at, n, log_offset, effective_at, amount, folded_at, entries,
    entry, change, debits, credits)
SELECT stripe, recorded_at, n, log_offset, effective_at, amount, folded_at, n, entry, 1,
    sum(greatest(amount, 0)) OVER own, sum(greatest(-amount, 0)) OVER own
FROM (
    SELECT *, row_number() OVER (PARTITION BY stripe ORDER BY i) AS n FROM (
        SELECT i, i %% 2 AS entry,
            1 + (%(first)s::bigint + (hashint8(i) & 2147483647) %% %(accounts)s) * %(shards)s
                + (hashint8(t * 3 + 1) & 2147483647) %% %(shards)s AS stripe,
            {recorded} AS recorded_at, %(before)s + t AS log_offset, {effective} AS effective_at,
            CASE WHEN i %% 2 = 0 THEN 1 + t %% 997 ELSE -1 - t %% 997 END AS amount,
            1 + (%(before)s + i) / %(fold)s AS folded_at
        FROM generate_series(0::bigint, %(lines)s - 1) AS i, LATERAL (SELECT i / 2 AS t) AS pair
    ) AS made
) AS numbered
WINDOW own AS (PARTITION BY stripe ORDER BY i)
ORDER BY i
"""
_UNBLOCKED = """
INSERT INTO unblocked (stripe, block, recorded_at)
SELECT stripe, n / %(block)s - 1, recorded_at FROM lines WHERE n %% %(block)s = 0
"""
_POSITIONS = """
INSERT INTO positions (shard, decisions_offset, end_offset, digest, recorded_until, folded_at,
    totalled_at)
SELECT shard, 1, %(lines)s, decode(repeat('ab', 32), 'hex'), %(end)s, 1 + %(lines)s / %(fold)s, 0
FROM generate_series(0, %(shards)s - 1) AS shard
"""
_COUNT = """
SELECT coalesce(sum(change), 0)::bigint FROM lines JOIN stripes ON stripes.id = lines.stripe
WHERE account_id > %(first)s AND account_id <= %(first)s + %(accounts)s
    AND effective_at < %(effective_before)s AND recorded_at < %(recorded_before)s
"""
EVER = 2**62


class Way(NamedTuple):
    """When lines were recorded and effective, in SQL of the number `t` of a transaction.

    `span`: microseconds from START in which they are effective, `recorded_span` in which they are
    recorded. `is_late`: that begins when the first one ends.
    """

    recorded: str
    effective: str
    span: int
    recorded_span: int
    is_late: bool = False


class Holding(NamedTuple):
    """Accounts `first` to `first + accounts - 1`, and how many lines they have together."""

    first: int
    accounts: int
    lines: int


WAYS = ("in a day", "over years", "years recorded in a day")
"""The first two are recorded when they are effective, the last one years after."""


def way_of(name: str, lines: int) -> Way:
    """One of WAYS, for so many lines: at least two."""
    busy = max(lines * SECOND // RATE, 1)
    if name == WAYS[0]:
        as_it_came = f"{START}::bigint + t * {2 * SECOND} / {RATE}"
        return Way(as_it_came, as_it_came, busy, busy)
    if name == WAYS[1]:
        steadily = f"{START}::bigint + t * {YEARS // (lines // 2)}"
        return Way(steadily, steadily, YEARS, YEARS)
    at_random = f"{START}::bigint + (hashint8(t * 7 + 1) & 2147483647)::bigint * {YEARS >> 31}"
    late = f"{START + YEARS}::bigint + t * {2 * SECOND} / {RATE}"
    return Way(late, at_random, YEARS, busy, is_late=True)


def instants(way: Way) -> dict[str, dict[str, int]]:
    """Questions about the midst of what there is, by name: times of a read of history."""
    middle = START + way.span // 2 + min(12_345, way.span // 10)
    recorded = START + way.recorded_span // 2 + (YEARS if way.is_late else 0)
    return {
        "effective": {"effective_before": middle},
        "recorded": {"recorded_before": recorded},
        "both": {"effective_before": middle, "recorded_before": recorded + way.span // 50},
    }


def fill(url: str, holdings: Sequence[Holding], way: str) -> None:
    """Empty history, and make the lines of these holdings in it, with totals and blocks.

    `url`: of the tables' owner. Accounts follow each other from number 0.
    """
    tables = ", ".join(each.name for each in metadata.tables.values())
    with _connected(url) as driver:
        driver.execute(f"TRUNCATE {tables} RESTART IDENTITY")
        driver.execute("SET work_mem TO '512MB'")
        before = 0
        for each in holdings:
            _add(driver, each, way_of(way, each.lines), before)
            before += each.lines
        _derive(driver, before)


def _add(driver: psycopg.Connection[Any], holding: Holding, way: Way, before: int) -> None:
    given = holding._asdict() | {"shards": SHARDS, "before": before, "fold": FOLD_LINES}
    for statement in (_ACCOUNTS, _STRIPES, _LINES):
        filled = statement.replace("{recorded}", way.recorded)
        driver.execute(filled.replace("{effective}", way.effective), given)


def _derive(driver: psycopg.Connection[Any], lines: int) -> None:
    given = {"block": BLOCK, "lines": lines, "shards": SHARDS, "end": START + 3 * YEARS,
             "fold": FOLD_LINES}  # fmt: skip
    driver.execute(_UNBLOCKED, given)
    driver.execute(_POSITIONS, given)
    driver.execute("VACUUM ANALYZE lines")
    shards = list(range(SHARDS))
    history_tidying.count_totals(driver, shards)
    while history_tidying.make_blocks(driver, shards):
        pass
    driver.execute("VACUUM ANALYZE")


def entries(url: str, holding: Holding, times: Mapping[str, int]) -> int:
    """How many entries the holding has before these times, counted line by line."""
    given = {"effective_before": EVER, "recorded_before": EVER, **times, **holding._asdict()}
    with _connected(url) as driver:
        (count,) = driver.execute(_COUNT, given).fetchone() or (0,)
        return int(count)


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection[Any]]:
    made = create_engine(url)
    try:
        with made.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            driver.autocommit = True
            driver.execute(f"SET search_path TO {SCHEMA}")
            yield driver
    finally:
        made.dispose()

"""History of any size in seconds, and how long its answers take; not a test by itself.

python -m tests.bench.history_load POSTGRESQL_URL [account|trial-balance]   # a superuser's address

Lines are made by the database itself, in the order in which a writer would have added them; totals
and blocks are made from them as the writer does. Prints a JSON object a line.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import text

from ledger.domain.history import BLOCK
from ledger.gl.history.books import LineKey, LinesQuery
from ledger.gl.history.tables import metadata, schema_of
from ledger.gl.postgresql import history_tidying
from ledger.gl.postgresql.history_reads import PostgresHistory
from ledger.gl.postgresql.migrate import upgrade
from tests.integration.gl_database import Database, new_database

SCHEMA = schema_of("public")
START = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z."""
SECOND = 1_000_000
DAY = 86_400 * SECOND
SHARDS = 8
ROUNDS = 9

_ACCOUNTS = """
INSERT INTO accounts (account, currency, scale)
SELECT 'assets:a' || lpad(i::text, 7, '0'), 'CAD', 2 FROM generate_series(0, %(accounts)s - 1) AS i
"""
_STRIPES = """
INSERT INTO stripes (account_id, shard)
SELECT id, shard FROM accounts, generate_series(0, %(shards)s - 1) AS shard ORDER BY id, shard
"""
# Debits and credits in turns; an account's shard and the account itself at random, but the same in
# every run.
_LINES = """
INSERT INTO lines (stripe, recorded_at, n, log_offset, effective_at, amount, folded_at, entries,
    entry, change, debits, credits)
SELECT stripe, recorded_at, n, log_offset, effective_at, amount, folded_at, n, 0, 1,
    sum(greatest(amount, 0)) OVER own, sum(greatest(-amount, 0)) OVER own
FROM (
    SELECT *, row_number() OVER (PARTITION BY stripe ORDER BY i) AS n FROM (
        SELECT i, 1 + (hashint8(i) & 2147483647) %% (%(accounts)s::bigint * %(shards)s) AS stripe,
            {recorded} AS recorded_at, i AS log_offset, {effective} AS effective_at,
            CASE WHEN i %% 2 = 0 THEN 1 + i %% 997 ELSE -1 - i %% 997 END AS amount,
            1 + i / 50000 AS folded_at
        FROM generate_series(0::bigint, %(lines)s - 1) AS i
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
SELECT shard, 1, %(lines)s, decode(repeat('ab', 32), 'hex'), %(end)s, 1 + %(lines)s / 50000, 0
FROM generate_series(0, %(shards)s - 1) AS shard
"""


class Way(NamedTuple):
    """When lines were recorded and effective, in SQL of the number `i` of a line.

    `span`: microseconds from START to the last of them.
    """

    recorded: str
    effective: str
    span: int


def ways(lines: int) -> dict[str, Way]:
    """By name, for so many lines."""
    rate = 80_000
    busy = max(lines * SECOND // rate, 1)
    years = 4 * 365 * DAY
    at_random = f"{START}::bigint + (hashint8(i * 7 + 1) & 2147483647)::bigint * {years >> 31}"
    as_it_came = f"{START}::bigint + i * {SECOND} / {rate}"
    steadily = f"{START}::bigint + i * {years // lines}"
    return {
        "all in a day, as it came": Way(as_it_came, as_it_came, busy),
        "over years, as it came": Way(steadily, steadily, years),
        "over years, recorded in a day": Way(
            f"{START + years}::bigint + i * {SECOND} / {rate}", at_random, years
        ),
    }


def load(database: Database, accounts: int, lines: int, way: Way, shards: int = SHARDS) -> None:
    """Empty history, and make so many lines in it, with totals and blocks."""
    given: dict[str, Any] = {"accounts": accounts, "lines": lines, "shards": shards,
                             "block": BLOCK, "end": START + 2 * way.span + DAY}  # fmt: skip
    tables = ", ".join(f"{SCHEMA}.{each.name}" for each in metadata.tables.values())
    with database.engine(database.owner) as engine, engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.autocommit = True
        driver.execute(f"TRUNCATE {tables} RESTART IDENTITY")
        driver.execute(f"SET search_path TO {SCHEMA}")
        driver.execute("SET work_mem TO '512MB'")
        for statement in (_ACCOUNTS, _STRIPES, _LINES, _UNBLOCKED, _POSITIONS):
            filled = statement.replace("{recorded}", way.recorded)
            driver.execute(filled.replace("{effective}", way.effective), given)
        driver.execute("VACUUM ANALYZE lines")
        history_tidying.count_totals(driver, list(range(shards)))
        while history_tidying.make_blocks(driver, list(range(shards))):
            pass
        driver.execute("VACUUM ANALYZE")


def show(found: dict[str, Any]) -> None:
    """A line of JSON."""
    sys.stdout.write(f"{json.dumps(found)}\n")
    sys.stdout.flush()


def timed(call: Callable[[], object]) -> int:
    """The median of some calls after a first one, in microseconds."""
    call()
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        call()
        took.append((time.perf_counter_ns() - start) // 1_000)
    return int(median(took))


def questions(way: Way) -> Iterator[tuple[str, dict[str, int | None]]]:
    """Instants in the midst of what there is."""
    middle = START + way.span // 2 + 12_345
    recorded = middle + (way.span if "hash" in way.effective else 0)
    yield "effective", {"effective_before": middle}
    yield "recorded", {"recorded_before": recorded}
    yield "both", {"effective_before": middle, "recorded_before": recorded + way.span // 50}


def measure_account(database: Database, history: PostgresHistory) -> None:
    """An account of many lines beside one of few."""
    for shards in (1, SHARDS):
        for lines in (1_000, 1_000_000):
            for name, way in ways(lines).items():
                load(database, 1, lines, way, shards)
                found = {"measured": "account", "way": name, "shards": shards, "lines": lines}
                for question, times in questions(way):
                    found[question] = timed(
                        lambda times=times: history.as_of(accounts=["assets:a0000000"], **times)  # type: ignore[misc]
                    )
                middle = LineKey(START + way.span // 2, 0, 0, 0)
                query = LinesQuery("assets:a0000000", after=middle)
                found["page of lines"] = timed(lambda query=query: history.lines(query))  # type: ignore[misc]
                show(found)


def measure_trial_balance(database: Database, history: PostgresHistory) -> None:
    """All accounts, with many lines and few."""
    for index in range(3):
        for lines in (500_000, 5_000_000):
            name, way = list(ways(lines).items())[index]
            started = time.monotonic()
            load(database, 10_000, lines, way)
            found = {"measured": "trial balance", "way": name, "lines": lines,
                     "seconds to load": round(time.monotonic() - started)}  # fmt: skip
            for question, times in questions(way):
                found[question] = timed(lambda times=times: history.as_of(**times))  # type: ignore[misc]
            show(found)


def main(server: str, wanted: str = "") -> None:
    """Measure in a database of its own; microseconds."""
    with new_database(server) as database:
        upgrade(database.owner)
        history = PostgresHistory(database.service)
        with database.engine() as engine, engine.connect() as connection:
            version = connection.scalar(text("SHOW server_version"))
            show({"postgresql": version})
        if wanted in ("", "account"):
            measure_account(database, history)
        if wanted in ("", "trial-balance"):
            measure_trial_balance(database, history)
        history.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Pages of refusals: what is asked for alone, in few buffers, however many there are."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from ledger.gl.history.books import RefusalsQuery
from ledger.gl.history.reads import refusals_query
from ledger.gl.postgresql.history_reads import PostgresHistory
from tests.integration.gl_database import Database
from tests.integration.gl_history import emptied

pytest_plugins = ["tests.integration.gl_database"]
COUNT = 120_000
BUFFERS = 260
"""Pages of the index and of the table that a page of a hundred may read."""

FILL = f"""
INSERT INTO ledger_history.refusals
SELECT i % 4, i, 1767225600000000 + i / 3000, 't-' || i % 1000,
    CASE WHEN i < 50 OR i % 2 = 0 THEN 'NOT_BALANCED' ELSE 'TOO_LATE' END,
    NULL, 'Not so.', CASE WHEN i < 50 OR i % 2 = 1 THEN 'erp' ELSE 'pay' END, i / 100
FROM generate_series(1, {COUNT}) AS i
"""
"""Thousands are recorded at once. Together, 'erp' and 'NOT_BALANCED' are only the oldest."""


@pytest.fixture(scope="module")
def history(migrated: Database) -> Database:
    emptied(migrated).run(FILL)
    # The planner chooses by these as in a ledger that has run for a while.
    migrated.run("ANALYZE ledger_history.refusals")
    return migrated


def plan_of(database: Database, query: RefusalsQuery) -> dict[str, Any]:
    """What PostgreSQL did for the query."""
    compiled = refusals_query(query).compile(
        dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    statement = str(compiled).replace("history.refusals", "ledger_history.refusals")
    with database.engine(database.service) as engine, engine.connect() as connection:
        explained = connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"))
        [[found]] = explained.all()
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def nodes(plan: dict[str, Any]) -> list[str]:
    below = (each for part in plan.get("Plans", ()) for each in nodes(part))
    return [plan["Node Type"], *below]


MIDDLE = 1767225600000000 + COUNT // 6000
ASKED: dict[str, dict[str, Any]] = {
    "all": {},
    "a code": {"code": "TOO_LATE"},
    "a producer": {"producer": "erp"},
    "a producer and a code of its oldest": {"producer": "erp", "code": "NOT_BALANCED"},
    "a producer of none": {"producer": "nobody"},
    "an id": {"transaction_id": "t-7"},
    "a time": {"recorded_from": MIDDLE - 5, "recorded_before": MIDDLE},
    "a code before a time": {"code": "TOO_LATE", "recorded_before": MIDDLE},
    "a producer before a time": {"producer": "erp", "recorded_before": MIDDLE},
}
LATER = (MIDDLE, 2, COUNT // 2)


@pytest.mark.parametrize("after", [None, LATER], ids=["first", "later"])
@pytest.mark.parametrize("asked", ASKED)
def test_a_page_is_read_from_an_index(
    history: Database, asked: str, after: tuple[int, int, int] | None
) -> None:
    plan = plan_of(history, RefusalsQuery(**ASKED[asked], after=after))
    assert "Seq Scan" not in nodes(plan)
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= BUFFERS, plan


def test_pages_have_each_once_the_latest_first(history: Database) -> None:
    reader = PostgresHistory(history.service)
    found, query = [], RefusalsQuery(producer="erp", limit=700)
    while len(found) < 7_000:
        page = reader.refusals(query)
        found += page.refusals
        query = RefusalsQuery(producer="erp", limit=700, after=page.next)
    reader.close()
    wanted = history.run(
        "SELECT recorded_at, shard, log_offset FROM ledger_history.refusals"
        " WHERE producer = 'erp' ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT 7000"
    )
    assert [each[:3] for each in found] == [tuple(row) for row in wanted]

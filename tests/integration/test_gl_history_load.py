"""History that the bench makes: its answers count the lines that were made, as its checks find."""

from contextlib import closing

import pytest

from ledger.bench.history_load import SCHEMA, WAYS, Holding, entries, fill, instants, way_of
from ledger.domain.history import BLOCK, BLOCKS_TOGETHER
from ledger.gl.postgresql.history_reads import PostgresHistory
from tests.integration.gl_database import Database

pytest_plugins = ["tests.integration.gl_database"]

FEW, MANY = Holding(0, 1, 1_000), Holding(1, 1, 9 * BLOCK * BLOCKS_TOGETHER)


@pytest.mark.parametrize("way", WAYS)
def test_answers_count_the_lines_that_were_made(migrated: Database, way: str) -> None:
    fill(migrated.owner, [FEW, MANY], way)
    with closing(PostgresHistory(migrated.service)) as history:
        for holding in (FEW, MANY):
            names = [f"assets:a{holding.first + each:07}" for each in range(holding.accounts)]
            for times in instants(way_of(way, holding.lines)).values():
                found = history.as_of(accounts=names, **times)
                counted = entries(migrated.owner, holding, times)
                assert 0 < counted < holding.lines
                assert sum(row.entries for row in found.rows) == counted
        rows = history.as_of().rows
    assert sum(row.entries for row in rows) == FEW.lines + MANY.lines
    assert sum(row.debits for row in rows) == sum(row.credits for row in rows) > 0
    assert migrated.run(f"SELECT count(*) FROM {SCHEMA}.blocks WHERE level = 1")[0][0] > 0
    fill(migrated.owner, [], way)

"""History in tests: its tables emptied, read row by row, and folded from decision logs."""

from collections.abc import Sequence
from typing import Any

from ledger.domain.valid_run import ValidRun
from ledger.gl.history.tables import metadata, schema_of
from ledger.gl.history.writing import HistoryFold
from tests.integration.gl_database import Database

SCHEMA = schema_of("public")
TABLES = ", ".join(f"{SCHEMA}.{table.name}" for table in metadata.sorted_tables)


def emptied(database: Database) -> Database:
    """The same, with nothing in its history."""
    database.run(f"TRUNCATE {TABLES} RESTART IDENTITY")
    return database


def rows(database: Database, columns: str, table: str, more: str = "") -> list[Any]:
    """Rows of a table of history."""
    found = database.run(f"SELECT {columns} FROM {SCHEMA}.{table} {more}")
    return [tuple(row) for row in found]


def folded(runs: Sequence[ValidRun], shard: int = 0) -> HistoryFold:
    """What a worker folds of runs that follow each other."""
    return HistoryFold(shard, runs[0].before, runs)

"""The general ledger's migrations, run from Python."""

from sqlalchemy import Engine

from ledger.gl.migrating import UPGRADE_SECONDS, missing_migrations, run_migrations
from ledger.gl.postgresql.connection import engine, faults_translated

PACKAGE = "migrations"
LOOK_SECONDS = 30


def owner_engine(database_url: str, schema: str | None = None) -> Engine:
    """An engine for the tables' owner, with time for migrations."""
    seconds = UPGRADE_SECONDS
    return engine(database_url, seconds=seconds, idle_seconds=seconds, schema=schema)


def upgrade(database_url: str, *, schema: str | None = None) -> list[str]:
    """Run the migrations that are missing, as the tables' owner, and grant the roles' rights.

    Returns the names of those that were run, such as `0005_voids`.

    In `schema`, which exists, or in the live ledger's. All or nothing, and harmless when nothing is
    missing. Raises JournalUnavailable when the database cannot be reached or is in use.
    """
    # Other processes wait for a lock in the database.
    return run_migrations(owner_engine(database_url, schema), PACKAGE, faults_translated)


def missing(database_url: str) -> list[str]:
    """As `ledger.gl.databases.missing_migrations`."""
    made = engine(database_url, seconds=LOOK_SECONDS, idle_seconds=LOOK_SECONDS)
    return missing_migrations(made, PACKAGE, faults_translated)

"""The general ledger's migrations in Oracle, run from Python."""

from types import ModuleType

from ledger.gl.migrating import UPGRADE_SECONDS, missing_migrations, run_migrations
from ledger.gl.oracle.address import OracleAddress
from ledger.gl.oracle.connection import engine
from ledger.gl.oracle.faults import faults_translated

PACKAGE = "migrations.oracle"
LOOK_SECONDS = 30


def upgrade(database_url: str, *, driver: ModuleType | None = None) -> list[str]:
    """Run the migrations that are missing, as the tables' owner, and grant the users' rights.

    Returns the names of those that were run. What is interrupted is continued the next time, for
    each statement commits by itself. Raises JournalUnavailable when the database cannot be reached.
    """
    # Only one process may migrate: DDL cannot be rolled back.
    made = engine(database_url, seconds=UPGRADE_SECONDS, driver=driver)
    attributes = {"partitions": OracleAddress.of(database_url).partitions}
    return run_migrations(made, PACKAGE, faults_translated, attributes)


def missing(database_url: str, *, driver: ModuleType | None = None) -> list[str]:
    """As `ledger.gl.databases.missing_migrations`."""
    made = engine(database_url, seconds=LOOK_SECONDS, driver=driver)
    return missing_migrations(made, PACKAGE, faults_translated)

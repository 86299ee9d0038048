"""The general ledger's migrations in Oracle, run from Python."""

from importlib import resources
from threading import Lock
from types import ModuleType

from alembic import command
from alembic.config import Config

from ledger.gl.oracle.address import OracleAddress
from ledger.gl.oracle.connection import engine
from ledger.gl.oracle.faults import faults_translated

UPGRADE_SECONDS = 3_600
"""A statement of a migration that takes longer is cancelled, and the migration with it."""

# Alembic keeps its context in globals. Only one process may migrate: DDL cannot be rolled back.
_ONE_AT_A_TIME = Lock()


def upgrade(database_url: str, *, driver: ModuleType | None = None) -> list[str]:
    """Run the migrations that are missing, as the tables' owner, and grant the users' rights.

    Returns the names of those that were run. What is interrupted is continued the next time, for
    each statement commits by itself. Raises JournalUnavailable when the database cannot be reached.
    """
    made_now: list[str] = []
    config = Config()
    config.attributes["made"] = made_now
    config.attributes["partitions"] = OracleAddress.of(database_url).partitions
    config.set_main_option("path_separator", "os")
    made = engine(database_url, seconds=UPGRADE_SECONDS, driver=driver)
    try:
        with (
            _ONE_AT_A_TIME,
            resources.as_file(resources.files("migrations.oracle")) as directory,
            faults_translated(),
            made.connect() as connection,
        ):
            # Percent signs are alembic's interpolation.
            config.set_main_option("script_location", str(directory).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        made.dispose()
    return made_now

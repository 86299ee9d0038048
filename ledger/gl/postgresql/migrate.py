"""The general ledger's migrations, run from Python."""

from importlib import resources
from threading import Lock

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from ledger.gl.postgresql.connection import engine, faults_translated

UPGRADE_SECONDS = 3_600
"""A statement of a migration that takes longer is cancelled, and the migration with it."""

# Alembic keeps its context in globals. Other processes wait for a lock in the database.
_ONE_AT_A_TIME = Lock()


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
    made_now: list[str] = []
    config = Config()
    config.attributes["made"] = made_now
    config.set_main_option("path_separator", "os")
    made = owner_engine(database_url, schema)
    try:
        with (
            _ONE_AT_A_TIME,
            resources.as_file(resources.files("migrations")) as directory,
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

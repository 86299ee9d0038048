"""Running the general ledger's migrations from Python, in whatever database."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from ledger.errors import LedgerError

UPGRADE_SECONDS = 3_600
"""A statement of a migration that takes longer is cancelled, and the migration with it."""

# Alembic keeps its context in globals.
_ONE_AT_A_TIME = Lock()


def run_migrations(
    made: Engine,
    package: str,
    faults: Callable[[], AbstractContextManager[None]],
    attributes: Mapping[str, Any] | None = None,
) -> list[str]:
    """Run the missing migrations of `package` over `made`, and dispose of it.

    `faults`: the driver's errors as ours. `attributes`: for the package's `env.py`. Returns the
    names of those that were run. Raises LedgerError where a newer release has migrated the tables.
    """
    made_now: list[str] = []
    config = Config()
    config.attributes.update(attributes or {}, made=made_now)
    config.set_main_option("path_separator", "os")
    try:
        with (
            _ONE_AT_A_TIME,
            resources.as_file(resources.files(package)) as directory,
            faults(),
            made.connect() as connection,
        ):
            # Percent signs are alembic's interpolation.
            config.set_main_option("script_location", str(directory).replace("%", "%%"))
            require_known(connection, ScriptDirectory.from_config(config))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        made.dispose()
    return made_now


def require_known(connection: Connection, scripts: ScriptDirectory) -> None:
    """Raises LedgerError where the tables have a revision that `scripts` do not have."""
    has = MigrationContext.configure(connection).get_current_heads()
    # Alembic's own transaction is to be the first.
    connection.rollback()
    known = {each.revision for each in scripts.walk_revisions()}
    if unknown := sorted({*has} - known):
        raise LedgerError(
            f"The general ledger's tables were migrated by a newer release of faust-ledger "
            f"(revision {', '.join(unknown)}; this one has {max(known, default='none')} and "
            "older). Nothing was changed. Use that release or a newer one, or restore a dump of "
            "before into an empty database (docs/upgrading.md)."
        )


def note_made(ctx: Any, step: MigrationInfo, heads: Any, run_args: Any) -> None:
    """Tell whoever runs the migrations which one is made: alembic's `on_version_apply`."""
    for each in context.script.get_revisions(step.up_revision_ids):
        context.config.attributes.get("made", []).append(Path(each.path).stem)

"""Running the general ledger's migrations from Python, in whatever database."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

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
    names of those that were run. Raises NewerTables where a newer release has migrated the tables.
    """
    made_now: list[str] = []
    with _config(package) as config:
        config.attributes.update(attributes or {}, made=made_now)
        try:
            with _ONE_AT_A_TIME, faults(), made.connect() as connection:
                _require_known(config, MigrationContext.configure(connection).get_current_heads())
                # What was read is not to be a part of the migration.
                connection.rollback()
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        finally:
            made.dispose()
    return made_now


@contextmanager
def _config(package: str) -> Iterator[Config]:
    config = Config()
    config.set_main_option("path_separator", "os")
    with resources.as_file(resources.files(package)) as directory:
        # Percent signs are alembic's interpolation.
        config.set_main_option("script_location", str(directory).replace("%", "%%"))
        yield config


class NewerTables(LedgerError):
    """The tables were made by a release that is newer than this one."""


def _require_known(config: Config, found: Sequence[str]) -> None:
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    if unknown := sorted(set(found) - known):
        raise NewerTables(
            "The general ledger's tables were migrated by a newer release of faust-ledger: their "
            f"revision is {', '.join(unknown)}, and this release knows up to {max(known)}. Nothing "
            "was changed. Use that release or a newer one, or restore a dump of before into an "
            "empty database (docs/upgrading.md)."
        )


def missing_migrations(
    made: Engine, package: str, faults: Callable[[], AbstractContextManager[None]]
) -> list[str]:
    """Migrations of `package` that were not made yet, in no order; disposes of `made`.

    Raises NewerTables for those of a newer release, and what `faults` makes of other errors.
    """
    with _config(package) as config:
        script = ScriptDirectory.from_config(config)
        try:
            with faults(), made.connect() as connection:
                heads = MigrationContext.configure(connection).get_current_heads()
        finally:
            made.dispose()
        _require_known(config, heads)
        made_already = {
            each.revision for head in heads for each in script.iterate_revisions(head, "base")
        }
        return [
            Path(each.path).stem
            for each in script.walk_revisions()
            if each.revision not in made_already
        ]


def note_made(ctx: Any, step: MigrationInfo, heads: Any, run_args: Any) -> None:
    """Tell whoever runs the migrations which one is made: alembic's `on_version_apply`."""
    for each in context.script.get_revisions(step.up_revision_ids):
        context.config.attributes.get("made", []).append(Path(each.path).stem)

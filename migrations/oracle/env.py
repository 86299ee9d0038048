"""Alembic's environment for Oracle: revisions, then grants; each statement commits by itself."""

from pathlib import Path
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection

from migrations.oracle import grants


def note(ctx: Any, step: MigrationInfo, heads: Any, run_args: Any) -> None:
    """Tell whoever runs the migrations which one is made."""
    for each in context.script.get_revisions(step.up_revision_ids):
        context.config.attributes.get("made", []).append(Path(each.path).stem)


def migrate(connection: Connection) -> None:
    """Run the missing revisions and the grants on `connection`."""
    context.configure(connection, on_version_apply=note, transactional_ddl=False)
    with context.begin_transaction():
        context.run_migrations()
    grants.apply(connection)
    connection.commit()


if context.is_offline_mode():
    raise SystemExit("Migrations need the database: `alembic --sql` is not supported.")
migrate(context.config.attributes["connection"])

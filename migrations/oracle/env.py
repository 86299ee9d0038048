"""Alembic's environment for Oracle: revisions, then grants; each statement commits by itself."""

from pathlib import Path
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection

from ledger import settings
from ledger.gl.oracle.address import OracleAddress
from ledger.gl.oracle.connection import engine
from ledger.gl.oracle.migrate import UPGRADE_SECONDS
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
given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    address = settings.load().database_url
    context.config.attributes["partitions"] = OracleAddress.of(address).partitions
    with engine(address, seconds=UPGRADE_SECONDS).connect() as own:
        migrate(own)

"""Alembic's environment for Oracle: revisions, then grants; each statement commits by itself."""

from alembic import context
from sqlalchemy import Connection

from ledger import settings
from ledger.gl.migrating import UPGRADE_SECONDS, note_made
from ledger.gl.oracle.address import OracleAddress
from ledger.gl.oracle.connection import engine
from migrations.oracle import grants


def migrate(connection: Connection) -> None:
    """Run the missing revisions and the grants on `connection`."""
    context.configure(connection, on_version_apply=note_made, transactional_ddl=False)
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

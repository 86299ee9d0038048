"""Alembic's environment: revisions, then grants, in one transaction; one upgrade at a time."""

from alembic import context
from sqlalchemy import Connection, text

from ledger import settings
from ledger.gl.postgresql.migrate import owner_engine
from ledger.gl.tables import metadata
from migrations import grants

# The key of the advisory lock: any number that no other program uses; "ledger" in ASCII.
LOCK = int.from_bytes(b"ledger", "big")


def migrate(connection: Connection) -> None:
    """Run the missing revisions and the grants on `connection`, and commit."""
    context.configure(connection, target_metadata=metadata)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()
        grants.apply(connection)


if context.is_offline_mode():
    raise SystemExit("Migrations need the database: `alembic --sql` is not supported.")
given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    address = settings.load().database_url
    with owner_engine(address).connect() as own:
        migrate(own)

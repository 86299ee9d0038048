"""Alembic's environment: revisions, then grants, in one transaction; one upgrade at a time."""

from alembic import context
from sqlalchemy import Connection, text

from ledger import settings
from ledger.gl.migrating import note_made
from ledger.gl.postgresql import history_schema, shadows, views
from ledger.gl.postgresql.migrate import owner_engine
from ledger.gl.tables import metadata
from migrations import grants

# The key of the advisory lock: any number that no other program uses; "ledger" in ASCII.
LOCK = int.from_bytes(b"ledger", "big")


def migrate(connection: Connection) -> None:
    """Run the missing revisions and the grants on `connection`, and commit; then add indexes."""
    context.configure(connection, target_metadata=metadata, on_version_apply=note_made)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()
        schema = str(connection.scalar(text("SELECT current_schema()")))
        # A shadow ledger has neither: it is compared with the live one, and has no readers.
        is_shadow = shadows.is_shadow(connection, schema)
        made = None if is_shadow else history_schema.provide(connection, schema)
        if not is_shadow:
            views.provide(connection, schema)
        grants.apply(connection, history_schema=made)
    if made is not None:
        history_schema.add_indexes(connection, made)


if context.is_offline_mode():
    raise SystemExit("Migrations need the database: `alembic --sql` is not supported.")
given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    address = settings.load().database_url
    with owner_engine(address).connect() as own:
        migrate(own)

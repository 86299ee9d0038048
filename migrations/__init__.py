"""Alembic's migrations of the general ledger's database; `ledger.gl.postgresql.migrate.upgrade` runs them."""

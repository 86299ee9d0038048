"""Alembic's migrations of the general ledger's database; `ledger.gl.migrate.upgrade` runs them."""

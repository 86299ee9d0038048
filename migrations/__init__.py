"""Alembic's migrations of the general ledger's database, run by `ledger.gl.postgresql.migrate`."""

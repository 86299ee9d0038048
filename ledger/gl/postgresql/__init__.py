"""The general ledger in PostgreSQL."""

from ledger.gl.postgresql.journal import POST_SECONDS, PostgresBooks, PostgresJournal

__all__ = ["POST_SECONDS", "PostgresBooks", "PostgresJournal"]

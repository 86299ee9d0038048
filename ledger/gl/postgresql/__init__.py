"""The general ledger in PostgreSQL."""

from ledger.gl.postgresql.books import PostgresBooks
from ledger.gl.postgresql.journal import POST_SECONDS, PostgresJournal

__all__ = ["POST_SECONDS", "PostgresBooks", "PostgresJournal"]

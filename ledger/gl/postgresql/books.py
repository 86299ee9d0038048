"""Reading a general ledger in PostgreSQL."""

from collections.abc import Iterable

from sqlalchemy import Connection, Engine

from ledger.gl.postgresql import rules
from ledger.gl.postgresql.connection import engine, faults_translated
from ledger.gl.rows import JournalFinding
from ledger.gl.sql_books import SqlBooks

_READ_SECONDS = 1_800
"""A statement of a report or an audit that takes longer is cancelled."""


class PostgresBooks(SqlBooks):
    """`Books` over SQLAlchemy and psycopg; connects when first asked.

    `url` as SQLAlchemy has it, `postgresql+psycopg://role:password@host:port/database`. Connects to
    the server directly: a pooler that forbids startup options refuses its timeouts. `schema`: of a
    shadow ledger (`ledger.gl.postgresql.shadows`), and of nothing else; None for the live one.
    `read`: an engine to read with, instead of one of `url`.
    """

    def __init__(self, url: str, *, schema: str | None = None, read: Engine | None = None) -> None:
        super().__init__(read or _read_engine(url, schema), faults_translated)

    def broken_rules(self, connection: Connection) -> Iterable[JournalFinding]:
        return rules.broken(connection)


def _read_engine(url: str, schema: str | None) -> Engine:
    return engine(
        url,
        seconds=_READ_SECONDS,
        idle_seconds=_READ_SECONDS,
        schema=schema,
        pool_size=2,
        max_overflow=8,
        pool_pre_ping=True,
        isolation_level="REPEATABLE READ",
        execution_options={"postgresql_readonly": True},
    )

"""Reading history in PostgreSQL."""

from sqlalchemy import Engine

from ledger.gl.history.reads import SqlHistory
from ledger.gl.history.tables import SCHEMA, schema_of
from ledger.gl.postgresql.connection import engine, faults_translated

_READ_SECONDS = 300
"""A statement that takes longer is cancelled."""
_LEDGER = "public"


class PostgresHistory(SqlHistory):
    """`History` over SQLAlchemy and psycopg; connects when first asked.

    `url`: as PostgresBooks has it, or of a replica. `read`: an engine instead of one of `url`.
    """

    def __init__(self, url: str, *, read: Engine | None = None) -> None:
        super().__init__(read or _read_engine(url), faults_translated)


def _read_engine(url: str) -> Engine:
    return engine(
        url,
        seconds=_READ_SECONDS,
        idle_seconds=_READ_SECONDS,
        pool_size=2,
        max_overflow=8,
        pool_pre_ping=True,
        # Sums by account of ten thousands of them, without files.
        settings={"work_mem": "64MB"},
        isolation_level="REPEATABLE READ",
        execution_options={
            "postgresql_readonly": True,
            "schema_translate_map": {SCHEMA: schema_of(_LEDGER)},
        },
    )

"""Data definition in Oracle: each statement commits by itself, so each must bear a repetition."""

from typing import NamedTuple, Self

from alembic import context, op
from sqlalchemy import text

_TABLES = "SELECT table_name FROM user_tables"
_INDEXES = "SELECT index_name FROM user_indexes"
PARTITIONED = "PARTITION BY HASH (shard) PARTITIONS"


class Existing(NamedTuple):
    """Names of what the user has, in lower case."""

    tables: frozenset[str]
    indexes: frozenset[str]

    @classmethod
    def read(cls) -> Self:
        """As they are now."""
        bind = op.get_bind()
        found = (
            frozenset(name.lower() for (name,) in bind.execute(text(query)))
            for query in (_TABLES, _INDEXES)
        )
        return cls(*found)


def create_table(name: str, *parts: str, partitioned: bool = False) -> None:
    """Create a table unless it is there, from an attempt that was interrupted.

    `partitioned`: by shard, if the address asks for it.
    """
    count = int(context.config.attributes.get("partitions", 0)) if partitioned else 0
    if name not in Existing.read().tables:
        op.execute(text(table_statement(name, *parts, partitions=count)))


def table_statement(name: str, *parts: str, partitions: int = 0) -> str:
    """CREATE TABLE."""
    statement = f"CREATE TABLE {name} (\n    " + ",\n    ".join(parts) + "\n)"
    return f"{statement}\n{PARTITIONED} {partitions}" if partitions else statement


def create_index(name: str, on: str) -> None:
    """Create an index unless it is there."""
    if name not in Existing.read().indexes:
        op.execute(text(f"CREATE INDEX {name} ON {on}"))


def instant(column: str) -> str:
    """The condition that a time is one of ours: in UTC, and within Python's years."""
    return (
        f"EXTRACT(YEAR FROM {column}) >= 1 AND EXTRACT(TIMEZONE_HOUR FROM {column}) = 0"
        f" AND EXTRACT(TIMEZONE_MINUTE FROM {column}) = 0"
    )


def digest(column: str) -> str:
    """The condition that a digest has 32 bytes."""
    return f"LENGTH(RAWTOHEX({column})) = 64"

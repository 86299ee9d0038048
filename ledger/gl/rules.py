"""Rules of the tables that are missing or not kept by all rows, and the rows that break them.

PostgreSQL's own catalogue tells, at the cost of one query; rows are looked for where a rule is
missing, and nowhere else.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    PrimaryKeyConstraint,
    Select,
    Table,
    func,
    or_,
    select,
    text,
)

from ledger.gl.journal import Orphan, Row
from ledger.gl.orphans import LIMIT
from ledger.gl.tables import metadata

_KEPT = """
SELECT conname FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
WHERE relnamespace = current_schema()::regnamespace AND convalidated AND contype IN ('p', 'c')
UNION ALL
SELECT relname || '.' || attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND attnum > 0
    AND attnotnull
"""


def broken(connection: Connection) -> Iterator[Orphan]:
    """Each rule that is not there or not validated, then the rows that break it."""
    kept = set(connection.scalars(text(_KEPT)))
    for table in metadata.sorted_tables:
        for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
            if str(constraint.name) in kept:
                continue
            if isinstance(constraint, CheckConstraint):
                condition = text(f"NOT ({constraint.sqltext})")
                yield from _told(connection, table, str(constraint.name), _rows(table, condition))
            elif isinstance(constraint, PrimaryKeyConstraint):
                twice = select(*table.primary_key.columns).group_by(*table.primary_key.columns)
                query = twice.having(func.count() > 1).limit(LIMIT + 1)
                yield from _told(connection, table, str(constraint.name), query)
        needed = [each for each in table.c if not each.nullable and _name(each) not in kept]
        if needed:
            rule = ", ".join(f"{each.name} is there" for each in needed)
            breaks = or_(*(each.is_(None) for each in needed))
            yield from _told(connection, table, rule, _rows(table, breaks))


def _name(column: Column[Any]) -> str:
    return f"{column.table.name}.{column.name}"


def _rows(table: Table, breaks: Any) -> Select[Any]:
    return select(*table.primary_key.columns).where(breaks).limit(LIMIT + 1)


def _told(connection: Connection, table: Table, rule: str, query: Select[Any]) -> Iterator[Orphan]:
    names = [each.name for each in table.primary_key.columns]
    for values in connection.execute(query):
        row = Row(table.name, tuple(zip(names, values, strict=True)))
        yield Orphan(row, f"{row} breaks the rule {rule}: no posting writes such a row.")
    whole = Row(table.name, (("rule", rule),))
    yield Orphan(
        whole,
        f"Table {table.name} is without its rule {rule}, or has rows that were there before it. "
        "Remove the rows, then have the owner put the rule back as the migrations made it "
        f"(ALTER TABLE {table.name} ADD, or VALIDATE, CONSTRAINT …).",
    )

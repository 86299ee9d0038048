"""Rules of the tables that are missing, changed or not validated, and rows that break them.

PostgreSQL's catalogue has the rules, at the cost of a query, and its planner compares a condition
with the migrations'. Rows are searched only where a rule is missing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import (
    CheckConstraint,
    Column,
    Connection,
    Constraint,
    PrimaryKeyConstraint,
    Select,
    Table,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.exc import DataError, ProgrammingError

from ledger.gl.orphans import NAMED_ROWS
from ledger.gl.rows import JournalFinding, RowKey
from ledger.gl.tables import metadata

_STORED = """
SELECT relname, conname, pg_get_expr(conbin, conrelid), ARRAY(
    SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS key (number, place)
    JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY place
)
FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
WHERE relnamespace = current_schema()::regnamespace AND convalidated AND NOT condeferrable
    AND contype IN ('p', 'c')
"""
_COLUMNS = """
SELECT relname || '.' || attname AS column, attnotnull AS needed,
    format_type(atttypid, atttypmod) AS kind
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND attnum > 0
    AND NOT attisdropped
"""
_SHOWN = 500
"""Characters of a changed condition that a finding shows."""


class StoredConstraint(NamedTuple):
    """A rule as the database has it: its condition, or the key's columns in order."""

    condition: str | None
    columns: list[str]


def broken(connection: Connection) -> Iterator[JournalFinding]:
    """Each rule that is missing, changed or not validated, after the rows that break it."""
    stored = {
        (table, name): StoredConstraint(condition, columns)
        for table, name, condition, columns in connection.execute(text(_STORED))
    }
    columns = {each.column: each for each in connection.execute(text(_COLUMNS))}
    needed = {name for name, each in columns.items() if each.needed}
    for table in metadata.sorted_tables:
        for constraint in sorted(table.constraints, key=lambda each: str(each.name)):
            found = stored.get((table.name, str(constraint.name)))
            breaks = _breaks(table, constraint)
            if breaks is not None and not (found and _is_ours(connection, constraint, found)):
                yield from _found(connection, table, str(constraint.name), breaks, found)
        missing = [
            each for each in table.c if not each.nullable and _column_name(each) not in needed
        ]
        if missing:
            rule = ", ".join(f"{each.name} is there" for each in missing)
            nothing = or_(*(each.is_(None) for each in missing))
            yield from _found(connection, table, rule, _rows(table, nothing), None)
    yield from _of_another_type(connection, {name: each.kind for name, each in columns.items()})


def _of_another_type(connection: Connection, kinds: Mapping[str, str]) -> Iterator[JournalFinding]:
    """A type is a rule too: whole amounts, texts up to a length."""
    for table in metadata.sorted_tables:
        for column in table.c:
            kind, right = kinds.get(_column_name(column)), _type(connection, column)
            if kind is not None and kind != right:
                yield JournalFinding.about(
                    RowKey(table.name, (("rule", f"{column.name} is {right}"),)),
                    f"Column {column.name} of table {table.name} is {kind}; the migrations made it "
                    f"{right}. Remove rows that do not fit it, then have the owner set it back "
                    f"(ALTER TABLE {table.name} ALTER COLUMN {column.name} TYPE {right}).",
                )


def _type(connection: Connection, column: Column[Any]) -> str:
    """As PostgreSQL's `format_type` shows it."""
    words = column.type.compile(dialect=connection.dialect).partition(" COLLATE ")[0].lower()
    return words.replace("varchar", "character varying").replace(", ", ",")


def _breaks(table: Table, constraint: Constraint) -> Select[Any] | None:
    """A query for the rows that break it; None for what is no rule."""
    match constraint:
        case CheckConstraint():
            return _rows(table, text(f"NOT ({constraint.sqltext})"))
        case PrimaryKeyConstraint():
            key = table.primary_key.columns
            return select(*key).group_by(*key).having(func.count() > 1).limit(NAMED_ROWS + 1)
    return None


def _is_ours(connection: Connection, constraint: Constraint, found: StoredConstraint) -> bool:
    """Whether the rule of that name is the migrations'."""
    if not isinstance(constraint, CheckConstraint) or found.condition is None:
        key = isinstance(constraint, PrimaryKeyConstraint) and [each.name for each in constraint]
        return found.condition is None and found.columns == key
    # Each version of PostgreSQL shows a condition in its own way, so this one shows both, planned.
    # That is possible in a reading transaction, unlike creating a table to compare with.
    both = f"{constraint.sqltext}, {found.condition} FROM {constraint.table.name}"
    query = "EXPLAIN (VERBOSE, COSTS OFF, FORMAT JSON) SELECT " + both.replace(":", r"\:")
    try:
        with connection.begin_nested():
            plan: Any = connection.scalar(text(query))
    except (DataError, ProgrammingError):
        # Every condition of ours can be planned.
        return False
    ours, theirs = plan[0]["Plan"]["Output"]
    return bool(ours == theirs)


def _column_name(column: Column[Any]) -> str:
    return f"{column.table.name}.{column.name}"


def _rows(table: Table, breaks: Any) -> Select[Any]:
    return select(*table.primary_key.columns).where(breaks).limit(NAMED_ROWS + 1)


def _found(
    connection: Connection,
    table: Table,
    rule: str,
    breaks: Select[Any],
    found: StoredConstraint | None,
) -> Iterator[JournalFinding]:
    names = [each.name for each in table.primary_key.columns]
    for values in connection.execute(breaks):
        row = RowKey(table.name, tuple(zip(names, values, strict=True)))
        yield JournalFinding.about(
            row, f"{row} breaks the rule {rule}: no posting writes such a row."
        )
    whole = RowKey(table.name, (("rule", rule),))
    if found is None:
        yield JournalFinding.about(
            whole,
            f"Table {table.name} is without its rule {rule}, or has rows that were there before "
            "it. Remove the rows, then have the owner put the rule back as the migrations made it "
            f"(ALTER TABLE {table.name} ADD, or VALIDATE, CONSTRAINT …).",
        )
        return
    shown = found.condition or f"a key of {', '.join(found.columns)}"
    yield JournalFinding.about(
        whole,
        f"Table {table.name} has another rule {rule} than the migrations made: {shown[:_SHOWN]}. "
        "Remove the rows that break the right one, then have the owner drop this one and add it "
        f"as the migrations made it (ALTER TABLE {table.name} DROP, then ADD, CONSTRAINT …).",
    )

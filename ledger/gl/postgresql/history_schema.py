"""The schema of history in PostgreSQL, made beside the ledger's and never migrated.

History is derived: where this version has another layout, the old tables are dropped, and the
history application folds the decision log again.
"""

import logging

from sqlalchemy import Connection, Index, MetaData, inspect, text
from sqlalchemy.exc import DBAPIError

from ledger.gl.history.tables import LAYOUT, REMARK, SCHEMA, metadata, schema_of
from ledger.gl.postgresql.connection import faults_translated
from ledger.gl.postgresql.migrate import owner_engine

# Only one makes indexes at a time: any number that no other program uses; "indexes" in ASCII.
_INDEXING = int.from_bytes(b"indexes", "big")
_INDEXES = """
SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = :name AND indisvalid
"""
_FIND = """
SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = :name
"""

log = logging.getLogger(__name__)


def provide(connection: Connection, ledger: str) -> str | None:
    """Make the tables of history beside the ledger in schema `ledger`, as the tables' owner.

    Returns the schema's name; None, with a warning, where it cannot be made. What is there in this
    version's layout, whole, stays as it is.
    """
    name = schema_of(ledger)
    remark = connection.scalar(text(_FIND), {"name": name})
    if remark == f"{REMARK}{LAYOUT}" and _is_whole(connection, name):
        return name
    if remark is not None and not remark.startswith(REMARK):
        log.warning(
            "There is a schema %s in this database that is not the ledger's, so there is no "
            "history: rename it (ALTER SCHEMA %s RENAME TO …) and migrate again.", name, name,
        )  # fmt: skip
        return None
    try:
        with connection.begin_nested():
            _make(connection, name, is_there=remark is not None)
    except DBAPIError as error:
        log.warning(
            "The schema %s of history cannot be made (%s). Grant the owner's role CREATE on this "
            "database and migrate again; everything else works without it.", name, error.orig,
        )  # fmt: skip
        return None
    return name


def add_indexes(connection: Connection, name: str) -> None:
    """Make the indexes that tables of an older version lack, while workers read and write them.

    As the tables' owner, outside a transaction: PostgreSQL makes them in several. Where that fails
    there is a warning, and the next migration does it.
    """
    missing = _missing_indexes(connection, name)
    connection.rollback()
    if not missing:
        return
    connection.execution_options(isolation_level="AUTOCOMMIT")
    try:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _INDEXING})
        for index in _missing_indexes(connection, name):
            log.info("Making the index %s of history; workers go on meanwhile.", index.name)
            # What an attempt that was interrupted has left is kept up to date and never read.
            index.dialect_options["postgresql"]["concurrently"] = True
            index.drop(connection, checkfirst=True)
            index.create(connection)
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _INDEXING})
    except DBAPIError as error:
        names = ", ".join(str(index.name) for index in missing)
        log.warning(
            "Indexes of history are not made (%s): %s. Questions that need them take longer until "
            "they are; migrate again when no long transaction is open.", names, error.orig,
        )  # fmt: skip
        connection.invalidate()


def _missing_indexes(connection: Connection, name: str) -> list[Index]:
    """Of the tables in the schema of that name; one that is not whole is missing as well."""
    found = set(connection.scalars(text(_INDEXES), {"name": name}))
    placed = MetaData()
    tables = [table.to_metadata(placed, schema=name) for table in metadata.sorted_tables]
    indexes = [index for table in tables for index in table.indexes]
    missing = (index for index in indexes if index.name not in found)
    return sorted(missing, key=lambda index: str(index.name))


def empty(database_url: str) -> None:
    """Remove every row of history, as the tables' owner; all or nothing, while workers run.

    They fold the decision log again from its beginning. Raises JournalUnavailable when somebody
    else keeps the tables locked for longer than a few seconds.
    """
    made = owner_engine(database_url)
    try:
        with faults_translated(), made.begin() as connection:
            name = schema_of(str(connection.scalar(text("SELECT current_schema()"))))
            quoted = connection.dialect.identifier_preparer.quote(name)
            tables = ", ".join(f"{quoted}.{table.name}" for table in metadata.sorted_tables)
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
    finally:
        made.dispose()


def _is_whole(connection: Connection, name: str) -> bool:
    wanted = {table.name for table in metadata.sorted_tables}
    return wanted <= set(inspect(connection).get_table_names(schema=name))


def _make(connection: Connection, name: str, *, is_there: bool) -> None:
    quoted = connection.dialect.identifier_preparer.quote(name)
    placed = connection.execution_options(schema_translate_map={SCHEMA: name})
    if is_there:
        log.warning("History lacks a table or has another layout: it is folded again from the log.")
        metadata.drop_all(placed)
    else:
        connection.execute(text(f"CREATE SCHEMA {quoted}"))
    metadata.create_all(placed)
    connection.exec_driver_sql(f"COMMENT ON SCHEMA {quoted} IS '{REMARK}{LAYOUT}'")

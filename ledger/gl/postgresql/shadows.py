"""Shadow ledgers: copies of the general ledger's tables, each in a schema of its own.

They are in the live ledger's database, and its owner creates them. Only a schema whose comment
calls it a shadow is one: nothing here touches another.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from psycopg.errors import DependentObjectsStillExist
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from ledger.errors import LedgerError
from ledger.gl.postgresql import dependants
from ledger.gl.postgresql.connection import faults_translated
from ledger.gl.postgresql.migrate import owner_engine, upgrade
from ledger.gl.tables import metadata

LEDGER_TABLES = (*metadata.tables, "alembic_version")
_PURPOSE = "faust-ledger: "
_NAME = re.compile(r"(?!pg_)[a-z][a-z0-9_]{0,49}")
_KNOWN = """
SELECT nspname, coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace
WHERE nspname NOT LIKE 'pg\\_%' ORDER BY nspname
"""
_KEEP_POSTED_AT = """
UPDATE {name}.runs AS again SET posted_at = known.posted_at FROM {live}.runs AS known
WHERE again.shard = known.shard AND again.decisions_offset = known.decisions_offset
    AND again.digest = known.digest AND again.posted_at <> known.posted_at
"""


class Shadow(NamedTuple):
    """A schema, and what it was created for."""

    name: str
    purpose: str


def require_name(name: str) -> None:
    """Raises LedgerError for what cannot be a shadow's name."""
    if not _NAME.fullmatch(name) or name in ("public", "information_schema"):
        raise LedgerError(
            f"{name!r} cannot name a shadow ledger: give lower-case letters, digits and _, at most "
            "50, beginning with a letter, and neither public nor pg_."
        )


def is_shadow(connection: Connection, schema: str) -> bool:
    """Whether the schema is a shadow ledger's."""
    known = connection.execute(text(_KNOWN))
    return any(name == schema and comment.startswith(_PURPOSE) for name, comment in known)


def existing_shadows(database_url: str) -> list[Shadow]:
    """The shadow ledgers that exist."""
    with _owner(database_url) as made, made.connect() as connection:
        return [
            Shadow(name, comment.removeprefix(_PURPOSE))
            for name, comment in connection.execute(text(_KNOWN))
            if comment.startswith(_PURPOSE)
        ]


def create_shadow(database_url: str, name: str, purpose: str) -> None:
    """Create an empty one. Raises LedgerError if a schema of that name exists."""
    require_name(name)
    with _owner(database_url) as made, made.begin() as connection:
        if name in [row[0] for row in connection.execute(text(_KNOWN))]:
            raise LedgerError(
                f"There is a schema {name} in the general ledger's database already, and nothing "
                "in it is touched. Give another name; `faust-ledger shadows list` shows the shadow "
                f"ledgers there are, `faust-ledger shadows drop {name}` drops one."
            )
        connection.execute(text(f"CREATE SCHEMA {name}"))
        _remark(connection, name, purpose)
    upgrade(database_url, schema=name)


def remove_shadow(database_url: str, name: str) -> None:
    """Drop it with its ledger. Raises LedgerError if it is no shadow or others depend on it."""
    require_name(name)
    if name not in [each.name for each in existing_shadows(database_url)]:
        raise LedgerError(
            f"There is no shadow ledger {name}: `faust-ledger shadows list` shows those there are. "
            "Nothing was dropped."
        )
    with _owner(database_url) as made, made.begin() as connection:
        if found := dependants.unrelated_objects(connection, name, LEDGER_TABLES):
            raise _not_dropped(name, "; ".join(found))
        own = dependants.routines(connection, name, LEDGER_TABLES)
        # In one statement, because they may refer to each other; never CASCADE, which would drop
        # what belongs to others.
        tables = ", ".join(f"{name}.{table}" for table in LEDGER_TABLES)
        try:
            connection.execute(text(f"DROP TABLE IF EXISTS {tables}"))
        except DBAPIError as error:
            if isinstance(error.orig, DependentObjectsStillExist):
                raise _not_dropped(name, str(error.orig.diag.message_detail)) from error
            raise
        for routine in own:
            connection.execute(text(f"DROP FUNCTION {routine.in_schema(name)}"))
        connection.execute(text(f"DROP SCHEMA {name}"))


@contextmanager
def posting_held(database_url: str) -> Iterator[Connection]:
    """A transaction, committed at the end, during which nobody posts to the live ledger.

    Postings wait in the decision log, reading goes on. Raises JournalUnavailable when somebody
    else keeps the tables locked for longer than a few seconds.
    """
    with _owner(database_url) as made, made.begin() as connection:
        connection.execute(text("LOCK TABLE shards IN EXCLUSIVE MODE"))
        yield connection


def switch(connection: Connection, name: str, kept: str) -> None:
    """Make the shadow `name` the live ledger, and keep the live one as the shadow `kept`.

    Tables move and their names stay, within the caller's transaction; the schema `name`, empty
    then, goes. Raises LedgerError if something of others would stay with the old tables.
    """
    live = _live(connection)
    _require_switchable(connection, live, name)
    _keep_posted_at(connection, live, name)
    connection.execute(text(f"CREATE SCHEMA {kept}"))
    _remark(connection, kept, f"the live ledger until it was replaced by {name}")
    replaced = dependants.routines(connection, live, LEDGER_TABLES)
    replacing = dependants.routines(connection, name, LEDGER_TABLES)
    live = connection.dialect.identifier_preparer.quote(live)
    for table in LEDGER_TABLES:
        connection.execute(text(f"ALTER TABLE {live}.{table} SET SCHEMA {kept}"))
        connection.execute(text(f"ALTER TABLE {name}.{table} SET SCHEMA {live}"))
    for routine in replaced:
        connection.execute(text(f"ALTER FUNCTION {routine.in_schema(live)} SET SCHEMA {kept}"))
    for routine in replacing:
        connection.execute(text(f"ALTER FUNCTION {routine.in_schema(name)} SET SCHEMA {live}"))
    connection.execute(text(f"DROP SCHEMA {name}"))


def require_switchable(database_url: str, name: str) -> None:
    """Raises LedgerError where `switch` would, to know it before a long rebuild."""
    with _owner(database_url) as made, made.connect() as connection:
        _require_switchable(connection, _live(connection), name)


def keep_posted_at(database_url: str, name: str) -> None:
    """Copy `posted_at` of the live ledger's runs to the same runs of the shadow."""
    with _owner(database_url) as made, made.begin() as connection:
        _keep_posted_at(connection, _live(connection), name)


def _live(connection: Connection) -> str:
    found: str = connection.scalar(text("SELECT current_schema()")) or "public"
    return found


def _keep_posted_at(connection: Connection, live: str, name: str) -> None:
    # Triggers that keep a journal from being changed would refuse this; a shadow may be changed.
    connection.execute(text(f"ALTER TABLE {name}.runs DISABLE TRIGGER USER"))
    quoted = connection.dialect.identifier_preparer.quote(live)
    connection.execute(text(_KEEP_POSTED_AT.format(live=quoted, name=name)))
    connection.execute(text(f"ALTER TABLE {name}.runs ENABLE TRIGGER USER"))


def _require_switchable(connection: Connection, live: str, name: str) -> None:
    found = dependants.dependants_missing_in(connection, live, name, LEDGER_TABLES)
    found += dependants.unrelated_objects(connection, name, LEDGER_TABLES)
    if found:
        raise LedgerError(
            "Nothing was switched: this was created by others and would stay with the old tables: "
            f"{'; '.join(found)}. Keep its definition (pg_dump --schema-only), drop it, switch, "
            "and create it again on the new tables."
        )


def _not_dropped(name: str, found: str) -> LedgerError:
    return LedgerError(
        f"Nothing was dropped: this was created by others in or on the shadow ledger {name} and "
        f"would be dropped with it: {found}. Move it elsewhere or drop it first."
    )


def _remark(connection: Connection, name: str, purpose: str) -> None:
    words = (_PURPOSE + purpose).replace("'", "''")
    connection.exec_driver_sql(f"COMMENT ON SCHEMA {name} IS '{words}'")


@contextmanager
def _owner(database_url: str) -> Iterator[Engine]:
    made = owner_engine(database_url)
    try:
        with faults_translated():
            yield made
    finally:
        made.dispose()

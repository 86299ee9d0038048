"""Shadow ledgers: the general ledger's tables once more, each in a schema of its own.

They are in the live ledger's database and made by its owner. What a comment on the schema does not
call a shadow is none: nothing here touches it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from ledger.errors import LedgerError
from ledger.gl.connection import engine, faults_translated
from ledger.gl.migrate import UPGRADE_SECONDS, upgrade
from ledger.gl.tables import metadata

TABLES = (*metadata.tables, "alembic_version")
_PURPOSE = "faust-ledger: "
_NAME = re.compile(r"(?!pg_)[a-z][a-z0-9_]{0,49}")
_KNOWN = """
SELECT nspname, coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace
WHERE nspname NOT LIKE 'pg\\_%' ORDER BY nspname
"""


class Shadow(NamedTuple):
    """A schema, and what it was made for."""

    name: str
    purpose: str


def require_name(name: str) -> None:
    """Raises LedgerError for what cannot be a shadow's name."""
    if not _NAME.fullmatch(name) or name in ("public", "information_schema"):
        raise LedgerError(
            f"{name!r} cannot name a shadow ledger: give lower-case letters, digits and _, at most "
            "50, beginning with a letter, and neither public nor pg_."
        )


def known(database_url: str) -> list[Shadow]:
    """The shadow ledgers there are."""
    with _owner(database_url) as made, made.connect() as connection:
        return [
            Shadow(name, comment.removeprefix(_PURPOSE))
            for name, comment in connection.execute(text(_KNOWN))
            if comment.startswith(_PURPOSE)
        ]


def create(database_url: str, name: str, purpose: str) -> None:
    """An empty one. Raises LedgerError when there is a schema of that name, whatever is in it."""
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


def drop(database_url: str, name: str) -> None:
    """With all that is in it. Raises LedgerError for what is no shadow."""
    require_name(name)
    if name not in [each.name for each in known(database_url)]:
        raise LedgerError(
            f"There is no shadow ledger {name}: `faust-ledger shadows list` shows those there are. "
            "Nothing was dropped."
        )
    with _owner(database_url) as made, made.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {name} CASCADE"))


@contextmanager
def posting_held(database_url: str) -> Iterator[Connection]:
    """In a transaction, committed at the end, during which nobody posts to the live ledger.

    Postings wait in the decision log, reading goes on. Raises JournalUnavailable when somebody
    holds on to the tables for longer than a few seconds.
    """
    with _owner(database_url) as made, made.begin() as connection:
        connection.execute(text("LOCK TABLE shards IN EXCLUSIVE MODE"))
        yield connection


def switch(connection: Connection, name: str, kept: str) -> None:
    """Make the shadow `name` the live ledger, and keep the live one as the shadow `kept`.

    Tables move and their names stay, within the caller's transaction; the schema `name`, empty
    then, goes.
    """
    live = connection.scalar(text("SELECT quote_ident(current_schema())"))
    connection.execute(text(f"CREATE SCHEMA {kept}"))
    _remark(connection, kept, f"the live ledger until it was replaced by {name}")
    for table in TABLES:
        connection.execute(text(f"ALTER TABLE {live}.{table} SET SCHEMA {kept}"))
        connection.execute(text(f"ALTER TABLE {name}.{table} SET SCHEMA {live}"))
    connection.execute(text(f"DROP SCHEMA {name}"))


def _remark(connection: Connection, name: str, purpose: str) -> None:
    words = (_PURPOSE + purpose).replace("'", "''")
    connection.exec_driver_sql(f"COMMENT ON SCHEMA {name} IS '{words}'")


@contextmanager
def _owner(database_url: str) -> Iterator[Engine]:
    made = engine(database_url, seconds=UPGRADE_SECONDS, idle_seconds=UPGRADE_SECONDS)
    try:
        with faults_translated():
            yield made
    finally:
        made.dispose()

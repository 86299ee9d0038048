"""Rights of the posting service's role and of finance's role, granted after every migration.

They are not part of a revision: a role that is created after the first migration gets its rights
with the next `upgrade`, and rights that others granted beyond these are revoked.
"""

import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, Connection, Table, text
from sqlalchemy.exc import DBAPIError

from ledger.gl import tables
from ledger.gl.history import tables as history
from ledger.gl.postgresql import rights

READ = "SELECT"
ADD = "SELECT, INSERT"


def _add_and_move(table: Table) -> str:
    """INSERT, and UPDATE of all columns except the primary key's."""
    return f"{ADD}, UPDATE ({_names(each for each in table.c if not each.primary_key)})"


def _add_undated(table: Table) -> str:
    """INSERT of all columns except those that the database fills in."""
    return f"SELECT, INSERT ({_names(each for each in table.c if each.server_default is None)})"


def _names(columns: Iterable[Column[Any]]) -> str:
    return ", ".join(each.name for each in columns)


TABLES = {
    "currencies": ADD,
    "runs": _add_undated(tables.runs),
    "transactions": ADD,
    "entries": ADD,
    "shards": _add_and_move(tables.shards),
    "stripes": _add_and_move(tables.stripes),
    "voids": ADD,
}
Granted = Mapping[str, tuple[Mapping[str, str], str]]
GRANTS: Granted = {
    "ledger_service": (TABLES, "nobody but the owner can post"),
    "ledger_finance": (dict.fromkeys(TABLES, READ), "nobody but the owner can read the books"),
}
"""By role, its rights by table, and what a missing role means."""

HISTORY_TABLES = {
    "positions": _add_and_move(history.positions),
    "accounts": f"{ADD}, UPDATE (scale)",
    "stripes": ADD,
    "lines": ADD,
    "totals": _add_and_move(history.totals),
    "periods": _add_and_move(history.periods),
    "blocks": ADD,
    "unblocked": f"{ADD}, DELETE",
    "refusals": ADD,
}
HISTORY_GRANTS: Granted = {
    "ledger_service": (HISTORY_TABLES, "nobody but the owner can fold history"),
    "ledger_finance": (dict.fromkeys(HISTORY_TABLES, READ), "nobody but the owner can read it"),
}
"""The same in the schema of history."""

log = logging.getLogger(__name__)


def by_schema(ledger: str) -> dict[str, rights.Grants]:
    """Each role's rights by table, in the schema `ledger` and in that of its history."""
    both = {ledger: GRANTS, history.schema_of(ledger): HISTORY_GRANTS}
    return {
        schema: {role: tables for role, (tables, _) in granted.items()}
        for schema, granted in both.items()
    }


def apply(connection: Connection, *, history_schema: str | None = None) -> None:
    """Grant and revoke, as the tables' owner. Warns of a missing role; PUBLIC gets nothing.

    `history_schema`: where the tables of history are, if there are any.
    """
    schema = str(connection.scalar(text("SELECT current_schema()")))
    _apply_in(connection, schema, TABLES, GRANTS)
    if history_schema is not None:
        _apply_in(connection, history_schema, HISTORY_TABLES, HISTORY_GRANTS)
    revoke_excess(connection)


def _apply_in(connection: Connection, name: str, tables: Iterable[str], grants: Granted) -> None:
    schema = connection.dialect.identifier_preparer.quote(name)
    for table in tables:
        connection.execute(text(f"REVOKE ALL ON TABLE {schema}.{table} FROM PUBLIC"))
    for role, (granted, without) in grants.items():
        if not is_there(connection, role):
            log.warning(
                "There is no role %s in this database, so %s. Create it (CREATE ROLE %s LOGIN) and "
                "migrate again, which grants its rights.",
                role,
                without,
                role,
            )
            continue
        for table, privileges in granted.items():
            connection.execute(text(f"REVOKE ALL ON TABLE {schema}.{table} FROM {role}"))
            connection.execute(text(f"GRANT {privileges} ON TABLE {schema}.{table} TO {role}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {role}"))


def revoke_excess(connection: Connection) -> None:
    """Revoke excess rights as far as the owner can; a warning names the others."""
    who = "SELECT current_user::text, current_schema()::text"
    owner, schema = connection.exec_driver_sql(who).one()

    def excess() -> list[rights.ExcessRight]:
        return excess_rights(connection.exec_driver_sql, owner=owner, schema=schema)

    for each in excess():
        # A right that only others can revoke must not end the migration.
        with suppress(DBAPIError), connection.begin_nested():
            connection.exec_driver_sql(each.command)
    for each in excess():
        log.warning("%s", rights.excess_sentence(each))


def excess_rights(run: rights.Run, *, owner: str, schema: str) -> list[rights.ExcessRight]:
    """As `rights.excess_rights`, of the ledger in `schema` and of its history."""
    found = [
        each
        for name, grants in by_schema(schema).items()
        for each in rights.excess_rights(run, grants, owner=owner, schema=name)
    ]
    return list(dict.fromkeys(found))


def is_there(connection: Connection, role: str) -> bool:
    """Whether the database knows the role."""
    found = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    return found is not None

"""What the roles of the posting service and of finance may do, granted anew after every migration.

Not part of a revision: a role that is made after the first migration gets its grants with the
next `upgrade`, and what somebody granted beyond this is taken back.
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from sqlalchemy import Column, Connection, Table, text
from sqlalchemy.exc import DBAPIError

from ledger.gl import tables
from ledger.gl.postgresql import rights

READ = "SELECT"
ADD = "SELECT, INSERT"


def _add_and_move(table: Table) -> str:
    """Rows are added, and moved on; which row it is never changes."""
    return f"{ADD}, UPDATE ({_names(each for each in table.c if not each.primary_key)})"


def _add_undated(table: Table) -> str:
    """What the database fills in by itself is not the role's to say."""
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
GRANTS = {
    "ledger_service": (TABLES, "nobody but the owner can post"),
    "ledger_finance": (dict.fromkeys(TABLES, READ), "nobody but the owner can read the books"),
}
"""By role, what it may do, and what is so without it."""

log = logging.getLogger(__name__)


def apply(connection: Connection) -> None:
    """As the tables' owner. Without a role it warns; the public gets nothing all the same."""
    schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
    for table in TABLES:
        connection.execute(text(f"REVOKE ALL ON TABLE {schema}.{table} FROM PUBLIC"))
    for role, (granted, without) in GRANTS.items():
        if not is_there(connection, role):
            log.warning(
                "There is no role %s in this database, so %s. Make it (CREATE ROLE %s LOGIN) and "
                "migrate again, which grants what it needs.",
                role,
                without,
                role,
            )
            continue
        for table, privileges in granted.items():
            connection.execute(text(f"REVOKE ALL ON TABLE {schema}.{table} FROM {role}"))
            connection.execute(text(f"GRANT {privileges} ON TABLE {schema}.{table} TO {role}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {role}"))
    take_back(connection)


def take_back(connection: Connection) -> None:
    """What was granted beyond, as the owner can; a warning names what only others can."""
    wanted = {role: tables for role, (tables, _) in GRANTS.items()}
    who = "SELECT current_user::text, current_schema()::text"
    owner, schema = connection.exec_driver_sql(who).one()

    def beyond() -> list[rights.ExcessRight]:
        return rights.excess_rights(connection.exec_driver_sql, wanted, owner=owner, schema=schema)

    for each in beyond():
        # One that is not ours to take back must not end the migration.
        with suppress(DBAPIError), connection.begin_nested():
            connection.exec_driver_sql(each.command)
    for each in beyond():
        log.warning("%s", rights.excess_sentence(each))


def is_there(connection: Connection, role: str) -> bool:
    """Whether the database knows the role."""
    found = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    return found is not None

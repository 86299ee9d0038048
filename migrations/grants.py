"""What the roles of the posting service and of finance may do, granted anew after every migration.

Not part of a revision: a role that is made after the first migration gets its grants with the
next `upgrade`, and what somebody granted beyond this is taken back.
"""

import logging
from contextlib import suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ledger.gl import rights

READ = "SELECT"
ADD = "SELECT, INSERT"
ADD_AND_MOVE = "SELECT, INSERT, UPDATE"
TABLES = {
    "currencies": ADD,
    "runs": ADD,
    "transactions": ADD,
    "entries": ADD,
    "shards": ADD_AND_MOVE,
    "stripes": ADD_AND_MOVE,
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
    for role, (tables, without) in GRANTS.items():
        if not is_there(connection, role):
            log.warning(
                "There is no role %s in this database, so %s. Make it (CREATE ROLE %s LOGIN) and "
                "migrate again, which grants what it needs.",
                role,
                without,
                role,
            )
            continue
        for table, privileges in tables.items():
            connection.execute(text(f"REVOKE ALL ON TABLE {schema}.{table} FROM {role}"))
            connection.execute(text(f"GRANT {privileges} ON TABLE {schema}.{table} TO {role}"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {role}"))
    take_back(connection)


def take_back(connection: Connection) -> None:
    """What was granted beyond, as the owner can; a warning names what only others can."""
    wanted = {role: tables for role, (tables, _) in GRANTS.items()}
    who = "SELECT current_user::text, current_schema()::text"
    owner, schema = connection.exec_driver_sql(who).one()

    def beyond() -> list[rights.Beyond]:
        return rights.found(connection.exec_driver_sql, wanted, owner=owner, schema=schema)

    for each in beyond():
        # One that is not ours to take back must not end the migration.
        with suppress(DBAPIError), connection.begin_nested():
            connection.exec_driver_sql(each.command)
    for each in beyond():
        log.warning("%s", rights.said(each))


def is_there(connection: Connection, role: str) -> bool:
    """Whether the database knows the role."""
    found = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    return found is not None

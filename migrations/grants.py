"""What the roles of the posting service and of finance may do, granted anew after every migration.

Not part of a revision: a role that is made after the first migration gets its grants with the
next `upgrade`, and what somebody granted beyond this is taken back.
"""

import logging

from sqlalchemy import Connection, text

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


def is_there(connection: Connection, role: str) -> bool:
    """Whether the database knows the role."""
    found = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
    return found is not None

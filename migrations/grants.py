"""What the posting service's role may do, granted anew after every migration.

Not part of a revision: a role that is made after the first migration gets its grants with the
next `upgrade`, and what somebody granted beyond this is taken back.
"""

import logging

from sqlalchemy import Connection, text

ROLE = "ledger_service"
ADD = "SELECT, INSERT"
ADD_AND_MOVE = "SELECT, INSERT, UPDATE"
GRANTS = {
    "currencies": ADD,
    "runs": ADD,
    "transactions": ADD,
    "entries": ADD,
    "shards": ADD_AND_MOVE,
    "stripes": ADD_AND_MOVE,
}

log = logging.getLogger(__name__)


def apply(connection: Connection) -> None:
    """As the tables' owner. Without the role it warns; the public gets nothing all the same."""
    known = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": ROLE})
    schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
    for table, privileges in GRANTS.items():
        name = f"{schema}.{table}"
        connection.execute(text(f"REVOKE ALL ON TABLE {name} FROM PUBLIC"))
        if known:
            connection.execute(text(f"REVOKE ALL ON TABLE {name} FROM {ROLE}"))
            connection.execute(text(f"GRANT {privileges} ON TABLE {name} TO {ROLE}"))
    if known:
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {ROLE}"))
    else:
        log.warning(
            "There is no role %s in this database, so nobody but the owner can post. Make it "
            "(CREATE ROLE %s LOGIN) and migrate again, which grants what it needs.",
            ROLE,
            ROLE,
        )

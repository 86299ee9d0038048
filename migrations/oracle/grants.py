"""Rights of the posting service's user and of finance's user, granted after every migration.

The service may add to the journal, and move shards and stripes on; finance may read. Rights that
others granted on the ledger's tables beyond these are revoked, and PUBLIC gets nothing.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, Table, text

from ledger.gl import tables

READ = "SELECT"
ADD = "SELECT, INSERT"


def _add_and_move(table: Table) -> str:
    """INSERT, and UPDATE of all columns except the primary key's."""
    return f"{ADD}, UPDATE ({_names(table, lambda each: not each.primary_key)})"


def _names(table: Table, wanted: object) -> str:
    return ", ".join(each.name for each in table.c if wanted(each))  # type: ignore[operator]


TABLES = {
    "currencies": ADD,
    # All columns except the one that the database fills in.
    "runs": f"SELECT, INSERT ({_names(tables.runs, lambda each: each.server_default is None)})",
    "transactions": ADD,
    "entries": ADD,
    "shards": _add_and_move(tables.shards),
    "stripes": _add_and_move(tables.stripes),
    "voids": ADD,
}
"""The service's rights by table."""
GRANTS = {
    "ledger_service": (TABLES, "nobody but the owner can post"),
    "ledger_finance": (dict.fromkeys(TABLES, READ), "nobody but the owner can read the books"),
}
"""By user, its rights by table, and what a missing user means."""
_USERS = "SELECT username FROM all_users"
_GRANTED = """
SELECT grantee, table_name, privilege, NULL AS column_name, grantable FROM user_tab_privs_made
UNION ALL
SELECT grantee, table_name, privilege, column_name, grantable FROM user_col_privs_made
"""
_PRIVILEGE = re.compile(r"([A-Z]+)\s*(?:\(([^)]*)\))?")

log = logging.getLogger(__name__)


class Right(NamedTuple):
    """A privilege on a table, or on one of its columns; all names in upper case."""

    grantee: str
    table: str
    privilege: str
    column: str | None = None

    @property
    def revoked(self) -> str:
        """The statement that takes it back: Oracle revokes those on columns for the whole table."""
        return f"REVOKE {self.privilege} ON {self.table} FROM {self.grantee}"


def expected() -> set[Right]:
    """What the two users are to have."""
    return {
        Right(user.upper(), table.upper(), privilege, column)
        for user, (granted, _) in GRANTS.items()
        for table, privileges in granted.items()
        for privilege, columns in _PRIVILEGE.findall(privileges)
        for column in ([each.strip().upper() for each in columns.split(",")] if columns else [None])
    }


def present(connection: Connection) -> Iterator[tuple[Right, bool]]:
    """What anybody has on the ledger's tables, and whether it may be passed on."""
    ours = {table.upper() for table in (*TABLES, "alembic_version")}
    for grantee, table, privilege, column, grantable in connection.execute(text(_GRANTED)):
        if table in ours:
            yield Right(grantee, table, privilege, column), grantable == "YES"


def apply(connection: Connection) -> None:
    """Grant and revoke, as the tables' owner. Warns of a user that is not there."""
    users = {name for (name,) in connection.execute(text(_USERS))}
    wanted = expected()
    for statement in dict.fromkeys(
        right.revoked
        for right, grantable in present(connection)
        if grantable or right not in wanted
    ):
        connection.execute(text(statement))
    for user, (granted, without) in GRANTS.items():
        if user.upper() not in users:
            log.warning(
                "There is no user %s in this database, so %s. Create it (CREATE USER %s IDENTIFIED "
                "BY …, GRANT CREATE SESSION) and migrate again, which grants its rights.",
                user, without, user,
            )  # fmt: skip
            continue
        for statement in granting(user, granted):
            connection.execute(text(statement))


def granting(user: str, granted: Mapping[str, str]) -> list[str]:
    """The statements that give a user its rights."""
    return [f"GRANT {privileges} ON {table} TO {user}" for table, privileges in granted.items()]

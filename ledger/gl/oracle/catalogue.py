"""What the posting service's user finds and may do, read from Oracle's dictionary by the user."""

from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from sqlalchemy import Connection, false, func, select, table, text
from sqlalchemy.exc import DBAPIError

from ledger.gl.oracle.connection import engine
from ledger.gl.oracle.faults import OracleError, faults_translated, translate

_SYSTEM = "SELECT privilege FROM session_privs WHERE privilege <> 'CREATE SESSION'"
_ON_TABLES = """
SELECT owner, table_name, privilege, NULL AS column_name FROM user_tab_privs_recd
UNION ALL SELECT owner, table_name, privilege, column_name FROM user_col_privs_recd
"""
_MISSING = "ORA-00942"


class TableState(NamedTuple):
    """Whether a table is there and may be read: Oracle answers both in the same way."""

    name: str
    readable: bool


def tables(
    url: str, names: list[str], *, seconds: int, driver: ModuleType | None = None
) -> list[TableState]:
    """Of each of the ledger's tables. Raises LedgerError where the user cannot log in."""
    made = engine(url, seconds=seconds, driver=driver)
    try:
        with faults_translated(), made.connect() as connection:
            return [TableState(name, _is_readable(connection, name)) for name in names]
    finally:
        made.dispose()


def _is_readable(connection: Connection, name: str) -> bool:
    try:
        connection.execute(select(func.count()).select_from(table(name)).where(false()))
    except DBAPIError as error:
        if OracleError.of(error.orig or error).code == _MISSING:
            return False
        raise translate(error.orig or error) from error
    return True


def excess_rights(
    url: str, expected: set[tuple[str, str, str | None]], *, seconds: int,
    driver: ModuleType | None = None,
) -> list[str]:  # fmt: skip
    """Statements that take back what the user has beyond `expected`: (table, privilege, column).

    System privileges other than CREATE SESSION, also those of roles, and rights on tables. Raises
    LedgerError where the user cannot log in.
    """
    made = engine(url, seconds=seconds, driver=driver)
    try:
        with faults_translated(), made.connect() as connection:
            return list(dict.fromkeys(_excess(connection, expected)))
    finally:
        made.dispose()


def _excess(connection: Connection, expected: set[tuple[str, str, str | None]]) -> Iterator[str]:
    user = connection.scalar(text("SELECT USER FROM dual"))
    for (privilege,) in connection.execute(text(_SYSTEM)):
        yield f"REVOKE {privilege} FROM {user}"
    for owner, name, privilege, column in connection.execute(text(_ON_TABLES)):
        if (name, privilege, column) not in expected:
            yield f"REVOKE {privilege} ON {owner}.{name} FROM {user}"

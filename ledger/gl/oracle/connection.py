"""Connections to Oracle whose every wait ends, with sessions that do not depend on the server's."""

import logging
from types import ModuleType
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

from ledger.errors import InvariantBroken
from ledger.gl.oracle.address import OracleAddress
from ledger.gl.oracle.faults import missing_driver
from ledger.settings import require_database

CONNECT_SECONDS = 5
POOL_SECONDS = 10
ARRAY_SIZE = 1_000
"""Rows that one round trip fetches; the driver's own default is 100."""
ENCODING = "AL32UTF8"
# A commit that was answered is on the disk, texts are ordered by their bytes, times are UTC: the
# driver drops the zone of a datetime and sends it as it is.
# https://github.com/oracle/python-oracledb/issues/374
SESSION = (
    "ALTER SESSION SET TIME_ZONE = '+00:00'",
    "ALTER SESSION SET NLS_SORT = BINARY NLS_COMP = BINARY NLS_NUMERIC_CHARACTERS = '.,'",
    "ALTER SESSION SET COMMIT_LOGGING = IMMEDIATE",
    "ALTER SESSION SET COMMIT_WAIT = WAIT",
)
"""Set on each new session, whatever the server, the user or a trigger has set before."""
READ_ONLY = "SET TRANSACTION READ ONLY"
"""Every query of the transaction sees the database as it was when this was sent."""
_CHARACTER_SET = "SELECT value FROM nls_database_parameters WHERE parameter = 'NLS_CHARACTERSET'"

log = logging.getLogger(__name__)


def engine(
    url: str,
    *,
    seconds: int,
    read_only: bool = False,
    driver: ModuleType | None = None,
    **options: Any,
) -> Engine:
    """An engine whose round trips end after `seconds`; nothing is connected yet.

    `read_only`: each transaction is a snapshot. `driver`: python-oracledb, or what has its
    interface. `options` go to `create_engine`. Raises SettingsError for an address that cannot be
    read, and where the driver is not installed.
    """
    require_database(url)
    address = OracleAddress.of(url)
    try:
        made = create_engine(
            address.url, module=driver, pool_timeout=POOL_SECONDS, arraysize=ARRAY_SIZE, **options
        )
    except ModuleNotFoundError as error:
        raise missing_driver() from error
    limits = {"tcp_connect_timeout": CONNECT_SECONDS, "expire_time": 1}

    @event.listens_for(made, "do_connect")
    def connect(_dialect: Any, _record: Any, _args: Any, given: dict[str, Any]) -> None:
        for name, value in limits.items():
            given.setdefault(name, value)

    @event.listens_for(made, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.call_timeout = seconds * 1_000
        _configure_session(connection, address.schema)

    if read_only:

        @event.listens_for(made, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(READ_ONLY)

    return made


def _configure_session(connection: Any, schema: str | None) -> None:
    """Raises InvariantBroken if the database cannot store every text."""
    if (warning := getattr(connection, "warning", None)) is not None:
        # ORA-28002: the password will expire within some days.
        log.warning("The general ledger's database warns at login: %s", warning)
    with connection.cursor() as cursor:
        for statement in SESSION:
            cursor.execute(statement)
        if schema is not None:
            cursor.execute(f"ALTER SESSION SET CURRENT_SCHEMA = {schema}")
        cursor.execute(_CHARACTER_SET)
        row = cursor.fetchone()
    connection.rollback()
    if row is None or row[0] != ENCODING:
        raise InvariantBroken(
            f"The general ledger's database stores texts as {row and row[0]}, which cannot hold "
            "every name and description. Nothing was posted or read. Make one with the character "
            f"set {ENCODING} (CREATE DATABASE … CHARACTER SET {ENCODING}) and name it in "
            "database_url and service_database_url: everything is posted there from the decision "
            "log."
        )

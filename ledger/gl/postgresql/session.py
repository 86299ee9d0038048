"""Settings of a session, whatever the environment, the role, the database and the server set.

libpq takes settings from the environment (https://www.postgresql.org/docs/current/libpq-envars.html),
and a server from `ALTER ROLE … SET`, `ALTER DATABASE … SET` and its configuration. With another
client_encoding than ours, for example, texts are stored as other texts, yet read back as sent.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.pq import Conninfo

from ledger.errors import InvariantBroken

ENCODING = "UTF8"
SETTINGS = {
    "client_encoding": ENCODING,
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "extra_float_digits": "1",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    # A commit that was answered is on the disk, also when the server dies then.
    "synchronous_commit": "on",
    # A policy that hides rows is an error and not a smaller sum.
    "row_security": "off",
}
"""PostgreSQL's, set on each new session: nothing that was set before counts."""

# Credentials and how a connection is secured may be in the environment if the address has none:
# they decide whether there is a session, not what it does.
_CREDENTIALS = ("PGPASS", "PGSSL", "PGGSS", "PGKRB", "PGREQUIRE", "PGCHANNELBINDING", "PGMINPROTO",
                "PGMAXPROTO")  # fmt: skip
_UNLISTED = ("PGDATESTYLE", "PGTZ", "PGGEQO", "PGSERVICEFILE", "PGSYSCONFDIR")
"""Variables that libpq reads and does not list among its connection options."""

_SET = """
SELECT set_config(name, value, false)
FROM unnest(%s::text[], %s::text[]) AS given (name, value)
"""
_STATE = """
SELECT current_setting('session_replication_role'), (
    SELECT to_char(rolvaliduntil, 'YYYY-MM-DD HH24:MI') FROM pg_roles
    WHERE rolname = session_user AND isfinite(rolvaliduntil)
        AND rolvaliduntil < now() + interval '14 days'
)
"""
"""Whether triggers are on, and when the password expires, if it does so soon (UTC)."""

log = logging.getLogger(__name__)


def forget_environment() -> None:
    """Remove libpq's variables from this process's environment, except credentials.

    Removed for good, because an address cannot overrule a service's file (PGSERVICE).
    """
    listed = (option.envvar.decode() for option in Conninfo.get_defaults() if option.envvar)
    for name in (*listed, *_UNLISTED):
        if not name.startswith(_CREDENTIALS):
            os.environ.pop(name, None)


def connected(kind: type[psycopg.Connection[Any]], **arguments: Any) -> psycopg.Connection[Any]:
    """A connection of `kind`, made of `arguments` alone; its texts are UTF-8."""
    forget_environment()
    if arguments.get("passfile") and not arguments.get("password"):
        # Without this PGPASSWORD would win over the file that the address names.
        arguments["password"] = ""
    return kind.connect(**{**arguments, "client_encoding": ENCODING})


def configure_session(connection: psycopg.Connection[Any], settings: Mapping[str, str]) -> None:
    """Set `SETTINGS` and `settings` on a new connection.

    Raises InvariantBroken if the database cannot store every text, or if triggers are off.
    """
    require_encoding(connection)
    wanted = {**SETTINGS, **settings}
    before, connection.autocommit = connection.autocommit, True
    connection.execute(_SET, [list(wanted), list(wanted.values())], prepare=False)
    triggers, expires = connection.execute(_STATE, prepare=False).fetchone() or ("unknown", None)
    connection.autocommit = before
    if expires is not None:
        log.warning(
            "The password of %s in the general ledger's database expires at %s UTC (VALID UNTIL): "
            "from then on no new connection is let in, and postings wait. ALTER ROLE %s PASSWORD "
            "'…' VALID UNTIL '…', and put the new password into the address.",
            connection.info.user, expires, connection.info.user,
        )  # fmt: skip
    if triggers != "origin":
        raise InvariantBroken(
            f"session_replication_role of {connection.info.user} is {triggers}: "
            "the tables' triggers and foreign keys would not be checked. Nothing was posted or "
            f"read. ALTER ROLE {connection.info.user} RESET session_replication_role, or find out "
            "where else it is set (ALTER DATABASE, postgresql.conf)."
        )


def require_encoding(connection: psycopg.Connection[Any]) -> None:
    """Raises InvariantBroken for a database that is not UTF-8."""
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != ENCODING:
        raise InvariantBroken(
            f"The database {connection.info.dbname} stores texts as {encoding}, which cannot hold "
            "every name and description. Nothing was posted or read. Make another one (CREATE "
            "DATABASE … ENCODING 'UTF8' TEMPLATE template0) and name it in database_url and "
            "service_database_url: everything is posted there from the decision log."
        )

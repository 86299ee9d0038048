"""Checks of the general ledger's database, as the role that posts sees it."""

from collections.abc import Iterator
from typing import Any

from ledger.errors import InvariantBroken
from ledger.health.findings import Finding
from ledger.hiding import shown_url
from ledger.settings import Settings

NAME = "general ledger"
CONNECT_SECONDS = 5
TAKEN = "every connection is in use: end some (pg_stat_activity), or raise the limit"
ROLE_ADVICE = {
    "password authentication failed": "the password is wrong: `faust-ledger up` sets the embedded "
    "stack's again; on a database of your own correct service_database_url",
    "too many connections for role": TAKEN,
    "too many clients": TAKEN,
    "remaining connection slots": TAKEN,
    "is not permitted to log in": "ALTER ROLE … LOGIN",
    "does not exist": "the database or the role is gone: restore it from a backup",
    "permission denied": "grant the role CONNECT on the database again",
}
"""What to do, by what PostgreSQL answers a role that cannot connect."""
TABLES = (
    "SELECT name, to_regclass(name) IS NOT NULL, to_regclass(name) IS NOT NULL"
    " AND has_table_privilege(name, 'SELECT') FROM unnest(%s::text[]) AS name"
)


def database(settings: Settings) -> Iterator[Finding]:
    """Whether the role that posts can log in, and finds and can read its tables.

    Nothing where the server itself does not answer: another check finds that.
    """
    import psycopg

    try:
        yield _tables(_read_tables(settings))
    except psycopg.OperationalError as error:
        yield from role(str(error).strip())
    except psycopg.ProgrammingError as error:
        if error.sqlstate is not None:
            raise
        # The driver's own error, for an address that it cannot read; its text repeats parts of it.
        address = shown_url(settings.service_database_url)
        advice = "correct the setting service_database_url"
        yield Finding(NAME, False, f"its address {address} cannot be read", advice)
    except InvariantBroken as error:
        yield Finding(NAME, False, str(error), "do as it says")


def _read_tables(settings: Settings) -> list[tuple[Any, ...]]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    from ledger.gl import session
    from ledger.gl.tables import metadata

    address = settings.service_database_url.replace("+psycopg", "", 1)
    given = {**conninfo_to_dict(address), "connect_timeout": CONNECT_SECONDS}
    given["options"] = f"-c search_path=public {given.get('options', '')}"
    with session.connected(psycopg.Connection, **given) as connection:
        session.establish(connection, {})
        connection.execute(f"SET statement_timeout = '{CONNECT_SECONDS}s'")
        found: list[tuple[Any, ...]] = connection.execute(
            TABLES, [sorted(metadata.tables)]
        ).fetchall()
    return found


def _tables(rows: list[tuple[Any, ...]]) -> Finding:
    gone = [name for name, there, _ in rows if not there]
    closed = [name for name, there, readable in rows if there and not readable]
    wrong = []
    if gone:
        wrong.append(f"tables are missing: {', '.join(gone)}")
    if closed:
        wrong.append(f"the posting role may not read: {', '.join(closed)}")
    return Finding(
        NAME,
        not wrong,
        "; ".join(wrong) or f"{len(rows)} tables, readable by the role that posts",
        "restore the database from a backup: what was posted since is posted again from the "
        "decision log; `faust-ledger up` creates missing tables, empty, and missing grants",
    )


def role(text: str) -> Iterator[Finding]:
    """What PostgreSQL answers a role that cannot connect; nothing for other errors."""
    for words, advice in ROLE_ADVICE.items():
        if words in text:
            yield Finding("posting's database role", False, text.splitlines()[0], advice)
            return

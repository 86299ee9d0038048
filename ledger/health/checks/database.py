"""Checks of the general ledger's database, as the role that posts sees it."""

from collections.abc import Callable, Iterator
from typing import Any

from ledger.errors import LedgerError
from ledger.health.findings import Finding
from ledger.settings import Settings, is_oracle

NAME, HISTORY, MIGRATIONS = "general ledger", "history", "migrations"
ADVICE = {
    NAME: "restore the database from a backup: what was posted since is posted again from the "
    "decision log; `faust-ledger up` (`faust-ledger setup` on servers of your own) creates missing "
    "tables, empty, and missing grants",
    HISTORY: "`faust-ledger up` (`faust-ledger setup` on servers of your own) creates missing "
    "tables, empty, and missing grants: workers fold history again from the decision log",
}
CONNECT_SECONDS = 5
TABLES = (
    "SELECT name, to_regclass(name) IS NOT NULL, to_regclass(name) IS NOT NULL"
    " AND has_table_privilege(name, 'SELECT') FROM unnest(%s::text[]) AS name"
)


def database(settings: Settings, *, embedded: bool = True) -> Iterator[Finding]:
    """Whether the role that posts can log in, and finds and can read its tables.

    Nothing where the `embedded` stack's server itself does not answer: another check finds that.
    """
    from sqlalchemy.exc import OperationalError

    try:
        yield from _tables(settings)
    except OperationalError as error:
        found = list(role(str(error.orig).strip()))
        yield from found
        if not found and not embedded:
            from ledger.gl.postgresql.connection import translate

            yield Finding(NAME, False, str(translate(error.orig or error)), "do as it says")
    except LedgerError as error:
        yield Finding(NAME, False, str(error), "do as it says")


def migrations(settings: Settings) -> Iterator[Finding]:
    """Whether the tables are this release's; nothing where their owner cannot be asked."""
    from ledger.gl.databases import missing_migrations
    from ledger.gl.migrating import NewerTables

    try:
        missing = missing_migrations(settings.database_url)
    except NewerTables as error:
        yield Finding(MIGRATIONS, False, str(error), "do as it says")
    except LedgerError:
        # Another check reports a database that cannot be reached.
        return
    else:
        detail = f"not made yet: {', '.join(sorted(missing))}" if missing else "all are made"
        advice = (
            "`faust-ledger up` (`faust-ledger setup` as the owner on servers of your own), then "
            "restart the workers"
        )
        yield Finding(MIGRATIONS, not missing, detail, advice)


def _tables(settings: Settings) -> Iterator[Finding]:
    from ledger.gl.history.tables import metadata as history
    from ledger.gl.history.tables import schema_of
    from ledger.gl.tables import metadata

    url = settings.service_database_url
    if is_oracle(url):
        yield _in_oracle(url)
        return
    yield _finding(NAME, _read_tables(url, lambda _: sorted(metadata.tables)))
    if settings.history == "on":

        def names(schema: str) -> list[str]:
            return [f"{schema_of(schema)}.{table.name}" for table in history.sorted_tables]

        yield _finding(HISTORY, _read_tables(settings.history_database_url or url, names))


def _read_tables(url: str, names: Callable[[str], list[str]]) -> list[tuple[Any, ...]]:
    """Of each table that `names` gives for the ledger's schema: is it there, may it be read."""
    from ledger.gl.postgresql.connection import engine

    made = engine(url, seconds=CONNECT_SECONDS, idle_seconds=CONNECT_SECONDS)
    try:
        with made.connect() as connection:
            schema = str(connection.exec_driver_sql("SELECT current_schema()").scalar())
            rows = connection.exec_driver_sql(TABLES, (names(schema),))
            return [tuple(row) for row in rows]
    finally:
        made.dispose()


def _in_oracle(url: str) -> Finding:
    from ledger.gl.oracle import catalogue
    from ledger.gl.tables import metadata

    found = catalogue.tables(url, sorted(metadata.tables), seconds=CONNECT_SECONDS)
    gone = [each.name for each in found if not each.readable]
    what = f"the posting user finds no table, or may not read it: {', '.join(gone)}"
    good = f"{len(found)} tables, readable by the user that posts"
    advice = (
        "name their owner as `schema` in service_database_url, and run `faust-ledger setup` as the "
        "owner, which creates missing tables, empty, and grants the rights: docs/oracle.md"
    )
    return Finding(NAME, not gone, what if gone else good, advice)


def _finding(name: str, rows: list[tuple[Any, ...]]) -> Finding:
    gone = [name for name, there, _ in rows if not there]
    closed = [name for name, there, readable in rows if there and not readable]
    wrong = []
    if gone:
        wrong.append(f"tables are missing: {', '.join(gone)}")
    if closed:
        wrong.append(f"the posting role may not read: {', '.join(closed)}")
    return Finding(
        name,
        not wrong,
        "; ".join(wrong) or f"{len(rows)} tables, readable by the role that posts",
        ADVICE[name],
    )


def role(text: str) -> Iterator[Finding]:
    """What PostgreSQL answers a role that cannot connect; nothing for other errors."""
    from ledger.gl.postgresql.advice import OF_ROLE

    for words, advice in OF_ROLE.items():
        if words in text:
            yield Finding("posting's database role", False, text.splitlines()[0], advice)
            return

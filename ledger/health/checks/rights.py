"""Checks of rights beyond the ledger's rules, in the database and in Kafka."""

import asyncio
from collections.abc import Iterator

from ledger.errors import LedgerError
from ledger.health.findings import Finding
from ledger.settings import Settings, is_oracle

WAIT_SECONDS = 20
RIGHTS_CHECK = "rights"
OWNER = (
    "SELECT tableowner, schemaname FROM pg_tables WHERE tablename = 'shards'"
    " AND schemaname = current_schema()"
)


def database_rights(settings: Settings) -> Iterator[Finding]:
    """Rights in the database, read as the role that posts; nothing where it cannot log in."""
    if is_oracle(settings.service_database_url):
        yield from _rights_in_oracle(settings)
        return
    from sqlalchemy.exc import DBAPIError

    from ledger.gl.postgresql.connection import engine
    from migrations.grants import GRANTS, excess_rights

    made = engine(settings.service_database_url, seconds=WAIT_SECONDS, idle_seconds=WAIT_SECONDS)
    try:
        with made.connect() as connection:
            run = connection.exec_driver_sql
            known = run(OWNER).one_or_none()
            if known is None:
                return
            found = excess_rights(run, owner=known[0], schema=known[1])
    except (DBAPIError, LedgerError):
        # Another check reports a database that cannot be reached.
        return
    finally:
        made.dispose()
    for each in found:
        advice = f"`faust-ledger up`, or as a superuser of the database: {each.command};"
        yield Finding(RIGHTS_CHECK, False, each.what, advice)
    if not found:
        yield Finding(
            RIGHTS_CHECK, True, f"{', '.join(GRANTS)} have the intended rights in the database"
        )


def _rights_in_oracle(settings: Settings) -> Iterator[Finding]:
    from ledger.gl.oracle.catalogue import excess_rights
    from migrations.oracle.grants import expected

    wanted = {(each.table, each.privilege, each.column) for each in expected()}
    url = settings.service_database_url
    try:
        found = excess_rights(url, wanted, seconds=WAIT_SECONDS)
    except LedgerError:
        # Another check reports a database that cannot be reached.
        return
    for command in found:
        what = "the user that posts has a right beyond those that it needs"
        yield Finding(RIGHTS_CHECK, False, what, f"as who granted it: {command};")
    if not found:
        yield Finding(RIGHTS_CHECK, True, "the user that posts has the intended rights in Oracle")


def kafka_rights(settings: Settings) -> Iterator[Finding]:
    """Rights in a Kafka cluster with users; nothing where it does not answer."""
    from ledger.streaming import access

    if not settings.kafka_user:
        return
    try:
        found = asyncio.run(asyncio.wait_for(access.excess_rules(settings), WAIT_SECONDS))
    except (LedgerError, TimeoutError):
        return
    for rule in found:
        yield Finding(
            RIGHTS_CHECK, False, access.described(rule), "`faust-ledger up`, or that command"
        )
    if not found:
        yield Finding(RIGHTS_CHECK, True, "the ledger's users have the intended rights in Kafka")

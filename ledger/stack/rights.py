"""What `doctor` finds of rights beyond the ledger's rules, in the database and in Kafka."""

import asyncio
from collections.abc import Iterator

from ledger.errors import LedgerError
from ledger.health.findings import Finding
from ledger.settings import Settings

ASK_SECONDS = 20
NAME = "rights"


def of_database(settings: Settings) -> Iterator[Finding]:
    """As the role that posts, who may read the catalogue; nothing where it cannot log in."""
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    from ledger.gl import rights
    from ledger.gl.connection import engine
    from migrations.grants import GRANTS

    wanted = {role: tables for role, (tables, _) in GRANTS.items()}
    made = engine(settings.service_database_url, seconds=ASK_SECONDS, idle_seconds=ASK_SECONDS)
    owner = text(
        "SELECT tableowner, schemaname FROM pg_tables WHERE tablename = 'shards'"
        " AND schemaname = current_schema()"
    )
    try:
        with made.connect() as connection:
            known = connection.execute(owner).one_or_none()
            if known is None:
                return
            run = connection.exec_driver_sql
            found = rights.found(run, wanted, owner=known[0], schema=known[1])
    except (DBAPIError, LedgerError):
        # Found elsewhere.
        return
    finally:
        made.dispose()
    for each in found:
        advice = f"`faust-ledger up`, or as a superuser of the database: {each.command};"
        yield Finding(NAME, False, each.what, advice)
    if not found:
        yield Finding(NAME, True, f"{', '.join(wanted)} may do in the database what they are to")


def of_kafka(settings: Settings) -> Iterator[Finding]:
    """Of a cluster with users; nothing where it does not answer."""
    from ledger.streaming import access

    if not settings.kafka_user:
        return
    try:
        found = asyncio.run(asyncio.wait_for(access.beyond(settings), ASK_SECONDS))
    except (LedgerError, TimeoutError):
        return
    for rule in found:
        yield Finding(NAME, False, access.said(rule), "`faust-ledger up`, or as it says")
    if not found:
        yield Finding(NAME, True, "the ledger's users may do in Kafka what they are to")

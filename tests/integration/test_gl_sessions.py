"""What a session does is ours to say: not the environment's, the role's, the database's."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, make_url, text

from ledger.errors import InvariantBroken
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.postgresql.connection import engine
from ledger.gl.postgresql.migrate import upgrade
from ledger.gl.postgresql.session import SETTINGS
from tests.integration.gl_runs import Chain, moved
from tests.waiting import PATIENCE

if TYPE_CHECKING:
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.integration.gl_database"]

NAME = "Überweisung-1"
DESCRIPTION = "Zürich → Genève, 振込"
POST = f"""
import sys
from contextlib import closing
from ledger.gl.postgresql import PostgresJournal
from tests.integration.gl_runs import Chain, moved
given = moved(0, 5, transaction_id={NAME!r}, description={DESCRIPTION!r})
chain = Chain()
before = chain.watermark
with closing(PostgresJournal(sys.argv[1])) as journal:
    journal.post(0, before, [chain.run(given)])
    (found,) = journal.transactions(0)
    assert (found.transaction_id, found.description) == ({NAME!r}, {DESCRIPTION!r}), found
"""
STORED = """
SELECT convert_to(transaction_id, 'UTF8'), convert_to(description, 'UTF8'),
    extract(epoch FROM effective_at)::bigint
FROM public.transactions
"""
SERVICE = """
[elsewhere]
dbname=nowhere
hostaddr=127.0.0.9
options=-c synchronous_commit=off
"""
HOSTILE = {
    "PGCLIENTENCODING": "LATIN1",
    "PGTZ": "Asia/Tokyo",
    "PGDATESTYLE": "SQL, DMY",
    "PGGEQO": "off",
    "PGOPTIONS": "-c search_path=elsewhere -c synchronous_commit=off -c bytea_output=escape",
    "PGHOSTADDR": "127.0.0.9",
    "PGHOST": "nowhere.invalid",
    "PGPORT": "1",
    "PGUSER": "nobody",
    "PGDATABASE": "nowhere",
    "PGSERVICE": "elsewhere",
    "PGTARGETSESSIONATTRS": "standby",
    "PGLOADBALANCEHOSTS": "random",
    "LANG": "tr_TR.ISO-8859-9",
}
UNLIKE = {
    "client_encoding": "LATIN1",
    "timezone": "Asia/Tokyo",
    "datestyle": "SQL, DMY",
    "intervalstyle": "iso_8601",
    "bytea_output": "escape",
    "standard_conforming_strings": "off",
    "extra_float_digits": "-15",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "synchronous_commit": "off",
    "row_security": "on",
}


def stored(database: "Database") -> list[tuple[bytes, bytes, int]]:
    """As the server has it, in bytes."""
    return [(bytes(each[0]), bytes(each[1]), each[2]) for each in database.run(STORED)]


def posted(database: "Database", **environment: str) -> None:
    """One transaction, by a process with that environment."""
    done = subprocess.run(
        [sys.executable, "-c", POST, database.service],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=PATIENCE,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture
def expected(database: "Database") -> list[tuple[bytes, bytes, int]]:
    """What a process of an ordinary environment stores."""
    posted(database)
    found = stored(database)
    assert found[0][:2] == (NAME.encode(), DESCRIPTION.encode())
    database.run("TRUNCATE currencies, runs, transactions, entries, shards, stripes")
    return found


def test_a_hostile_environment_changes_nothing(database, expected, tmp_path):
    service = tmp_path / "services"
    service.write_text(SERVICE)
    for name, value in HOSTILE.items():
        posted(database, PGSERVICEFILE=str(service), **{name: value})
        assert stored(database) == expected, name
        database.run("TRUNCATE currencies, runs, transactions, entries, shards, stripes")
    posted(database, PGSERVICEFILE=str(service), **HOSTILE)
    assert stored(database) == expected


@contextmanager
def altered(database: "Database", settings: dict[str, str]) -> Iterator[None]:
    """Whoever comes now has these settings, by the database and by the role in it."""
    address = make_url(database.admin)
    places = (
        f"DATABASE {address.database}",
        f"ROLE {address.username} IN DATABASE {address.database}",
    )
    with database.engine() as engine:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            for place in places:
                for setting, value in settings.items():
                    connection.execute(text(f"ALTER {place} SET {setting} = '{value}'"))
            yield
        finally:
            for place in places:
                connection.execute(text(f"ALTER {place} RESET ALL"))
            connection.close()


def test_settings_of_the_role_and_the_database_change_nothing(database, expected):
    assert UNLIKE.keys() == SETTINGS.keys()
    with altered(database, {**UNLIKE, "search_path": "elsewhere"}):
        posted(database)
        made = engine(database.service, seconds=5, idle_seconds=5)
        with made.connect() as connection:
            found = {name: connection.scalar(text(f"SHOW {name}")) for name in SETTINGS}
            path = connection.scalar(text("SHOW search_path"))
        made.dispose()
    assert found == SETTINGS
    assert path == "public"
    assert stored(database) == expected


def test_the_address_may_name_another_schema_and_a_shadow_keeps_its_own(database):
    url = make_url(database.service)
    options = f"{url.query['options']} -c search_path=theirs"
    address = url.update_query_dict({"options": options}).render_as_string(hide_password=False)
    for settings, expected in (({}, "theirs"), ({"search_path": "mine"}, "mine")):
        made = engine(address, seconds=5, idle_seconds=5, settings=settings)
        with made.connect() as connection:
            assert connection.scalar(text("SHOW search_path")) == expected
        made.dispose()


def test_triggers_that_are_off_are_a_refusal(database):
    with (
        altered(database, {"session_replication_role": "replica"}),
        closing(PostgresJournal(database.service)) as journal,
        pytest.raises(InvariantBroken, match="RESET session_replication_role"),
    ):
        journal.watermark(0)


def test_a_database_that_cannot_hold_every_text_takes_no_posting(server):
    name = f"ledger_test_{secrets.token_hex(4)}"
    with create_engine(server, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(
            text(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' "
                 "TEMPLATE template0")
        )  # fmt: skip
        try:
            address = make_url(server).set(database=name).render_as_string(hide_password=False)
            chain = Chain()
            before = chain.watermark
            with (
                closing(PostgresJournal(address)) as journal,
                pytest.raises(InvariantBroken, match="stores texts as LATIN1"),
            ):
                journal.post(0, before, [chain.run(moved(0, 5))])
            with pytest.raises(InvariantBroken, match="ENCODING 'UTF8'"):
                upgrade(address)
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        connection.engine.dispose()

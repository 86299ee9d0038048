"""A database that was set up wrongly: each mistake gets a sentence, and postings go on afterwards."""

import logging
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from ledger.domain.run import Watermark
from ledger.gl.databases import missing_migrations, upgrade
from ledger.gl.journal import JournalUnavailable, NotPostable
from ledger.gl.migrating import NewerTables
from ledger.gl.postgresql import PostgresJournal
from ledger.health.checks.database import database as looked_at
from ledger.health.checks.database import migrations
from ledger.settings import Settings
from tests.integration.gl_runs import Chain, moved

if TYPE_CHECKING:
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.integration.gl_database"]


@pytest.fixture
def journal(database: "Database") -> Iterator[PostgresJournal]:
    """An empty ledger, as the posting service."""
    with closing(PostgresJournal(database.service)) as made:
        yield made


def settings_of(database: "Database") -> Settings:
    return Settings(
        database_url=database.owner, service_database_url=database.service, history="off"
    )


def test_a_right_that_is_missing(database: "Database", journal: PostgresJournal) -> None:
    run = Chain().run(moved(0, 7))
    database.run("REVOKE INSERT ON entries FROM ledger_service")
    try:
        with pytest.raises(
            JournalUnavailable, match="a right is missing: run `faust-ledger setup`"
        ):
            journal.post(0, Watermark(), [run])
    finally:
        upgrade(database.owner)
    journal.post(0, Watermark(), [run])


def test_tables_of_another_release(database: "Database", journal: PostgresJournal) -> None:
    run = Chain().run(moved(0, 7))
    database.run("ALTER TABLE runs RENAME COLUMN accepted TO accepted_before")
    try:
        with pytest.raises(NotPostable, match="Run `faust-ledger setup` as the owner"):
            journal.post(0, Watermark(), [run])
    finally:
        database.run("ALTER TABLE runs RENAME COLUMN accepted_before TO accepted")
    journal.post(0, Watermark(), [run])


def test_migrations_that_are_missing_or_unknown(database: "Database") -> None:
    (well,) = migrations(settings_of(database))
    assert well.well
    try:
        database.run("UPDATE alembic_version SET version_num = '0003'")
        assert sorted(missing_migrations(database.owner)) == ["0004_reference_digest", "0005_voids"]
        (finding,) = migrations(settings_of(database))
        assert (finding.well, "`faust-ledger setup`" in finding.advice) == (False, True)
        database.run("UPDATE alembic_version SET version_num = '0099'")
        with pytest.raises(NewerTables, match="0099, and this release knows up to 0005"):
            upgrade(database.owner)
        (finding,) = migrations(settings_of(database))
        assert "Use that release or a newer one" in finding.detail
    finally:
        database.run("UPDATE alembic_version SET version_num = '0005'")


def test_a_password_that_expires_soon_is_a_warning(
    database: "Database", caplog: pytest.LogCaptureFixture
) -> None:
    user = make_url(database.admin).username
    for until, is_said in (("infinity", False), ("9999-01-01", False), (soon(database), True)):
        database.run(f"ALTER ROLE {user} VALID UNTIL '{until}'")
        caplog.clear()
        try:
            with (
                caplog.at_level(logging.WARNING),
                closing(PostgresJournal(database.service)) as opened,
            ):
                assert opened.watermark(0) == Watermark()
        finally:
            database.run(f"ALTER ROLE {user} VALID UNTIL 'infinity'")
        assert (f"The password of {user}" in caplog.text) is is_said
    assert f"expires at {until[:16]} UTC" in caplog.text


def soon(database: "Database") -> str:
    """In three days."""
    found = database.run(
        "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '3 days', 'YYYY-MM-DD HH24:MI:SS+00')"
    )
    return str(found[0][0])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"host": "127.0.0.1", "port": 1}, "correct host and port"),
        ({"host": "nowhere.invalid"}, "correct host and port"),
        ({"database": "nowhere"}, "the database or the role is gone, or the address names another"),
    ],
)
def test_a_wrong_address(database: "Database", changed: dict[str, object], said: str) -> None:
    address = make_url(database.service).set(**changed)  # type: ignore[arg-type]
    url = address.render_as_string(hide_password=False)
    with (
        closing(PostgresJournal(url)) as journal,
        pytest.raises(JournalUnavailable, match=said),
    ):
        journal.watermark(0)
    (finding,) = looked_at(
        Settings(database_url=url, service_database_url=url, history="off"), embedded=False
    )
    assert not finding.well
    assert said in f"{finding.detail} {finding.advice}"

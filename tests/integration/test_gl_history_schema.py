"""The schema of history: made beside the ledger's, kept while it is whole, never beside a shadow."""

import logging

import pytest
from sqlalchemy.exc import ProgrammingError

from ledger.gl.history.tables import LAYOUT, metadata
from ledger.gl.journal import JournalUnavailable
from ledger.gl.postgresql import history_schema, shadows
from ledger.gl.postgresql.history import PostgresHistoryWriter
from ledger.gl.postgresql.migrate import upgrade
from migrations import grants
from tests.integration.gl_database import Database, new_database
from tests.integration.gl_history import emptied, folded, rows
from tests.integration.test_gl_history import long_log

pytest_plugins = ["tests.integration.gl_database"]
NAMES = {table.name for table in metadata.sorted_tables}


def tables(database: Database) -> set[str]:
    found = database.run(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'ledger_history'"
        " AND tableowner = 'ledger_owner'"
    )
    return {name for (name,) in found}


@pytest.fixture
def history(database: Database) -> Database:
    upgrade(database.owner)
    return emptied(database)


def test_it_is_there_after_a_migration_and_every_table_has_its_rights(history: Database) -> None:
    assert tables(history) == NAMES == set(grants.HISTORY_TABLES)
    for statement in (
        "UPDATE ledger_history.lines SET amount = 1",
        "DELETE FROM ledger_history.lines",
        "TRUNCATE ledger_history.positions",
        "UPDATE ledger_history.accounts SET account = 'a'",
        "DELETE FROM ledger_history.periods",
    ):
        with history.engine(history.service) as engine, pytest.raises(ProgrammingError):
            engine.connect().exec_driver_sql(statement)
    with history.engine(history.as_role("ledger_finance")) as engine:
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT * FROM ledger_history.lines").all() == []
        with pytest.raises(ProgrammingError):
            engine.connect().exec_driver_sql("DELETE FROM ledger_history.unblocked")


def test_what_is_whole_stays_and_what_is_not_is_made_anew(
    history: Database, caplog: pytest.LogCaptureFixture
) -> None:
    history.run("INSERT INTO ledger_history.periods VALUES (48, 1, 1, 1, 1, 0)")
    upgrade(history.owner)
    assert len(rows(history, "*", "periods")) == 1
    history.run("DROP TABLE ledger_history.blocks")
    with caplog.at_level(logging.WARNING):
        upgrade(history.owner)
    assert "folded again from the log" in caplog.text
    assert (tables(history), rows(history, "*", "periods")) == (NAMES, [])


def test_tables_of_another_layout_are_not_written_until_they_are_made_anew(
    history: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """As those that a newer release has made while this one's workers run."""
    writer = PostgresHistoryWriter(history.service)
    try:
        assert writer.positions() == {}
        history.run("COMMENT ON SCHEMA ledger_history IS 'history of faust-ledger: layout 99'")
        with pytest.raises(JournalUnavailable, match=f"layout 99.*writes layout {LAYOUT}"):
            writer.positions()
        with caplog.at_level(logging.WARNING):
            upgrade(history.owner)
        assert "folded again from the log" in caplog.text
        assert writer.positions() == {}
    finally:
        writer.close()


INDEXES = """SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = 'ledger_history'::regnamespace AND indisvalid"""


def indexes(database: Database) -> set[str]:
    return {name for (name,) in database.run(INDEXES)}


def test_indexes_of_this_version_are_added_and_nothing_else_changes(history: Database) -> None:
    whole = indexes(history)
    history.run("DROP INDEX ledger_history.refusals_by_producer, ledger_history.refusals_by_time")
    history.run("INSERT INTO ledger_history.periods VALUES (48, 1, 1, 1, 1, 0)")
    upgrade(history.owner)
    assert indexes(history) == whole
    assert len(rows(history, "*", "periods")) == 1


def test_a_worker_that_writes_does_not_wait_for_an_index(
    history: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor does the migration wait for it for long; what is left of its attempt is made anew."""
    whole = indexes(history)
    history.run("DROP INDEX ledger_history.refusals_by_producer")
    refusal = "INSERT INTO ledger_history.refusals VALUES (0, {}, 5, NULL, 'C', NULL, NULL, 'p', 1)"
    with history.engine(history.service) as engine, engine.connect() as writing:
        writing.exec_driver_sql(refusal.format(1))
        with caplog.at_level(logging.WARNING):
            upgrade(history.owner)
        assert "Indexes of history are not made (refusals_by_producer)" in caplog.text
        assert "migrate again" in caplog.text
        writing.exec_driver_sql(refusal.format(2))
        writing.commit()
    assert "refusals_by_producer" not in indexes(history)
    upgrade(history.owner)
    assert indexes(history) == whole
    assert rows(history, "count(*)", "refusals") == [(2,)]


def test_another_layout_is_dropped(history: Database) -> None:
    remark = f"COMMENT ON SCHEMA ledger_history IS 'history of faust-ledger: layout {LAYOUT + 1}'"
    history.run(remark)
    history.run("INSERT INTO ledger_history.periods VALUES (48, 1, 1, 1, 1, 0)")
    upgrade(history.owner)
    assert (tables(history), rows(history, "*", "periods")) == (NAMES, [])


def test_a_schema_of_others_is_left_alone(server: str, caplog: pytest.LogCaptureFixture) -> None:
    with new_database(server) as database:
        database.run("CREATE SCHEMA ledger_history AUTHORIZATION ledger_owner")
        with caplog.at_level(logging.WARNING):
            upgrade(database.owner)
        assert "is not the ledger's" in caplog.text
        assert tables(database) == set()


def test_without_the_right_to_make_a_schema_everything_else_is_migrated(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    with new_database(server) as database:
        database.run("GRANT ALL ON SCHEMA public TO ledger_owner")
        name = database.run("SELECT current_database()")[0][0]
        database.run(f"ALTER DATABASE {name} OWNER TO postgres")
        with caplog.at_level(logging.WARNING):
            assert "0001_journal" in upgrade(database.owner)
        assert "Grant the owner's role CREATE" in caplog.text


def test_a_shadow_ledger_has_none(history: Database) -> None:
    shadows.create_shadow(history.owner, "beside", "a test")
    try:
        found = history.run("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%history%'")
        assert [name for (name,) in found] == ["ledger_history"]
    finally:
        shadows.remove_shadow(history.owner, "beside")


def test_emptied_it_has_no_rows_and_keeps_its_rights(history: Database) -> None:
    log, writer = long_log(600, 2**30), PostgresHistoryWriter(history.service)
    writer.fold([folded(log.runs)])
    writer.tidy([0], idle=True)
    history_schema.empty(history.owner)
    assert all(rows(history, "count(*)", name) == [(0,)] for name in NAMES)
    writer.fold([folded(log.runs)])
    writer.close()
    assert rows(history, "count(*)", "lines") == [(1_200,)]

"""Migrations give exactly the tables of ledger.gl.tables, and the service's role its few rights."""

import logging
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib import import_module
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from ledger.domain.run import Watermark
from ledger.errors import LedgerError, Unavailable
from ledger.gl.postgresql import PostgresJournal, rights
from ledger.gl.postgresql.migrate import upgrade
from ledger.gl.tables import metadata
from migrations import grants
from tests.integration.gl_runs import Chain, moved

if TYPE_CHECKING:
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.integration.gl_database"]

JOURNAL = ("currencies", "runs", "transactions", "entries")
PRESENT = ("shards", "stripes")

# Whatever alembic does not compare, PostgreSQL's own catalogue tells.
COLUMNS = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, l.collname,
    pg_get_expr(d.adbin, d.adrelid), a.attidentity, c.reloptions
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0
    AND c.relname <> 'alembic_version'
ORDER BY c.relname, a.attnum
"""
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1
"""
CONSTRAINTS = """
SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 0
    AND conrelid::regclass::text <> 'alembic_version' AND contype <> 'n' ORDER BY 1
"""
CATALOGUE = (COLUMNS, INDEXES, CONSTRAINTS)


@pytest.fixture
def empty(server: str) -> Any:
    """A database without tables."""
    from tests.integration.gl_database import new_database

    with new_database(server) as database:
        yield database


def catalogue(database: "Database") -> list[list[Any]]:
    """Columns, indexes, constraints."""
    return [database.run(query) for query in CATALOGUE]


def test_alembic_sees_no_difference(migrated: "Database") -> None:
    with migrated.engine() as engine, engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "autogenerate_plugins": [
                    "alembic.autogenerate.*",
                    "alembic.ext.checkconstraint_byname",
                ],
            },
        )
        assert compare_metadata(context, metadata) == []


def test_the_catalogue_is_the_same(migrated: "Database", empty: "Database") -> None:
    with empty.engine(empty.owner) as engine:
        metadata.create_all(engine)
    assert catalogue(migrated) == catalogue(empty)
    assert len(catalogue(empty)[0]) == sum(len(table.columns) for table in metadata.tables.values())


def test_upgrading_again_changes_nothing(migrated: "Database", capfd: Any) -> None:
    before = catalogue(migrated)
    upgrade(migrated.owner)
    assert catalogue(migrated) == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("executor", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_two_upgrades_at_once(empty: "Database", executor: Any) -> None:
    how = {"mp_context": get_context("spawn")} if executor is ProcessPoolExecutor else {}
    with executor(2, **how) as workers:
        list(workers.map(upgrade, [empty.owner] * 2))
    assert empty.run("SELECT version_num FROM alembic_version") == [("0005",)]


def test_tables_of_a_newer_release_are_refused_and_stay(migrated: "Database") -> None:
    before = catalogue(migrated)
    migrated.run("UPDATE alembic_version SET version_num = '0099'")
    try:
        with pytest.raises(
            LedgerError, match="revision is 0099, and this release knows up to 0005"
        ):
            upgrade(migrated.owner)
        assert migrated.run("SELECT version_num FROM alembic_version") == [("0099",)]
        assert catalogue(migrated) == before
    finally:
        migrated.run("UPDATE alembic_version SET version_num = '0005'")


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        upgrade("postgresql+psycopg://nobody@127.0.0.1:1/none")


def test_without_the_role_it_says_so_and_the_next_upgrade_grants(
    empty: "Database", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"{make_url(empty.admin).database}_late"
    monkeypatch.setattr(grants, "GRANTS", {f"role_{name}": grants.GRANTS["ledger_service"]})
    with caplog.at_level(logging.WARNING):
        upgrade(empty.owner)
    assert f"no role role_{name}" in caplog.text
    empty.run(f"CREATE ROLE role_{name}")
    try:
        upgrade(empty.owner)
        may = f"SELECT has_table_privilege('role_{name}', 'entries', 'INSERT')"
        assert empty.run(may) == [(True,)]
    finally:
        empty.run(f"DROP OWNED BY role_{name}")
        empty.run(f"DROP ROLE role_{name}")


def refused(engine: Engine, statement: str) -> None:
    """Fails unless the statement is refused for want of a right."""
    with engine.connect() as connection, pytest.raises(ProgrammingError) as caught:
        connection.execute(text(statement))
    assert getattr(caught.value.orig, "sqlstate", "") == "42501", caught.value


def test_the_service_can_post_and_nothing_else(database: "Database") -> None:
    journal = PostgresJournal(database.service)
    chain = Chain()
    for index in range(2):
        before = chain.watermark
        journal.post(0, before, [chain.run(moved(index, 5))])
    journal.close()
    column = dict(zip(JOURNAL, ("scale", "accepted", "kind", "amount"), strict=True))
    with database.engine(database.service) as engine:
        for table in JOURNAL:
            refused(engine, f"UPDATE {table} SET {column[table]} = {column[table]}")
            refused(engine, f"SELECT 1 FROM {table} FOR UPDATE")
        for table in (*JOURNAL, *PRESENT):
            refused(engine, f"DELETE FROM {table}")
            refused(engine, f"TRUNCATE {table}")
            refused(engine, f"DROP TABLE {table}")
            refused(engine, f"ALTER TABLE {table} ADD x int")
            refused(
                engine,
                f"CREATE INDEX ON {table} (shard)"
                if table != "currencies"
                else "CREATE INDEX ON currencies (code)",
            )
        refused(engine, "CREATE TABLE mine (x int)")
        refused(engine, "SELECT * FROM alembic_version")
        refused(engine, "CREATE TRIGGER t BEFORE INSERT ON entries EXECUTE FUNCTION now()")


def test_finance_reads_the_books_and_nothing_else(database: "Database") -> None:
    with database.engine(database.as_role("ledger_finance")) as engine:
        for table in (*JOURNAL, *PRESENT):
            with engine.connect() as connection:
                connection.execute(text(f"SELECT * FROM {table}"))
            refused(engine, f"INSERT INTO {table} DEFAULT VALUES")
            refused(engine, f"DELETE FROM {table}")
            refused(engine, f"TRUNCATE {table}")
        refused(engine, "UPDATE entries SET amount = amount + 1")
        refused(engine, "UPDATE stripes SET debits = debits + 1")
        refused(engine, "CREATE TABLE mine (x int)")


def test_the_service_moves_totals_and_positions_and_never_a_row_s_key(
    database: "Database",
) -> None:
    with database.engine(database.service) as engine:
        for table, key in (("stripes", ("account", "currency", "shard")), ("shards", ("shard",))):
            for column in key:
                refused(engine, f"UPDATE {table} SET {column} = {column}")
        refused(engine, "INSERT INTO runs (posted_at) VALUES (now())")
        for table in (*JOURNAL, *PRESENT):
            refused(engine, f"TRUNCATE {table}")
            for right in ("REFERENCES", "TRIGGER", "DELETE"):
                may = f"SELECT has_table_privilege('ledger_service', '{table}', '{right}')"
                assert database.run(may) == [(False,)]


BROKEN = {
    "shards": "INSERT INTO shards VALUES (-1, 1, 1, sha256('a'), now())",
    "runs": "INSERT INTO runs VALUES (0, 0, 0, 1, '', sha256('a'), sha256('a'), now(), 7, 1)",
    "currencies": "INSERT INTO currencies VALUES ('', 2)",
    "transactions": "INSERT INTO transactions VALUES (3, -1, 't', 'k', NULL, now(), now(), now())",
    "entries": "INSERT INTO entries VALUES (3, 0, 0, 'assets:cash', 'CAD', 'D', 'NaN')",
    "stripes": "INSERT INTO stripes VALUES ('assets:cash', 'CAD', 0, -1, 0, 1, 0)",
}


@pytest.mark.parametrize("table", BROKEN)
def test_a_row_that_no_posting_can_write_is_refused(database: "Database", table: str) -> None:
    with pytest.raises(IntegrityError, match="violates check constraint"):
        database.run(BROKEN[table])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transactions SET description = '' WHERE log_offset = 0",
        "UPDATE transactions SET effective_at = 'infinity'",
        "UPDATE transactions SET created_at = '0001-01-01 BC'",
        "UPDATE runs SET posted_at = '-infinity'",
        "UPDATE runs SET accepted = 2",
        "UPDATE runs SET digest = substring(digest for 31)",
        "UPDATE stripes SET credits = 'NaN'",
        "UPDATE stripes SET last_offset = -1",
        "UPDATE shards SET recorded_until = '-infinity'",
        "UPDATE entries SET account = ''",
    ],
)
def test_a_change_that_no_posting_can_make_is_refused(database: "Database", change: str) -> None:
    journal = PostgresJournal(database.service)
    journal.post(0, Watermark(), [Chain().run(moved(0, 5))])
    journal.close()
    with pytest.raises(IntegrityError, match="violates check constraint"):
        database.run(change)


def test_rows_that_broke_a_rule_before_there_was_one_stop_no_upgrade(
    empty: "Database", caplog: pytest.LogCaptureFixture
) -> None:
    upgrade(empty.owner)
    before = catalogue(empty)
    go_back_to_0002(empty)
    empty.run(BROKEN["transactions"])
    with caplog.at_level(logging.WARNING):
        upgrade(empty.owner)
    assert "Rows of table transactions break the rule transactions_position" in caplog.text
    assert len(caplog.messages) == 1
    assert [[(name, rule.removesuffix(" NOT VALID")) for name, rule in catalogue(empty)[2]]] == [
        before[2]
    ]
    left = "SELECT conname FROM pg_constraint WHERE NOT convalidated"
    assert empty.run(left) == [("transactions_position",)]
    with pytest.raises(IntegrityError, match="transactions_position"):
        empty.run(BROKEN["transactions"].replace("-1", "-2"))


def go_back_to_0002(database: "Database") -> None:
    """Take back what revision 0003 did: a database of the version before."""
    revision = import_module("migrations.versions.0003_rows_that_can_be")
    for table, checks in revision.CHECKS.items():
        for name in checks:
            database.run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    database.run("ALTER TABLE entries ADD CONSTRAINT entries_amount CHECK (amount > 0)")
    database.run("ALTER TABLE runs DROP COLUMN reference_digest")
    database.run("DROP TABLE voids")
    database.run("UPDATE alembic_version SET version_num = '0002'")


def test_the_public_may_do_nothing(database: "Database") -> None:
    rights = "SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER"
    for table in (*JOURNAL, *PRESENT):
        may = f"SELECT has_table_privilege('pg_monitor', '{table}', '{rights}')"
        assert database.run(may) == [(False,)]


def test_what_was_granted_beyond_is_taken_back(migrated: "Database") -> None:
    migrated.run("GRANT UPDATE ON entries TO ledger_service; GRANT SELECT ON entries TO PUBLIC")
    upgrade(migrated.owner)
    may = "SELECT has_table_privilege('ledger_service', 'entries', 'UPDATE')"
    assert migrated.run(may) == [(False,)]
    may = "SELECT has_table_privilege('pg_monitor', 'entries', 'SELECT')"
    assert migrated.run(may) == [(False,)]


# What is planted, and whether the owner itself can take it back.
BEYOND = {
    "column": ("GRANT UPDATE (amount) ON entries TO ledger_finance", True),
    "grant option": ("GRANT SELECT ON entries TO ledger_finance WITH GRANT OPTION", True),
    "alembic_version": ("GRANT SELECT ON alembic_version TO ledger_service", True),
    "schema": ("GRANT CREATE ON SCHEMA public TO ledger_finance", True),
    "schema for all": ("GRANT CREATE ON SCHEMA public TO PUBLIC", True),
    "database": ("GRANT CREATE, TEMP ON DATABASE {database} TO ledger_finance", True),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner GRANT INSERT ON TABLES TO ledger_finance",
        True,
    ),
    "default privileges in a schema": (
        ("ALTER DEFAULT PRIVILEGES FOR ROLE ledger_owner IN SCHEMA public"
        " GRANT USAGE ON SEQUENCES TO ledger_finance"),
        True,
    ),
    "membership": ("GRANT ledger_owner TO ledger_finance", False),
    "predefined role": ("GRANT pg_write_all_data TO ledger_finance", False),
    "superuser": ("ALTER ROLE ledger_finance SUPERUSER", False),
    "bypassrls": ("ALTER ROLE ledger_service BYPASSRLS", False),
    "createrole": ("ALTER ROLE ledger_service CREATEROLE", False),
    "parameter": ("GRANT SET ON PARAMETER session_replication_role TO ledger_service", False),
    "default privileges of another": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES TO ledger_finance",
        False,
    ),
}  # fmt: skip


def beyond(database: "Database") -> list[rights.ExcessRight]:
    with database.engine() as engine, engine.connect() as connection:
        run = connection.exec_driver_sql
        return grants.excess_rights(run, owner="ledger_owner", schema="public")


@pytest.mark.parametrize("kind", BEYOND)
def test_every_kind_of_grant_beyond_is_taken_back_or_named(
    migrated: "Database", caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    statement, by_owner = BEYOND[kind]
    upgrade(migrated.owner)
    assert beyond(migrated) == []
    migrated.run(statement.format(database=make_url(migrated.admin).database))
    planted = beyond(migrated)
    assert planted
    with caplog.at_level(logging.WARNING):
        upgrade(migrated.owner)
    if by_owner:
        assert (beyond(migrated), caplog.text) == ([], "")
        return
    assert beyond(migrated) == planted
    for each in planted:
        assert each.what in caplog.text
        assert each.command in caplog.text
        # What is advised is what helps.
        migrated.run(each.command)
    assert beyond(migrated) == []


def test_what_somebody_passed_on_is_taken_back(migrated: "Database") -> None:
    migrated.run("CREATE ROLE passes_on; GRANT SELECT, UPDATE ON entries TO passes_on"
                 " WITH GRANT OPTION")  # fmt: skip
    try:
        migrated.run("SET ROLE passes_on; GRANT UPDATE ON entries TO ledger_finance; RESET ROLE")
        assert [each.what for each in beyond(migrated)] == [
            "ledger_finance may UPDATE on entries by passes_on"
        ]
        upgrade(migrated.owner)
        assert beyond(migrated) == []
    finally:
        migrated.run("DROP OWNED BY passes_on; DROP ROLE passes_on")


def test_a_function_that_does_it_as_the_owner_is_closed(migrated: "Database") -> None:
    migrated.run("CREATE FUNCTION fix() RETURNS void SECURITY DEFINER BEGIN ATOMIC"
                 " UPDATE entries SET amount = 1; END; ALTER FUNCTION fix OWNER TO ledger_owner")  # fmt: skip
    try:
        assert len(beyond(migrated)) == 2
        upgrade(migrated.owner)
        assert beyond(migrated) == []
    finally:
        migrated.run("DROP FUNCTION fix")

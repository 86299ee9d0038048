"""The journal in Oracle, on H2: its statements, migrations, and what goes wrong."""

import re
from collections.abc import Iterator
from contextlib import closing
from itertools import product
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import oracledb
import pytest
from sqlalchemy import text

from ledger.domain.balance import Totals
from ledger.domain.run import Watermark
from ledger.errors import InvariantBroken
from ledger.gl.journal import JournalUnavailable, NotPostable, Superseded
from ledger.gl.migrating import NewerTables
from ledger.gl.oracle import OracleJournal, catalogue
from ledger.gl.oracle import rules as table_rules
from ledger.gl.oracle.connection import SESSION
from ledger.gl.oracle.migrate import missing, upgrade
from ledger.gl.tables import metadata
from ledger.gl.verify import verify_journal
from migrations.oracle import ddl, grants
from tests.h2 import rules
from tests.h2.driver import Connection
from tests.h2.driver import driver as h2_driver
from tests.h2.errors import ErrorInfo
from tests.h2.golden import GOLDEN
from tests.integration.gl_runs import CASH, NOW, Chain, moved, void_of

if TYPE_CHECKING:
    from tests.h2.database import H2Database, OracleServer

pytest_plugins = ["tests.h2.database"]


@pytest.fixture
def journal(h2_database: "H2Database") -> Iterator[OracleJournal]:
    """An empty ledger."""
    with closing(OracleJournal(h2_database.url, driver=h2_database.driver())) as made:
        yield made


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("INSERT INTO t (a, b) VALUES (1, f(2)), (3, 4)", "several rows of VALUES"),
        ("SELECT a FROM t LIMIT 5", "LIMIT"),
        ("INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING", "ON CONFLICT"),
        ("CREATE TABLE IF NOT EXISTS t (a NUMBER)", "IF EXISTS"),
        ("MERGE INTO t USING u ON (t.a = u.a) WHEN MATCHED THEN UPDATE SET b = 1 RETURNING b INTO :c",
         "RETURNING of a MERGE"),
        ("SELECT x.a FROM t AS x", "AS before the alias of a table"),
        ("(SELECT a FROM t ORDER BY a FETCH FIRST 5 ROWS ONLY) UNION ALL SELECT a FROM u",
         "ORDER BY in a part of a union"),
        ("SELECT a FROM t WHERE b = TRUE", "a boolean"),
        ("SELECT a::text FROM t", "a cast with ::"),
        ("SELECT a FROM t WHERE b <> ''", "an empty text"),
        ("SELECT 1", "SELECT without FROM"),
        ("CREATE TABLE t (a BIGINT)", "a type of another database"),
        ("CREATE TABLE t (a NUMBER(39))", "NUMBER beyond 38 digits"),
        ("CREATE TABLE t (a VARCHAR2(4001 BYTE))", "VARCHAR2 beyond 4,000"),
        (f"SELECT {'a' * 129} FROM t", "a name beyond 128 bytes"),
        ("SELECT a FROM t WHERE b = :start", "a reserved word as a bind"),
        (f"SELECT a FROM t WHERE b IN ({', '.join('1' * 1001)})",
         "more than 1,000 expressions in a list"),
    ],
)  # fmt: skip
def test_what_19c_refuses_is_named(sql: str, problem: str) -> None:
    assert problem in list(rules.problems(sql))


def test_every_listed_statement_keeps_the_rules() -> None:
    assert len(GOLDEN.known) > 50
    for sql in GOLDEN.known:
        assert list(rules.problems(sql)) == [], sql


def test_a_statement_that_is_not_listed_fails(journal: OracleJournal) -> None:
    with (
        pytest.raises(AssertionError, match=r"is not in statements\.sql"),
        journal._read.connect() as connection,
    ):
        connection.execute(text("SELECT kind FROM transactions"))


@pytest.mark.parametrize("with_void", [False, True])
def test_whatever_can_be_asked_is_listed(journal: OracleJournal, *, with_void: bool) -> None:
    """Each choice of what balances and registers are asked for is a statement of its own."""
    chain = Chain()
    run = chain.run(moved(0, 5), moved(1, 7), moved(2, 3, reverses="t-0"))
    voided = [void_of(run, 1, at=4)] if with_void else []
    journal.post(0, Watermark(), [run, chain.run(end=6, voided=voided)])
    expected = 8 if with_void else 15
    axes: tuple[Literal["effective", "recorded"], ...] = ("effective", "recorded")
    for accounts, prefix, as_of, by, known in product(
        (None, [CASH]), (None, "assets"), (None, NOW + 9), axes, (None, NOW + 9)
    ):
        rows = journal.balances(
            accounts=accounts, prefix=prefix, as_of=as_of, by=by, known_before=known
        )
        assert {row.account: row.debits for row in rows}[CASH] == expected
    for currency, start, end, by, limit in product(
        (None, "CAD"), (None, NOW), (None, NOW + 9), axes, (None, 2)
    ):
        found = journal.register(CASH, currency=currency, start=start, end=end, by=by, limit=limit)
        assert found.closing["CAD"].debits == expected
        assert len(found.lines) == (2 if with_void or limit else 3)
    (first,) = journal.find("t-0").found
    assert [each.transaction_id for each in first.reversals] == ["t-2"]


def test_every_other_question_is_listed(journal: OracleJournal) -> None:
    """Those of commands, which the contract asks in part."""
    chain = Chain()
    journal.post(0, Watermark(), [chain.run(moved(0, 5), moved(1, 7))])
    assert journal.scales() == {"CAD": 2}
    assert journal.posted_at().keys() == {0}
    assert journal.accepted(["t-0", "t-9"]).keys() == {"t-0"}
    assert journal.totals_before(0, 2) == journal.snapshot(0, 0).totals
    assert len(list(journal.runs(0))) == 1
    assert len(list(journal.transactions(0, 0, 1))) == len(list(journal.transactions(0, 1))) == 1
    assert len(list(journal.stripes())) == 2
    assert (journal.voids(), journal.voids(0), journal.history_findings()) == ([], [], [])


def test_what_only_a_server_takes_is_listed_as_well() -> None:
    """H2 refuses partitions and rights on columns, and has no users of the ledger's."""
    sent = [
        statement
        for user, (granted, _) in grants.GRANTS.items()
        for statement in grants.granting(user, granted)
    ]
    sent += [grants.Right("SOMEBODY", "RUNS", "UPDATE").revoked, *SESSION]
    sent += ["ALTER SESSION SET CURRENT_SCHEMA = ledger_owner"]
    sent += [ddl.table_statement("entries", "shard NUMBER(10) NOT NULL", partitions=8)]
    for statement in sent:
        GOLDEN.check(statement, {})


def test_the_service_may_only_add_and_move_on() -> None:
    rights = [each for each in grants.expected() if each.grantee == "LEDGER_SERVICE"]
    assert {each.privilege for each in rights} == {"SELECT", "INSERT", "UPDATE"}
    assert {each.table for each in rights if each.privilege == "UPDATE"} == {"SHARDS", "STRIPES"}
    keys = {("SHARDS", "SHARD"), ("STRIPES", "ACCOUNT"), ("STRIPES", "CURRENCY")}
    assert not keys & {(each.table, each.column) for each in rights if each.privilege == "UPDATE"}
    assert {each.privilege for each in grants.expected() - set(rights)} == {"SELECT"}


def test_migrating_again_changes_nothing(h2_database: "H2Database") -> None:
    assert upgrade(h2_database.url, driver=h2_database.driver()) == []


def test_an_interrupted_migration_is_continued(h2_database: "H2Database") -> None:
    h2_database.run(
        "DELETE FROM alembic_version", "DROP TABLE voids", "DROP INDEX stripes_by_shard"
    )
    assert upgrade(h2_database.url, driver=h2_database.driver()) == ["0001_journal"]
    found = catalogue.tables(
        h2_database.url, sorted(metadata.tables), seconds=5, driver=h2_database.driver()
    )
    assert [each.readable for each in found] == [True] * 7


def test_tables_and_rights_are_found(h2_database: "H2Database") -> None:
    found = catalogue.tables(
        h2_database.url, ["runs", "not_there"], seconds=5, driver=h2_database.driver(None)
    )
    assert found == [("runs", True), ("not_there", False)]
    assert (
        catalogue.excess_rights(h2_database.url, set(), seconds=5, driver=h2_database.driver())
        == []
    )


def test_another_character_set_is_refused(h2_database: "H2Database") -> None:
    h2_database.run("UPDATE nls_database_parameters SET value = 'US7ASCII'")
    try:
        with (
            closing(OracleJournal(h2_database.url, driver=h2_database.driver())) as journal,
            pytest.raises(InvariantBroken, match="CHARACTER SET AL32UTF8"),
        ):
            journal.watermark(0)
    finally:
        h2_database.run("UPDATE nls_database_parameters SET value = 'AL32UTF8'")


def test_a_password_that_expires_soon_is_a_warning(
    h2_database: "H2Database", caplog: pytest.LogCaptureFixture
) -> None:
    with closing(opened(h2_database, warned)) as journal:
        assert journal.watermark(0) == Watermark()
    assert "the password will expire within 7 days" in caplog.text


def warned(connection: Connection) -> None:
    """As python-oracledb has it."""
    connection.warning = "ORA-28002: the password will expire within 7 days"  # type: ignore[assignment]


def opened(database: "H2Database", change: Any) -> OracleJournal:
    """A journal whose connections are changed as they are made."""
    driver: ModuleType = database.driver()
    connect = driver.connect

    def changed(**given: Any) -> Connection:
        made: Connection = connect(**given)
        change(made)
        return made

    vars(driver)["connect"] = changed
    return OracleJournal(database.url, driver=driver)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ORA-01653", "The tablespace is full: add a data file"),
        ("ORA-01536", "QUOTA UNLIMITED"),
        ("ORA-01031", "A right is missing: run `faust-ledger setup`"),
        ("ORA-28001", "The password has expired"),
    ],
)
def test_postings_wait_until_a_person_has_acted(
    h2_database: "H2Database", code: str, said: str
) -> None:
    """The sentence says what to do; what was refused goes in as it is afterwards."""
    chain, refuses = Chain(), Refusing(code)
    run = chain.run(moved(0, 7))
    with closing(opened(h2_database, refuses)) as journal:
        with pytest.raises(JournalUnavailable, match=code) as caught:
            journal.post(0, Watermark(), [run])
        assert said in str(caught.value)
        assert journal.watermark(0) == Watermark()
        refuses.code = ""
        journal.post(0, Watermark(), [run])
        assert journal.watermark(0) == chain.watermark


class Refusing:
    """Each statement that adds rows gets this answer, until there is none."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __call__(self, connection: Connection) -> None:
        record = connection.record

        def refuse(sql: str, binds: Any) -> None:
            record(sql, binds)
            if self.code and sql.startswith("INSERT"):
                raise oracledb.DatabaseError(ErrorInfo(self.code, "in words"))

        vars(connection)["record"] = refuse


def test_tables_of_another_release_are_named(
    h2_database: "H2Database", journal: OracleJournal
) -> None:
    h2_database.run("ALTER TABLE runs ALTER COLUMN accepted RENAME TO accepted_before")
    try:
        with pytest.raises(NotPostable, match="Run `faust-ledger setup` as the owner"):
            journal.post(0, Watermark(), [Chain().run(moved(0, 1))])
        assert journal.watermark(0) == Watermark()
    finally:
        h2_database.run("ALTER TABLE runs ALTER COLUMN accepted_before RENAME TO accepted")
    journal.post(0, Watermark(), [Chain().run(moved(0, 1))])


def test_migrations_that_are_missing_or_unknown_are_named(h2_database: "H2Database") -> None:
    url, driver = h2_database.url, h2_database.driver()
    assert missing(url, driver=driver) == []
    h2_database.run("DELETE FROM alembic_version")
    try:
        assert missing(url, driver=driver) == ["0001_journal"]
        h2_database.run("INSERT INTO alembic_version (version_num) VALUES ('0099')")
        for look in (missing, upgrade):
            with pytest.raises(NewerTables, match="0099, and this release knows up to 0001"):
                look(url, driver=driver)
    finally:
        h2_database.run("UPDATE alembic_version SET version_num = '0001'")


def test_a_database_in_another_time_zone_changes_nothing(h2_database: "H2Database") -> None:
    """Each time is kept in UTC, also the one that the database fills in: a rule demands it."""
    chain = Chain()
    elsewhere = h2_database.jdbc_url.replace("TIME ZONE=UTC", "TIME ZONE=Asia/Tokyo")
    with closing(
        OracleJournal(h2_database.url, driver=h2_driver(elsewhere, GOLDEN.check))
    ) as journal:
        journal.post(0, Watermark(), [chain.run(moved(0, 7))])
        (there,) = journal.transactions(0)
    with closing(h2_database.journal()) as journal:
        assert list(journal.transactions(0)) == [there]
        assert journal.watermark(0) == chain.watermark
    assert there.recorded_at == NOW


class LostAnswer:
    """The connection is lost in the first commit of a posting: after it was made, or before."""

    def __init__(self, *, made: bool) -> None:
        self.made, self.lost = made, 0

    def __call__(self, connection: Connection) -> None:
        commit = connection.commit

        def lose() -> None:
            if not self.lost:
                self.lost += 1
                (commit if self.made else connection.rollback)()
                raise oracledb.DatabaseError(ErrorInfo("DPY-4011", "the network closed it"))
            commit()

        vars(connection)["commit"] = lose


def test_every_wait_of_a_posting_ends(h2_database: "H2Database") -> None:
    made: list[Connection] = []
    with closing(opened(h2_database, made.append)) as journal:
        assert journal.watermark(0) == Watermark()
        assert [each.call_timeout for each in made] == [30_000]
        assert journal.balances() == []
        assert [each.call_timeout for each in made] == [30_000, 1_800_000]


def test_a_commit_whose_answer_is_lost_is_found_in_the_row(h2_database: "H2Database") -> None:
    chain, loses = Chain(), LostAnswer(made=True)
    with closing(opened(h2_database, loses)) as journal:
        totals = journal.post(0, Watermark(), [chain.run(moved(0, 7))])
        assert loses.lost == 1
        assert {each.account: each.debits for each in journal.balances()}[CASH] == 7
        assert Totals(7, 0, 1, 0) in totals.values()
        before = chain.watermark
        journal.post(0, before, [chain.run(moved(1, 1))])
        assert verify_journal(journal, [chain.watermark]).findings == []


def test_a_commit_that_was_not_made_is_tried_again(h2_database: "H2Database") -> None:
    chain = Chain()
    run = chain.run(moved(0, 7))
    with closing(opened(h2_database, LostAnswer(made=False))) as journal:
        with pytest.raises(JournalUnavailable, match="DPY-4011"):
            journal.post(0, Watermark(), [run])
        assert journal.watermark(0) == Watermark()
        journal.post(0, Watermark(), [run])
        assert journal.watermark(0) == chain.watermark


def test_what_the_database_refuses_is_named(
    h2_database: "H2Database", journal: OracleJournal
) -> None:
    run = Chain().run(*(moved(at, 1, description="bad" if at == 6 else "good") for at in range(9)))
    h2_database.run("ALTER TABLE transactions ADD CONSTRAINT odd CHECK (description <> 'bad')")
    try:
        with pytest.raises(NotPostable, match=r"^'t-6' at offset 6: .*ORA-02290"):
            journal.post(0, Watermark(), [run])
        assert journal.watermark(0) == Watermark()
    finally:
        h2_database.run("ALTER TABLE transactions DROP CONSTRAINT odd")
    journal.post(0, Watermark(), [run])


def test_a_rule_that_is_missing_is_found(h2_database: "H2Database", journal: OracleJournal) -> None:
    assert journal.orphans(1) == []
    h2_database.run("ALTER TABLE entries DROP CONSTRAINT entries_amount")
    try:
        (finding,) = journal.orphans(1)
        assert "without its rule entries_amount" in finding.sentence
        assert journal.orphans(1, whole=False) == []
    finally:
        h2_database.run("ALTER TABLE entries ADD CONSTRAINT entries_amount CHECK (amount > 0)")


def test_the_rules_are_those_of_the_migrations() -> None:
    """By the statements that create the tables."""
    made = {
        (table[1], rule)
        for sql in GOLDEN.known
        if (table := re.match(r"CREATE TABLE (\w+)", sql)) and table[1] in table_rules.RULES
        for rule in re.findall(r"CONSTRAINT (\w+)", sql)
    }
    rules_ = table_rules.RULES.items()
    assert made == {(table, f"{table}_{name}") for table, names in rules_ for name in names}


def test_a_time_in_another_zone_is_refused(
    h2_database: "H2Database", journal: OracleJournal
) -> None:
    chain = Chain()
    journal.post(0, Watermark(), [chain.run(moved(0, 1))])
    with pytest.raises(oracledb.IntegrityError, match="ORA-02290"):
        h2_database.run("UPDATE shards SET recorded_until = TIMESTAMP WITH TIME ZONE"
                        " '2026-01-01 02:00:00+02:00'")  # fmt: skip


def test_many_rows_go_in_batches(journal: OracleJournal, h2_database: "H2Database") -> None:
    chain = Chain()
    run = chain.run(*(moved(at, 1) for at in range(2_501)))
    journal.post(0, Watermark(), [run])
    assert h2_database.run("SELECT COUNT(*) FROM entries") == [(5_002,)]


def test_an_empty_batch_is_never_sent(h2_database: "H2Database") -> None:
    with (
        closing(h2_database.driver().connect(user="ledger_owner")) as connection,
        pytest.raises(oracledb.ProgrammingError),
    ):
        connection.cursor().executemany("INSERT INTO runs (shard) VALUES (:shard)", [])


def test_a_real_server_posts_and_verifies(oracle_server: "OracleServer") -> None:
    """With FAUST_LEDGER_ORACLE_DSN the contract's tests run there as well."""
    chain = Chain()
    with closing(oracle_server.journal()) as live:
        run = chain.run(moved(0, 2**63 - 1, description="päy 🏦"), moved(1, 5))
        live.post(0, Watermark(), [run])
        with pytest.raises(Superseded):
            live.post(0, Watermark(), [Chain().run(moved(0, 1))])
        assert live.watermarks() == {0: chain.watermark}
        found = verify_journal(live, [chain.watermark])
        assert (found.findings, found.transactions) == ([], 2)

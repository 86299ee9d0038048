"""Rows that no run accounts for are named, whatever keeps the journal: one contract for all."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert

from ledger.domain.balance import Totals
from ledger.domain.run import NO_DIGEST, Stripe, Watermark
from ledger.gl.journal import Journal
from ledger.gl.memory import MemoryJournal
from ledger.gl.orphans import RunCount, recent
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.postgresql.migrate import upgrade
from ledger.gl.rows import PostedRun, PostedTransaction, RowKey
from ledger.gl.tables import (
    currencies,
    entries,
    metadata,
    runs,
    shards,
    stripes,
    to_datetime,
    transactions,
)
from ledger.gl.verify import verify_journal
from tests.integration.gl_runs import CASH, DEPOSIT, NOW, Chain, moved

if TYPE_CHECKING:
    from tests.h2.database import H2Database
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.h2.database", "tests.integration.gl_database"]

SHARDS = 4
LEGS = [(CASH, "CAD", 2, 500), (DEPOSIT, "CAD", 2, -500)]


class InMemory:
    """A journal in memory, and a hand that writes past it."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()

    def transaction(self, shard: int, offset: int) -> None:
        forged = PostedTransaction(shard, offset, "forged", "gift", "", NOW, NOW, NOW, "", "", "",
                                   LEGS)  # fmt: skip
        self.journal._shards[shard].transactions.append(forged)

    def run(self, shard: int, offset: int) -> None:
        forged = PostedRun(shard, offset, 5, 5, NO_DIGEST, NO_DIGEST, NO_DIGEST, NOW, 7, 0)
        self.journal._shards[shard].runs.append(forged)

    def stripe(self, account: str, currency: str, shard: int, offset: int) -> None:
        self.journal._shards[shard].stripes[Stripe(account, currency)] = Totals(5, 5, 2, offset)

    def shard(self, shard: int, mark: Watermark) -> None:
        self.journal._shards[shard].watermark = mark

    def currency(self, code: str) -> None:
        self.journal._scales[code] = 2

    def forget_currency(self, code: str) -> None:
        del self.journal._scales[code]


class InPostgreSQL:
    """The same of a database, as its superuser and past its constraints."""

    def __init__(self, database: "Database") -> None:
        self.journal = PostgresJournal(database.service)
        self._database = database

    def _insert(self, table: Any, *rows: dict[str, Any]) -> None:
        with self._database.engine() as engine, engine.begin() as connection:
            connection.execute(insert(table), list(rows))

    def transaction(self, shard: int, offset: int) -> None:
        place = {"shard": shard, "log_offset": offset}
        times = dict.fromkeys(("effective_at", "recorded_at", "created_at"), NOW)
        self._insert(transactions, place | times | {"transaction_id": "forged", "kind": "gift"})
        self._insert(entries, *(
            place | {
                "entry": entry, "account": account, "currency": currency,
                "side": "D" if amount > 0 else "C", "amount": abs(amount),
            }
            for entry, (account, currency, _, amount) in enumerate(LEGS)
        ))  # fmt: skip

    def run(self, shard: int, offset: int) -> None:
        digests = dict.fromkeys(("follows", "digest", "outcomes_digest"), NO_DIGEST)
        self._insert(runs, digests | {
            "shard": shard, "decisions_offset": offset, "start_offset": 5, "end_offset": 5,
            "recorded_until": NOW, "reference_offset": 7, "accepted": 0,
        })  # fmt: skip

    def stripe(self, account: str, currency: str, shard: int, offset: int) -> None:
        self._insert(stripes, {
            "account": account, "currency": currency, "shard": shard, "debits": 5, "credits": 5,
            "entries": 2, "last_offset": offset,
        })  # fmt: skip

    def shard(self, shard: int, mark: Watermark) -> None:
        self._database.run(
            "INSERT INTO shards VALUES (:shard, :at, :end, :digest, :until)"
            " ON CONFLICT (shard) DO UPDATE SET decisions_offset = :at, end_offset = :end,"
            " digest = :digest, recorded_until = :until",
            shard=shard, at=mark.decisions_offset, end=mark.end, digest=mark.digest,
            until=to_datetime(mark.recorded_until),
        )  # fmt: skip

    def currency(self, code: str) -> None:
        self._insert(currencies, {"code": code, "scale": 2})

    def forget_currency(self, code: str) -> None:
        self._database.run("DELETE FROM currencies WHERE code = :code", code=code)


class InOracle(InPostgreSQL):
    """The same, in an H2 that stands in for Oracle."""

    def __init__(self, database: "H2Database") -> None:
        self.journal = database.journal()  # type: ignore[assignment]
        self._database = database  # type: ignore[assignment]

    def shard(self, shard: int, mark: Watermark) -> None:
        with self._database.engine() as engine, engine.begin() as connection:
            connection.execute(shards.delete().where(shards.c.shard == shard))
        self._insert(shards, {
            "shard": shard, "decisions_offset": mark.decisions_offset, "end_offset": mark.end,
            "digest": mark.digest, "recorded_until": mark.recorded_until,
        })  # fmt: skip

    def forget_currency(self, code: str) -> None:
        with self._database.engine() as engine, engine.begin() as connection:
            connection.execute(currencies.delete().where(currencies.c.code == code))


Ledger = InMemory | InPostgreSQL
OPENED: dict[str, Callable[[pytest.FixtureRequest], Ledger]] = {
    "memory": lambda _: InMemory(),
    "postgresql": lambda request: InPostgreSQL(request.getfixturevalue("unchecked")),
    "oracle": lambda request: InOracle(request.getfixturevalue("h2_unchecked")),
}


@pytest.fixture(params=OPENED)
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """Shards 1 and 3 of four, each with two runs: positions 0 to 9, decision offsets 0 to 4."""
    made = OPENED[request.param](request)
    for shard in (1, 3):
        chain = Chain(shard)
        for start in (0, 5):
            before = chain.watermark
            run = chain.run(moved(start, 5), moved(start + 1, 7), end=start + 5, skipped=start // 2)
            made.journal.post(shard, before, [run])
    yield made
    made.journal.close()


@pytest.fixture
def unchecked(database: "Database") -> Iterator["Database"]:
    """Without the rules that refuse a row that is negative: whoever owns the tables may drop them."""
    positions = [f"{table}_position" for table in metadata.tables if table != "currencies"]
    rules = {
        name: database.run(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :name", name=name
        )[0][0]
        for name in positions
    }
    for name in positions:
        database.run(f"ALTER TABLE {name.removesuffix('_position')} DROP CONSTRAINT {name}")
    yield database
    database.run(f"TRUNCATE {', '.join(metadata.tables)}")
    for name, rule in rules.items():
        database.run(f"ALTER TABLE {name.removesuffix('_position')} ADD CONSTRAINT {name} {rule}")


def found(journal: Journal, *, whole: bool = True) -> set[RowKey]:
    rows = listed(journal, whole=whole)
    assert len(rows) == len(set(rows)), "each row is told of once"
    return set(rows)


def listed(journal: Journal, *, whole: bool = True) -> list[RowKey]:
    orphans = journal.orphans(SHARDS, whole=whole)
    # That the fixture dropped the rules, and what breaks them, is found too.
    return [each.row for each in orphans if " rule " not in each.sentence]


def at(table: str, shard: int, offset: int) -> RowKey:
    position = {"runs": "decisions_offset"}.get(table, "log_offset")
    return RowKey.of(table, shard=shard, **{position: offset})


def both(shard: int, offset: int) -> set[RowKey]:
    return {at(table, shard, offset) for table in ("transactions", "entries")}


def test_what_was_posted_has_no_orphans(ledger: Ledger) -> None:
    assert found(ledger.journal) == found(ledger.journal, whole=False) == set()


def test_an_empty_journal_has_none(database: "Database") -> None:
    assert MemoryJournal().orphans(SHARDS) == []
    assert InPostgreSQL(database).journal.orphans(SHARDS) == []


Plant = Callable[[Ledger], None]
PLANTED: dict[str, tuple[Plant, Sequence[RowKey]]] = {
    "beyond the log's shards": (lambda it: it.transaction(99, 0), [*both(99, 0)]),
    "the first shard that is not there": (lambda it: it.transaction(4, 0), [*both(4, 0)]),
    "a negative shard": (lambda it: it.transaction(-1, 3), [*both(-1, 3)]),
    "a shard between, of which nothing is posted": (
        lambda it: it.transaction(2, 0), [*both(2, 0)]
    ),
    "the first shard, of which nothing is posted": (
        lambda it: it.transaction(0, 9), [*both(0, 9)]
    ),
    "before the first position": (lambda it: it.transaction(3, -1), [*both(3, -1)]),
    "after the last": (lambda it: it.transaction(3, 10), [*both(3, 10)]),
    "a run before the first": (lambda it: it.run(3, -1), [at("runs", 3, -1)]),
    "a run after the last": (lambda it: it.run(1, 4), [at("runs", 1, 4)]),
    "a run of a shard that is not there": (lambda it: it.run(0, 0), [at("runs", 0, 0)]),
    "a stripe of a shard that is not there": (
        lambda it: it.stripe(CASH, "CAD", 7, 0),
        [RowKey.of("stripes", account=CASH, currency="CAD", shard=7)],
    ),
    "a stripe that has counted what is not posted": (
        lambda it: it.stripe("assets:x", "CAD", 1, 10),
        [RowKey.of("stripes", account="assets:x", currency="CAD", shard=1)],
    ),
    "a stripe before the first position": (
        lambda it: it.stripe("assets:x", "CAD", 1, -1),
        [RowKey.of("stripes", account="assets:x", currency="CAD", shard=1)],
    ),
    "a stripe in a currency that is not there": (
        lambda it: it.stripe("assets:x", "XXX", 1, 0), [RowKey.of("currencies", code="XXX")]
    ),
    "a currency that nothing uses": (
        lambda it: it.currency("XXX"), [RowKey.of("currencies", code="XXX")]
    ),
    "a currency taken out": (
        lambda it: it.forget_currency("CAD"), [RowKey.of("currencies", code="CAD")]
    ),
    "a shard without a run": (
        lambda it: it.shard(0, Watermark(1, 5, NO_DIGEST, NOW)), [RowKey.of("shards", shard=0)]
    ),
    "a shard beyond the log's": (
        lambda it: it.shard(4, Watermark(1, 5, NO_DIGEST, NOW)), [RowKey.of("shards", shard=4)]
    ),
    "a shard set on": (
        lambda it: it.shard(3, Watermark(9, 99, NO_DIGEST, NOW)), [RowKey.of("shards", shard=3)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANTED)
def test_a_row_that_belongs_to_no_run(ledger: Ledger, what: str) -> None:
    plant, rows = PLANTED[what]
    plant(ledger)
    assert found(ledger.journal) == found(ledger.journal, whole=False) == set(rows)
    # Where others find the same row, it is told of once.
    told = [each.row for each in verify_journal(ledger.journal, [Watermark()] * SHARDS).findings]
    assert set(rows) <= set(told)
    assert len(told) == len(set(told))


def test_of_many_the_first_are_named(ledger: Ledger) -> None:
    for offset in range(150):
        ledger.run(0, offset)
    rows = listed(ledger.journal)
    assert rows[:100] == [at("runs", 0, offset) for offset in range(100)]
    assert rows[100:] == [RowKey("runs", ())]


INSIDE = {
    "entries of no transaction, in the middle of a run": (
        "INSERT INTO entries VALUES (3, 2, 0, 'assets:x', 'CAD', 'D', 5)",
        at("entries", 3, 2),
    ),
    "a transaction taken out and its entries left": (
        "DELETE FROM transactions WHERE shard = 3 AND log_offset = 1", at("entries", 3, 1)
    ),
    "an entry renumbered, in the same order": (
        "UPDATE entries SET entry = 7 WHERE shard = 1 AND log_offset = 5 AND entry = 1",
        at("entries", 1, 5),
    ),
    "a run dated in the future": (
        "UPDATE runs SET posted_at = now() + interval '2 hours' WHERE decisions_offset = 3 AND shard = 1",
        at("runs", 1, 3),
    ),
    "a run dated long ago": (
        "UPDATE runs SET posted_at = '1999-12-31' WHERE decisions_offset = 3 AND shard = 1",
        at("runs", 1, 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", INSIDE)
def test_at_positions_that_are_posted(database: "Database", what: str) -> None:
    ledger = InPostgreSQL(database)
    for shard in (1, 3):
        chain = Chain(shard)
        for start in (0, 5):
            before = chain.watermark
            run = chain.run(moved(start, 5), moved(start + 1, 7), end=start + 5, skipped=start // 2)
            ledger.journal.post(shard, before, [run])
    change, row = INSIDE[what]
    database.run(change)
    assert found(ledger.journal) == {row}
    assert row in [
        each.row for each in verify_journal(ledger.journal, [Watermark()] * SHARDS).findings
    ]
    ledger.journal.close()


def test_a_currency_s_decimals_changed_are_one_finding(database: "Database") -> None:
    ledger = InPostgreSQL(database)
    for shard in (1, 3):
        chain = Chain(shard)
        for start in (0, 5):
            before = chain.watermark
            ledger.journal.post(shard, before, [chain.run(moved(start, 5), end=start + 5)])
    database.run("UPDATE currencies SET scale = 3")
    (finding,) = verify_journal(ledger.journal, [Watermark()] * SHARDS).findings
    assert finding.row == RowKey.of("currencies", code="CAD")
    assert "With 3 decimals for CAD" in finding.sentence
    assert "with 2 they do" in finding.sentence
    ledger.journal.close()


@pytest.mark.parametrize("offset", [3, 8])
def test_a_transaction_forged_within_a_posted_run_is_counted(ledger: Ledger, offset: int) -> None:
    assert ledger.journal.orphans(SHARDS, whole=False) == []
    ledger.transaction(3, offset)
    [found] = ledger.journal.orphans(SHARDS, whole=False)
    assert found.row == RowKey.of("runs", shard=3, decisions_offset=0 if offset == 3 else 3)
    assert "accepted 2 transactions, and the journal has 3 at its positions" in found.sentence


def test_transactions_of_the_last_positions_are_counted() -> None:
    """The last run whatever its length, then whole runs within RECENT positions, 1,000 at most."""

    def runs(count: int, each: int) -> list[RunCount]:
        return [RunCount(at, at * each, (at + 1) * each, 0) for at in reversed(range(count))]

    assert recent([]) == []
    assert [run.decisions_offset for run in recent(runs(9, 4_000))] == [7, 8]
    assert [run.decisions_offset for run in recent(runs(9, 90_000))] == [8]
    assert [run.start for run in recent(runs(2_000, 1))] == list(range(1_000, 2_000))


DROPPED = {
    "entries_pk": (
        "ALTER TABLE entries DROP CONSTRAINT entries_pk",
        "INSERT INTO entries SELECT * FROM entries WHERE shard = 1 AND log_offset = 5 AND entry = 1",
        RowKey.of("entries", shard=1, log_offset=5, entry=1),
    ),
    "kind is there": (
        "ALTER TABLE transactions ALTER kind DROP NOT NULL",
        "UPDATE transactions SET kind = NULL WHERE shard = 1 AND log_offset = 5",
        at("transactions", 1, 5),
    ),
    "entries_amount": (
        "ALTER TABLE entries DROP CONSTRAINT entries_amount",
        "UPDATE entries SET amount = 'NaN' WHERE shard = 1 AND log_offset = 5 AND entry = 1",
        RowKey.of("entries", shard=1, log_offset=5, entry=1),
    ),
    "transactions_times": (
        "ALTER TABLE transactions DROP CONSTRAINT transactions_times",
        "UPDATE transactions SET created_at = 'infinity' WHERE shard = 1 AND log_offset = 5",
        at("transactions", 1, 5),
    ),
}


@pytest.mark.parametrize("rule", DROPPED)
def test_a_rule_that_was_dropped_and_a_row_that_breaks_it(server: str, rule: str) -> None:
    from tests.integration.gl_database import new_database

    drop, change, row = DROPPED[rule]
    with new_database(server) as database:
        upgrade(database.owner)
        journal = PostgresJournal(database.service)
        chain = Chain(1)
        journal.post(1, Watermark(), [chain.run(moved(0, 5), moved(5, 7))])
        table = drop.split()[2]
        missing = RowKey(table, (("rule", rule),))
        database.run(drop)
        assert [each.row for each in verify_journal(journal, [Watermark()] * SHARDS).findings] == [
            missing
        ]
        database.run(change)
        told = [each.row for each in verify_journal(journal, [Watermark()] * SHARDS).findings]
        assert {row, missing} <= set(told)
        journal.close()


@pytest.mark.parametrize(
    ("table", "column", "right", "kind"),
    [
        ("entries", "amount", "numeric(38,0)", "numeric"),
        ("transactions", "kind", "character varying(64)", "text"),
        ("shards", "end_offset", "bigint", "numeric(30,0)"),
    ],
)
def test_a_column_of_another_type(
    server: str, table: str, column: str, right: str, kind: str
) -> None:
    from tests.integration.gl_database import new_database

    with new_database(server) as database:
        upgrade(database.owner)
        journal = PostgresJournal(database.service)
        assert journal.orphans(SHARDS) == []
        database.run(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {kind}")
        found = journal.orphans(SHARDS)
        assert found[-1].row == RowKey(table, (("rule", f"{column} is {right}"),))
        assert f"Column {column} of table {table} is {kind}; the" in found[-1].sentence
        journal.close()


WEAKENED = {
    "entries_amount": (
        "ADD CONSTRAINT entries_amount CHECK (amount > 0 OR shard = 1)",
        "UPDATE entries SET amount = -1 WHERE shard = 1 AND log_offset = 5 AND entry = 1",
        RowKey.of("entries", shard=1, log_offset=5, entry=1),
    ),
    "currencies_scale": (
        "ADD CONSTRAINT currencies_scale CHECK (scale BETWEEN 0 AND 180)",
        "UPDATE currencies SET scale = 19",
        RowKey.of("currencies", code="CAD"),
    ),
    "transactions_times": (
        r"ADD CONSTRAINT transactions_times CHECK (created_at::text <> '1\:2 \:x %s %')",
        "UPDATE transactions SET created_at = 'infinity' WHERE log_offset = 5",
        at("transactions", 1, 5),
    ),
    "entries_pk": (
        "ADD CONSTRAINT entries_pk PRIMARY KEY (shard, log_offset, entry, amount)",
        "INSERT INTO entries SELECT shard, 5, 1, account, currency, side, 9 FROM entries LIMIT 1",
        RowKey.of("entries", shard=1, log_offset=5, entry=1),
    ),
    "stripes_pk": (
        "ADD CONSTRAINT stripes_pk CHECK (shard >= 0)",
        "INSERT INTO stripes SELECT * FROM stripes LIMIT 1",
        None,
    ),
}


@pytest.mark.parametrize("rule", WEAKENED)
def test_a_rule_in_whose_place_is_a_weaker_one_of_its_name(server: str, rule: str) -> None:
    from tests.integration.gl_database import new_database

    change, forge, row = WEAKENED[rule]
    table = rule.partition("_")[0]
    with new_database(server) as database:
        upgrade(database.owner)
        journal = PostgresJournal(database.service)
        chain = Chain(1)
        journal.post(1, Watermark(), [chain.run(moved(0, 5), moved(5, 7))])
        assert journal.orphans(SHARDS) == []
        database.run(f"ALTER TABLE {table} DROP CONSTRAINT {rule}, {change}")
        [found] = journal.orphans(SHARDS)
        assert found.row == RowKey(table, (("rule", rule),))
        assert f"has another rule {rule} than the migrations made" in found.sentence
        database.run(forge)
        told = {each.row for each in journal.orphans(SHARDS)}
        assert found.row in told
        assert row is None or row in told
        journal.close()


def test_a_rule_made_again_in_other_words_is_the_same_one(server: str) -> None:
    """As a dump has it, and in a session that shows times otherwise."""
    from tests.integration.gl_database import new_database

    with new_database(server) as database:
        upgrade(database.owner)
        known = database.run(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        )
        assert len(known) > 10
        for table, name, definition in known:
            database.run(
                f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition}"
            )
        with database.engine() as engine:
            name = engine.url.database
        database.run(f"ALTER DATABASE {name} SET TimeZone = 'Asia/Kolkata'")
        database.run(f"ALTER DATABASE {name} SET DateStyle = 'SQL, DMY'")
        journal = PostgresJournal(database.service)
        assert journal.orphans(SHARDS) == []
        journal.close()

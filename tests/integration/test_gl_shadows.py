"""Shadow ledgers beside the live one: made, compared, switched, dropped, and nothing else touched."""

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.errors import InvariantBroken, LedgerError
from ledger.gl.journal import JournalUnavailable, PostingRun
from ledger.gl.postgresql import PostgresJournal, shadows
from ledger.gl.postgresql.posting import Opening
from ledger.replay.compare import ComparisonResult, ShardComparison
from tests.integration.gl_runs import CASH, DEPOSIT, Chain, moved, void_of, without

if TYPE_CHECKING:
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.integration.gl_database"]


@pytest.fixture
def live(database: "Database") -> Iterator[PostgresJournal]:
    with closing(PostgresJournal(database.service)) as journal:
        yield journal
    for each in shadows.existing_shadows(database.owner):
        shadows.remove_shadow(database.owner, each.name)


@pytest.fixture
def chain() -> list[tuple[Watermark, PostingRun]]:
    """Three runs of shard 0, each with the watermark before it."""
    made = Chain()
    runs = []
    for offset in range(3):
        before = made.watermark
        runs.append((before, made.run(moved(2 * offset, 100), moved(2 * offset + 1, 5))))
    runs.append((made.watermark, runs[-1][1]))
    return runs


def posted(journal: PostgresJournal, runs: list[tuple[Watermark, PostingRun]]) -> None:
    for before, run in runs:
        journal.post(0, before, [run])


def compared(
    live: PostgresJournal, shadow: PostgresJournal, start: Watermark, end: Watermark
) -> ComparisonResult:
    found = ComparisonResult()
    ShardComparison(live, shadow, 0, found).compare(start, end)
    return found


def test_a_shadow_that_begins_in_the_middle_comes_to_the_same(database, live, chain):
    posted(live, chain[:3])
    middle, end = chain[1][0], chain[3][0]
    shadows.create_shadow(database.owner, "middle", "a test: it's one")
    with closing(PostgresJournal(database.owner, schema="middle")) as shadow:
        opening = Opening(middle, live.totals_before(0, middle.end), {"CAD": 2})
        assert opening.totals == {
            Stripe(CASH, "CAD"): Totals(105, 0, 2, 1), Stripe(DEPOSIT, "CAD"): Totals(0, 105, 2, 1),
        }  # fmt: skip
        shadow.start_at(0, opening)
        posted(shadow, chain[1:3])
        assert shadow.snapshot(0, -1) == live.snapshot(0, -1)
        found = compared(live, shadow, middle, end)
        assert (found.same, found.not_posted, found.count) == (4, 0, 0)
        with pytest.raises(InvariantBroken, match="has begun"):
            shadow.start_at(0, opening)
    assert shadows.existing_shadows(database.owner) == [("middle", "a test: it's one")]


def test_every_difference_is_named(database, live, chain):
    posted(live, chain[:2])
    shadows.create_shadow(database.owner, "whole", "a test")
    with closing(PostgresJournal(database.owner, schema="whole")) as shadow:
        posted(shadow, chain[:2])
        database.run("UPDATE entries SET amount = 101 WHERE log_offset = 0 AND side = 'D'")
        database.run("DELETE FROM transactions WHERE log_offset = 3")
        database.run("UPDATE stripes SET entries = 7 WHERE account = :account", account=CASH)
        database.run("UPDATE runs SET accepted = 1 WHERE decisions_offset = 1")
        found = compared(live, shadow, Watermark(), chain[2][0])
    run, changed, missing, stripe = found.differences
    assert (run.what, run.kind.value, run.fields) == ("run", "different", {"accepted": (1, 2)})
    assert (changed.what, changed.kind.value, changed.offset) == ("transaction", "different", 0)
    ours, theirs = changed.fields["entries"]
    assert (ours[0], theirs[0]) == ("debit assets:cash 1.01 CAD", "debit assets:cash 1.00 CAD")
    assert (missing.what, missing.kind.value, missing.name) == (
        "transaction",
        "missing_in_live",
        "t-3",
    )
    assert missing.sentence() == "transaction t-3 at offset 3 is not in the live ledger"
    assert (stripe.what, stripe.name, stripe.fields) == (
        "stripe",
        f"{CASH} CAD",
        {"entries": (7, 4)},
    )
    assert (found.same, found.not_posted, found.count) == (2, 0, 4)


def test_what_is_not_posted_yet_is_no_difference(database, live, chain):
    posted(live, chain[:1])
    shadows.create_shadow(database.owner, "ahead", "a test")
    with closing(PostgresJournal(database.owner, schema="ahead")) as shadow:
        posted(shadow, chain[:3])
        found = compared(live, shadow, Watermark(), chain[3][0])
    assert (found.same, found.not_posted, found.count) == (2, 4, 0)


def test_what_is_void_is_no_difference_whether_it_was_left_out_or_not(database, live):
    chain = Chain()
    first = chain.run(moved(0, 100), moved(1, 5, credit="income:fees"))
    middle = chain.watermark
    second = chain.run(moved(2, 1))
    void = void_of(first, 1, at=3)
    last = chain.run(end=4, voided=[void])
    left_out = without(first, void, last.decisions_offset)
    for run in (left_out, second, last):
        live.post(0, live.watermark(0), [run])
    shadows.create_shadow(database.owner, "whole", "a test")
    with closing(PostgresJournal(database.owner, schema="whole")) as shadow:
        for run in (first, second, last):
            shadow.post(0, shadow.watermark(0), [run])
        found = compared(live, shadow, Watermark(), chain.watermark)
        assert (found.same, found.not_posted, found.count) == (2, 0, 0)
        # Begun behind it, with what is left out of its totals.
        shadows.create_shadow(database.owner, "middle", "a test")
        with closing(PostgresJournal(database.owner, schema="middle")) as part:
            totals = live.totals_before(0, middle.end)
            part.start_at(0, Opening(middle, totals, {"CAD": 2}, live.voids(0)))
            for run in (second, last):
                part.post(0, part.watermark(0), [run])
            assert part.snapshot(0, -1) == live.snapshot(0, -1)
            found = compared(live, part, middle, chain.watermark)
            assert (found.same, found.count) == (1, 0)
        # Further on the live ledger's totals are those of its entries.
        live.post(0, live.watermark(0), [chain.run(moved(4, 7))])
        assert compared(live, shadow, Watermark(), shadow.watermark(0)).count == 0
        database.run("UPDATE voids SET authority = 1")
        (changed,) = compared(live, shadow, Watermark(), shadow.watermark(0)).differences
        assert (changed.what, changed.name, changed.fields) == (
            "void",
            "t-1",
            {"authority": (1, 40)},
        )
        database.run("DELETE FROM voids")
        found = compared(live, shadow, Watermark(), shadow.watermark(0)).differences
        assert [(each.what, each.kind.value, each.offset) for each in found] == [
            ("void", "missing_in_live", 1), ("transaction", "missing_in_live", 1),
            ("stripe", "different", 3), ("stripe", "missing_in_live", 3),
        ]  # fmt: skip


def test_switched_in_one_transaction_and_the_old_one_is_kept(database, live, chain):
    posted(live, chain[:2])
    database.run("UPDATE transactions SET description = 'changed' WHERE log_offset = 0")
    shadows.create_shadow(database.owner, "anew", "a test")
    with closing(PostgresJournal(database.owner, schema="anew")) as shadow:
        posted(shadow, chain[:2])
    with shadows.posting_held(database.owner) as connection:
        assert live.watermark(0) == chain[2][0], "reading goes on"
        with pytest.raises(JournalUnavailable), closing(Impatient(database.service)) as other:
            posted(other, chain[2:3])
        shadows.switch(connection, "anew", "anew_before")
    # The connection that has posted before posts on, to what is live now.
    posted(live, chain[2:3])
    assert [each.description for each in live.transactions(0)] == [""] * 6
    with closing(PostgresJournal(database.owner, schema="anew_before")) as before:
        assert [each.description for each in before.transactions(0)] == ["changed", "", "", ""]
    assert [each.name for each in shadows.existing_shadows(database.owner)] == ["anew_before"]


class Impatient(PostgresJournal):
    """Waits for a lock no longer than a moment."""

    def __init__(self, url: str) -> None:
        super().__init__(f"{url}%20-c%20lock_timeout%3D200ms")


DEPENDANTS = {
    "view": ("CREATE VIEW report AS SELECT * FROM entries", "DROP VIEW report"),
    "materialized view": (
        "CREATE MATERIALIZED VIEW report AS SELECT * FROM stripes", "DROP MATERIALIZED VIEW report",
    ),
    "constraint": (
        "CREATE TABLE report (shard int REFERENCES shards)", "DROP TABLE report",
    ),
    "rule": (
        "CREATE RULE report AS ON INSERT TO stripes WHERE false DO ALSO NOTHING",
        "DROP RULE report ON stripes",
    ),
    "function": (
        "CREATE FUNCTION report() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM entries; END",
        "DROP FUNCTION report",
    ),
    "publication": ("CREATE PUBLICATION report FOR TABLE entries", "DROP PUBLICATION report"),
    "trigger": (
        ("CREATE TRIGGER report BEFORE UPDATE ON entries FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()"),
        "DROP TRIGGER report ON entries",
    ),
    "policy": ("CREATE POLICY report ON entries USING (true)", "DROP POLICY report ON entries"),
    "index": ("CREATE INDEX report ON entries (amount)", "DROP INDEX report"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEPENDANTS)
def test_what_others_made_on_the_tables_is_named_and_nothing_is_switched(
    database, live, chain, kind
):
    make, drop = DEPENDANTS[kind]
    posted(live, chain[:1])
    shadows.create_shadow(database.owner, "anew", "a test")
    shadows.require_switchable(database.owner, "anew")
    database.run(make)
    try:
        with pytest.raises(LedgerError, match="report") as caught:
            shadows.require_switchable(database.owner, "anew")
        assert "Nothing was switched" in str(caught.value)
        with (
            pytest.raises(LedgerError, match="report"),
            shadows.posting_held(database.owner) as connection,
        ):
            shadows.switch(connection, "anew", "anew_before")
    finally:
        database.run(drop)
    assert [each.name for each in shadows.existing_shadows(database.owner)] == ["anew"]
    with shadows.posting_held(database.owner) as connection:
        shadows.switch(connection, "anew", "anew_before")


def test_dropping_a_shadow_drops_nothing_of_others(database, live):
    shadows.create_shadow(database.owner, "anew", "a test")
    for make, drop in (
        ("CREATE VIEW report AS SELECT * FROM anew.entries", "DROP VIEW report"),
        ("CREATE TABLE anew.report (x int)", "DROP TABLE anew.report"),
    ):
        database.run(make)
        try:
            with pytest.raises(LedgerError, match=r"Nothing was dropped.*report"):
                shadows.remove_shadow(database.owner, "anew")
        finally:
            database.run(drop)
    shadows.remove_shadow(database.owner, "anew")
    assert shadows.existing_shadows(database.owner) == []


def test_a_ledger_made_anew_says_when_its_runs_were_first_posted(database, live, chain):
    posted(live, chain[:3])
    database.run("UPDATE runs SET posted_at = '2020-01-02T03:04:05Z' WHERE decisions_offset < 2")
    first = database.run("SELECT decisions_offset, posted_at FROM runs ORDER BY 1")
    shadows.create_shadow(database.owner, "anew", "a test")
    with closing(PostgresJournal(database.owner, schema="anew")) as shadow:
        posted(shadow, chain[:2])
        shadows.keep_posted_at(database.owner, "anew")
        assert (
            database.run("SELECT decisions_offset, posted_at FROM anew.runs ORDER BY 1")
            == first[:2]
        )
        posted(shadow, chain[2:3])
    # Another run than the live ledger knows by this place was posted when it was.
    database.run("UPDATE anew.runs SET digest = sha256('other') WHERE decisions_offset = 1")
    database.run("UPDATE anew.runs SET posted_at = now() WHERE decisions_offset = 1")
    other = database.run("SELECT posted_at FROM anew.runs WHERE decisions_offset = 1")[0][0]
    with shadows.posting_held(database.owner) as connection:
        shadows.switch(connection, "anew", "anew_before")
    kept = database.run("SELECT decisions_offset, posted_at FROM runs ORDER BY 1")
    assert kept == [first[0], (1, other), first[2]]


def test_nothing_else_is_touched(database, live):
    database.run("CREATE SCHEMA theirs")
    try:
        with pytest.raises(LedgerError, match="There is a schema theirs"):
            shadows.create_shadow(database.owner, "theirs", "a test")
        for name in ("theirs", "nothing"):
            with pytest.raises(LedgerError, match="no shadow ledger"):
                shadows.remove_shadow(database.owner, name)
        with pytest.raises(LedgerError, match="cannot name"):
            shadows.remove_shadow(database.owner, "public")
        assert shadows.existing_shadows(database.owner) == []
    finally:
        database.run("DROP SCHEMA theirs")


def test_a_shadow_never_falls_back_to_the_live_tables(database, live, chain):
    posted(live, chain[:1])
    with (
        closing(PostgresJournal(database.owner, schema="not_there")) as shadow,
        pytest.raises(JournalUnavailable),
    ):
        shadow.watermark(0)

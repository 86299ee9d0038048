"""The audits find nothing in a good journal, and whatever was altered in a bad one."""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from ledger.domain.run import Watermark, chain_digest
from ledger.gl.books import LOWEST_OFFSET
from ledger.gl.chain import rebuilt, verify_chain
from ledger.gl.journal import Journal
from ledger.gl.memory import MemoryJournal
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.rows import JournalFinding
from ledger.gl.sums import DoubleEntry, double_entry, stripes_against_entries
from tests.integration.gl_runs import CASH, DEPOSIT, Chain, Leg, made, moved

if TYPE_CHECKING:
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.h2.database", "tests.integration.gl_database"]

USD = (Leg(CASH, 3, "USD"), Leg(DEPOSIT, -2, "USD"), Leg("income:fees", -1, "USD"))


def chain_of(journal: Journal, shard: int, heads: Sequence[Watermark] = ()) -> list[JournalFinding]:
    """What verify_chain finds; the table of voids is empty."""
    return verify_chain(journal, shard, journal.watermark(shard), heads=heads)


def stripes_of(journal: Journal, shard: int) -> list[JournalFinding]:
    """What is wrong with the stripes; the table of voids is empty."""
    return stripes_against_entries(journal, shard, journal.snapshot(shard, LOWEST_OFFSET), ())


def filled(journal: Journal) -> list[Watermark]:
    """Two shards; the heads of shard 0, one a run, the last one last."""
    heads = []
    other, chain = Chain(shard=1), Chain()
    journal.post(1, Watermark(), [other.run(moved(0, 7))])
    for index in range(4):
        before, at = chain.watermark, index * 10
        run = chain.run(
            moved(at, 100 + index, description="päy", metadata='{"a":"b"}'),
            made(at + 2, *USD),
            moved(at + 3, 2**63 - 1, ordering_key="k", reverses="t-1"),
            end=at + 10,
            skipped=index,
        )
        journal.post(0, before, [run])
        heads.append(chain.watermark)
    return heads


@pytest.fixture
def journal(database: "Database") -> Iterator[PostgresJournal]:
    """An empty ledger."""
    made_ = PostgresJournal(database.service)
    yield made_
    made_.close()


@pytest.fixture
def heads(journal: PostgresJournal) -> list[Watermark]:
    """The ledger filled; what was published of shard 0."""
    return filled(journal)


@pytest.fixture
def check(journal: PostgresJournal, heads: list[Watermark]) -> Callable[[], list[str]]:
    """The sentences that verify_chain finds in shard 0, with its last head."""
    return lambda: [each.sentence for each in chain_of(journal, 0, heads[-1:])]


@pytest.mark.parametrize("kind", ["memory", "postgresql", "oracle"])
def test_a_good_journal_has_no_findings(kind: str, request: pytest.FixtureRequest) -> None:
    journal: Journal = (
        MemoryJournal()
        if kind == "memory"
        else request.getfixturevalue("oracle_database").journal()
        if kind == "oracle"
        else request.getfixturevalue("journal")
    )
    heads = filled(journal)
    assert chain_of(journal, 0, [Watermark(), *heads]) == []
    assert chain_of(journal, 1) == chain_of(journal, 2) == []
    assert stripes_of(journal, 0) == []
    assert stripes_of(journal, 1) == []
    report = double_entry(journal)
    assert report.findings == []
    assert report.transactions == 13
    cad = 4 * (2**63 - 1) + 406 + 7
    assert report.sums == {"CAD": (2, cad, cad), "USD": (2, 12, 12)}


def test_an_empty_journal_has_no_findings() -> None:
    assert chain_of(MemoryJournal(), 0, [Watermark()]) == []
    assert stripes_of(MemoryJournal(), 0) == []
    assert double_entry(MemoryJournal()) == DoubleEntry({}, 0, [])


def test_an_altered_amount(
    database: "Database", journal: Journal, check: Callable[[], list[str]]
) -> None:
    database.run("UPDATE entries SET amount = 102 WHERE shard=0 AND log_offset=10 AND entry=0")
    (sentence,) = check()
    assert "log offsets 10 to 19" in sentence
    (finding,) = double_entry(journal).findings
    assert (finding.shard, finding.offset) == (0, 10)
    assert "debits 1.02, credits 1.01" in finding.sentence
    (finding,) = stripes_of(journal, 0)
    assert "assets:cash in CAD" in finding.sentence


def test_an_amount_that_no_run_can_have(
    database: "Database", check: Callable[[], list[str]]
) -> None:
    database.run("UPDATE entries SET amount = 1e30 WHERE shard=0 AND log_offset=10")
    (sentence,) = check()
    assert "log offsets 10 to 19" in sentence


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE transactions SET description = 'pay' WHERE shard=0 AND log_offset=0",
        "UPDATE transactions SET description = NULL WHERE shard=0 AND log_offset=0",
        "UPDATE transactions SET effective_at = effective_at + interval '1 microsecond'",
        'UPDATE transactions SET metadata = \'{"a":"c"}\' WHERE shard=0 AND log_offset=0',
        "UPDATE transactions SET log_offset = 1 WHERE shard=0 AND log_offset=0",
        "UPDATE entries SET account = 'assets:mine' WHERE shard=0 AND log_offset=0 AND entry=0",
        "UPDATE entries SET side = CASE side WHEN 'D' THEN 'C' ELSE 'D' END",
        "UPDATE currencies SET scale = 3 WHERE code = 'USD'",
        "UPDATE runs SET outcomes_digest = digest WHERE shard=0 AND decisions_offset=0",
        "UPDATE runs SET reference_offset = 8 WHERE shard=0 AND decisions_offset=0",
        "DELETE FROM currencies WHERE code = 'USD'",
        "DELETE FROM transactions WHERE shard=0 AND log_offset=2",
        "DELETE FROM entries WHERE shard=0 AND log_offset=2",
        (
            "INSERT INTO transactions SELECT 0, 5, 't', kind, NULL, effective_at, recorded_at,"
            " created_at FROM transactions WHERE shard=0 AND log_offset=0"
        ),
    ],
)
def test_any_change_to_a_run_s_rows(
    database: "Database", check: Callable[[], list[str]], change: str
) -> None:
    assert check() == []
    database.run(change)
    assert any("do not give its digest" in sentence for sentence in check())


def test_a_deleted_transaction_is_counted(
    database: "Database", journal: Journal, check: Callable[[], list[str]]
) -> None:
    database.run("DELETE FROM transactions WHERE shard=0 AND log_offset=12")
    (sentence,) = check()
    assert "3 transactions were accepted and 2 are there" in sentence
    assert len(stripes_of(journal, 0)) == 3


def test_an_edited_digest(database: "Database", check: Callable[[], list[str]]) -> None:
    database.run("UPDATE runs SET digest = sha256(digest) WHERE shard=0 AND start_offset=10")
    own, link = check()
    assert "do not give its digest" in own
    assert "is recorded as following" in link


def test_a_deleted_run(database: "Database", check: Callable[[], list[str]]) -> None:
    database.run("DELETE FROM runs WHERE shard=0 AND start_offset=10")
    (sentence,) = check()
    assert "is recorded as following position 20" in sentence


def test_an_altered_shard_row(database: "Database", check: Callable[[], list[str]]) -> None:
    database.run("UPDATE shards SET recorded_until = now() WHERE shard=0")
    (sentence,) = check()
    assert "is recorded as posted up to" in sentence


CUT_OFF = (
    "DELETE FROM entries WHERE shard=0 AND log_offset >= 30",
    "DELETE FROM transactions WHERE shard=0 AND log_offset >= 30",
    "DELETE FROM runs WHERE shard=0 AND start_offset = 30",
)
SET_BACK = (
    "UPDATE shards SET (decisions_offset, end_offset, digest, recorded_until) = (SELECT"
    " decisions_offset + 1, end_offset, digest, recorded_until FROM runs WHERE shard=0 AND"
    " start_offset=20) WHERE shard=0"
)


def test_a_tail_cut_off(database: "Database", check: Callable[[], list[str]]) -> None:
    for statement in CUT_OFF:
        database.run(statement)
    end, head = check()
    assert "Runs were removed" in end
    assert "no run ends there now" in head


def test_a_tail_cut_off_with_the_shard_s_row_needs_the_published_head(
    database: "Database", journal: Journal, heads: list[Watermark]
) -> None:
    for statement in (*CUT_OFF, SET_BACK):
        database.run(statement)
    assert chain_of(journal, 0) == []
    assert chain_of(journal, 0, heads[:3]) == []
    (finding,) = chain_of(journal, 0, heads)
    assert "it was cut off" in finding.sentence


def test_a_shard_s_row_set_back(database: "Database", check: Callable[[], list[str]]) -> None:
    database.run(SET_BACK)
    rest, head = check()
    assert "after the end of what was posted" in rest
    assert "it was cut off" in head


def test_rows_rewritten_with_their_digests_need_the_published_head(
    database: "Database", journal: Journal, heads: list[Watermark]
) -> None:
    database.run("UPDATE transactions SET kind = 'gift' WHERE shard=0 AND log_offset=30")
    last = next(run for run in journal.runs(0) if run.start == 30)
    content = sha256(rebuilt(journal.transactions(0, 30)).encode()).digest()
    digest = chain_digest(last.head, content=content, outcomes=last.outcomes_digest)
    database.run("UPDATE runs SET digest = :d WHERE shard=0 AND start_offset=30", d=digest)
    database.run("UPDATE shards SET digest = :d WHERE shard=0", d=digest)
    assert chain_of(journal, 0, heads[:3]) == []
    (finding,) = chain_of(journal, 0, heads)
    assert "was published; the journal has" in finding.sentence


def test_a_head_where_no_run_ends(journal: Journal, heads: list[Watermark]) -> None:
    odd = Watermark(heads[1].decisions_offset + 1, 20, heads[1].digest)
    (finding,) = chain_of(journal, 0, [odd])
    assert "no run ends there" in finding.sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE stripes SET debits = debits + 1 WHERE account='assets:cash' AND currency='USD'",
            "debits 13 stored, 12 by its entries",
        ),
        (
            "UPDATE stripes SET last_offset = 0 WHERE shard=0 AND account='income:fees'",
            "offset 0 stored, 32 by its entries",
        ),
        ("DELETE FROM stripes WHERE shard=0 AND account='income:fees'", "entries 0 stored, 4"),
        ("INSERT INTO stripes VALUES ('assets:mine', 'CAD', 0, 5, 0, 1, 3)", "debits 5 stored, 0"),
    ],
)
def test_a_stripe_that_is_not_its_entries_sum(
    database: "Database", journal: Journal, heads: list[Watermark], change: str, said: str
) -> None:
    database.run(change)
    (finding,) = stripes_of(journal, 0)
    assert said in finding.sentence
    assert chain_of(journal, 0, heads) == []


def test_one_leg_alone_does_not_balance(
    database: "Database", journal: Journal, heads: object
) -> None:
    database.run("DELETE FROM entries WHERE shard=0 AND log_offset=0 AND entry=1")
    alone, unbalanced = double_entry(journal).findings
    assert "has 1 entries" in alone.sentence
    assert "credits 0.00" in unbalanced.sentence

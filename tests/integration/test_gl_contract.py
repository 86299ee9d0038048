"""What every journal does, whatever keeps it: one contract, each implementation held to it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.domain.transaction import EARLIEST, LATEST
from ledger.errors import InvariantBroken
from ledger.gl.books import Accepted, BalanceRow
from ledger.gl.journal import Journal, NotPostable, Posting, PostingRun, Superseded
from ledger.gl.memory import MemoryJournal
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.rows import PostedVoid
from ledger.gl.verify import verify_journal
from tests.integration.gl_runs import (
    CASH,
    DEPOSIT,
    NOW,
    Chain,
    Leg,
    made,
    moved,
    void_of,
    without,
)

if TYPE_CHECKING:
    from tests.h2.database import H2Database, OracleServer
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.h2.database", "tests.integration.gl_database"]

LARGEST = 2**63 - 1
CAD_CASH, CAD_DEPOSIT = Stripe(CASH, "CAD"), Stripe(DEPOSIT, "CAD")
Opener = Callable[[], Journal]


@pytest.fixture(params=["memory", "postgresql", "oracle"])
def opener(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens a journal; each call one more for the same ledger, which is empty at first."""
    opened: list[Journal] = []
    if request.param == "memory":
        shared = MemoryJournal()
        yield lambda: shared
        return
    if request.param == "oracle":
        oracle: H2Database | OracleServer = request.getfixturevalue("oracle_database")
    else:
        database: Database = request.getfixturevalue("database")

    def another() -> Journal:
        opened.append(
            oracle.journal() if request.param == "oracle" else PostgresJournal(database.service)
        )
        return opened[-1]

    yield another
    for journal in opened:
        journal.close()


@pytest.fixture
def journal(opener: Opener) -> Journal:
    """An empty ledger."""
    return opener()


def post(journal: Journal, chain: Chain, *runs: PostingRun) -> dict[Stripe, Totals]:
    """Post runs to where the journal is."""
    return journal.post(chain.shard, journal.watermark(chain.shard), runs)


def test_nothing_is_posted_at_first(journal: Journal) -> None:
    assert journal.watermark(0) == Watermark()
    assert journal.watermarks() == {}
    assert journal.snapshot(0, 0) == (Watermark(), {})
    assert journal.balances() == []
    assert journal.balances(as_of=NOW) == []
    assert [*journal.runs(0), *journal.transactions(0), *journal.stripes()] == []


def test_a_run_comes_back_as_it_went(journal: Journal) -> None:
    chain = Chain(shard=3)
    run = chain.run(moved(0, 1234), moved(2, 66), end=4, skipped=9)
    totals = post(journal, chain, run)
    assert totals == {CAD_CASH: Totals(1300, 0, 2, 2), CAD_DEPOSIT: Totals(0, 1300, 2, 2)}
    assert journal.watermark(3) == chain.watermark
    assert journal.watermarks() == {3: chain.watermark}
    assert journal.snapshot(3, 0) == (chain.watermark, totals)
    assert journal.watermark(3).recorded_until == NOW + 2
    assert list(journal.stripes()) == [(3, stripe, totals[stripe]) for stripe in sorted(totals)]
    assert journal.watermark(0) == Watermark()


def test_a_balance_snapshot_has_the_watermarks_that_it_belongs_to(journal: Journal) -> None:
    assert journal.balance_snapshot() == ({}, [])
    chain, other = Chain(shard=3), Chain(shard=1)
    post(journal, chain, chain.run(moved(0, 5), moved(1, 7, recorded_at=NOW + 9)))
    post(journal, other, other.run(moved(0, 1)))
    for asked in (
        {},
        {"as_of": NOW + 1, "by": "recorded"},
        {"accounts": [CASH]},
        {"prefix": "assets"},
    ):
        assert journal.balance_snapshot(**asked) == (  # type: ignore[arg-type]
            {1: other.watermark, 3: chain.watermark},
            journal.balances(**asked),  # type: ignore[arg-type]
        )


def test_accepted_ids_are_found_in_whatever_shard_and_the_last_of_two(journal: Journal) -> None:
    chain, other = Chain(shard=3), Chain(shard=1)
    first = chain.run(
        moved(0, 5, transaction_id="a", created_at=NOW - 50, recorded_at=NOW - 40),
        moved(1, 5, transaction_id="b", created_at=NOW + 3, recorded_at=NOW),
        moved(2, 5, transaction_id="a", created_at=NOW + 1, recorded_at=NOW + 2),
    )
    post(journal, chain, first)
    post(journal, other, other.run(moved(7, 1, transaction_id="c")))
    assert journal.accepted(["a", "b", "c", "d"]) == {
        "a": Accepted(3, 2, NOW + 2), "b": Accepted(3, 1, NOW + 3), "c": Accepted(1, 7, NOW + 7),
    }  # fmt: skip
    assert journal.accepted([]) == {}
    assert len(journal.accepted([f"x{n}" for n in range(2_500)] + ["c"])) == 1


def test_totals_go_on_from_run_to_run(journal: Journal) -> None:
    chain = Chain()
    post(journal, chain, chain.run(moved(0, 100), moved(1, 1, credit="income:fees")))
    assert post(journal, chain, chain.run(moved(2, 20))) == {
        CAD_CASH: Totals(121, 0, 3, 2),
        CAD_DEPOSIT: Totals(0, 120, 2, 2),
    }
    recent = journal.snapshot(0, 2)
    assert recent.watermark == chain.watermark
    assert set(recent.totals) == {CAD_CASH, CAD_DEPOSIT}
    fees = Stripe("income:fees", "CAD")
    assert set(journal.snapshot(0, 1).totals) == {CAD_CASH, CAD_DEPOSIT, fees}
    assert journal.snapshot(0, 3).totals == {}


def test_several_runs_at_once(journal: Journal) -> None:
    chain = Chain()
    first, empty = chain.run(moved(0, 1)), chain.run(end=5, skipped=2)
    totals = post(journal, chain, first, empty, chain.run(moved(7, 2), moved(8, 3)))
    assert totals == {CAD_CASH: Totals(6, 0, 3, 8), CAD_DEPOSIT: Totals(0, 6, 3, 8)}
    assert journal.watermark(0) == chain.watermark
    assert [run.decisions_offset for run in journal.runs(0)] == [0, 3, 4]
    assert [each.offset for each in journal.transactions(0)] == [0, 7, 8]


def test_an_empty_run_moves_the_watermark_alone(journal: Journal) -> None:
    chain = Chain()
    assert post(journal, chain, chain.run()) == {}
    assert journal.watermark(0) == chain.watermark
    assert post(journal, chain, chain.run(end=12)) == {}
    assert journal.watermark(0) == chain.watermark
    assert journal.snapshot(0, 0) == (chain.watermark, {})


def test_no_run_at_all_is_no_work(journal: Journal) -> None:
    assert journal.post(0, Watermark(), []) == {}
    assert journal.watermark(0) == Watermark()


def test_runs_tell_what_the_digest_covers(journal: Journal) -> None:
    chain = Chain()
    posted = [chain.run(moved(index, 1)) for index in range(3)]
    post(journal, chain, *posted)
    runs = list(journal.runs(0, after=1))
    assert [run.decisions_offset for run in runs] == [1, 2]
    decision = posted[2].decision
    assert runs[1].digest == decision.digest == chain.watermark.digest
    assert runs[1].follows == runs[0].digest == posted[1].decision.digest
    assert runs[1][2:4] == (decision.start, decision.end)
    assert runs[1][7:] == (decision.recorded_until, 7, 1, bytes(range(32)))


def test_a_stale_watermark_changes_nothing(journal: Journal) -> None:
    chain = Chain()
    post(journal, chain, chain.run(moved(0, 1)))
    zombie, before = Chain(0, chain.watermark), chain.watermark
    post(journal, chain, chain.run(moved(1, 2)))
    for stale in (Chain(), zombie):
        run = stale.run(moved(stale.watermark.end + 1, 50, credit="income:fees"))
        start = Watermark() if stale is not zombie else before
        with pytest.raises(Superseded):
            journal.post(0, start, [run])
    assert journal.watermark(0) == chain.watermark
    assert [each.offset for each in journal.transactions(0)] == [0, 1]
    assert len(journal.balances()) == 2


def test_postings_of_several_shards_are_one(journal: Journal) -> None:
    chains = [Chain(shard) for shard in range(4)]
    for turn in range(2):
        postings = [
            Posting(chain.shard, chain.watermark, [chain.run(moved(turn, 10 + chain.shard))])
            for chain in reversed(chains)
        ]
        found = journal.post_all([journal.prepare(each) for each in postings])
        # In the order in which they were given.
        assert [totals[CAD_CASH].debits for totals in found] == [
            (turn + 1) * (10 + shard) for shard in (3, 2, 1, 0)
        ]
    assert [journal.watermark(chain.shard) for chain in chains] == [
        chain.watermark for chain in chains
    ]
    assert journal.post_all([]) == []


def test_one_that_is_superseded_keeps_back_all_that_were_to_go_with_it(journal: Journal) -> None:
    good, stale = Chain(0), Chain(1)
    post(journal, Chain(1), Chain(1).run(moved(0, 7)))
    postings = [Posting(each.shard, Watermark(), [each.run(moved(0, 1))]) for each in (good, stale)]
    with pytest.raises(Superseded):
        journal.post_all([journal.prepare(each) for each in postings])
    assert journal.watermark(0) == Watermark()
    assert list(journal.transactions(0)) == []
    assert [each.entries[0][3] for each in journal.transactions(1)] == [7]


def test_postings_that_go_together_agree_on_a_currency(journal: Journal) -> None:
    postings = [
        Posting(shard, Watermark(), [
            Chain(shard).run(made(0, Leg(CASH, 1, "CAD", scale), Leg(DEPOSIT, -1, "CAD", scale)))
        ])
        for shard, scale in ((0, 2), (1, 3))
    ]  # fmt: skip
    with pytest.raises(InvariantBroken):
        journal.post_all([journal.prepare(each) for each in postings])
    assert journal.balances() == []


def test_a_shard_that_is_not_there_cannot_be_behind(journal: Journal) -> None:
    chain = Chain()
    chain.run(moved(0, 1))
    before = chain.watermark
    with pytest.raises(Superseded):
        journal.post(0, before, [chain.run(moved(1, 1))])
    assert journal.watermark(0) == Watermark()


@pytest.mark.parametrize("first", [True, False])
def test_of_two_posters_exactly_one_wins(opener: Opener, first: bool) -> None:
    chain = Chain()
    journals = [opener(), opener()]
    if not first:
        post(journals[0], chain, chain.run(moved(0, 1)))
    before = chain.watermark
    start = Barrier(2)

    def race(journal: Journal, amount: int) -> Watermark | None:
        rival = Chain(0, before)
        run = rival.run(*(moved(before.end + index, amount) for index in range(200)))
        journal.watermark(0)
        start.wait()
        try:
            journal.post(0, before, [run])
        except Superseded:
            return None
        return rival.watermark

    with ThreadPoolExecutor(2) as threads:
        won = list(threads.map(race, journals, (10, 20)))
    assert won.count(None) == 1
    assert journals[0].watermark(0) == next(each for each in won if each)
    amounts = {each.entries[0][3] for each in journals[0].transactions(0, before.end)}
    assert amounts == {20 if won[0] is None else 10}


def test_totals_beyond_64_bits_are_exact(journal: Journal) -> None:
    chain = Chain()
    for at in range(3):
        totals = post(journal, chain, chain.run(*(moved(at * 50 + i, LARGEST) for i in range(50))))
    assert totals[CAD_CASH] == Totals(150 * LARGEST, 0, 150, 149)
    assert journal.snapshot(0, 0).totals == totals
    assert journal.balances() == [
        BalanceRow(CASH, "CAD", 2, 150 * LARGEST, 0, 150),
        BalanceRow(DEPOSIT, "CAD", 2, 0, 150 * LARGEST, 150),
    ]
    assert journal.balances(as_of=NOW + 1) == journal.balances()


@pytest.mark.parametrize("at", [EARLIEST, EARLIEST + 1, -1, 0, 1, NOW + 999_999, LATEST - 1])
def test_times_are_exact_to_the_microsecond(journal: Journal, at: int) -> None:
    chain = Chain()
    post(
        journal,
        chain,
        chain.run(moved(0, 1, effective_at=at, recorded_at=at, created_at=at)),
    )
    (transaction,) = journal.transactions(0)
    assert (transaction.effective_at, transaction.recorded_at, transaction.created_at) == (at,) * 3
    assert journal.watermark(0).recorded_until == max(at, 0)
    (run,) = journal.runs(0)
    assert run.recorded_until == max(at, 0)
    assert journal.balances(as_of=at, by="effective") == []
    assert len(journal.balances(as_of=at + 1, by="effective")) == 2


TEXTS = [
    "x",
    " ",
    "é ü ß",
    "日本語 🏦 \U0010ffff",
    "tab\tline\nreturn\rback\\slash \\N \\. ' \" %s {}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_come_back_to_the_letter(journal: Journal, text: str) -> None:
    chain = Chain()
    names = ("transaction_id", "kind", "description", "ordering_key", "reverses", "metadata")
    post(journal, chain, chain.run(moved(0, 1, **dict.fromkeys(names, text)), moved(1, 1)))
    one, other = journal.transactions(0)
    assert one[2:5] + one[8:11] == (text,) * 6
    assert other[4:5] + other[8:11] == ("",) * 4


def test_texts_as_long_as_they_may_be(journal: Journal) -> None:
    chain = Chain()
    letter, account = "🏦", f"assets:{'a' * 248}"
    fields = {
        "transaction_id": letter * 128,
        "kind": letter * 64,
        "description": letter * 1000,
        "ordering_key": letter * 128,
        "reverses": letter * 128,
        "metadata": letter * 1000,
    }
    code = "X" * 31 + "\\"
    legs = [Leg(account, 1, code, 18), Leg(CASH, -1, code, 18)]
    post(journal, chain, chain.run(made(0, *legs, **fields)))
    (transaction,) = journal.transactions(0)
    assert {name: getattr(transaction, name) for name in fields} == fields
    assert transaction.entries == [(account, code, 18, 1), (CASH, code, 18, -1)]


def test_entries_keep_their_order_and_repeat(journal: Journal) -> None:
    chain = Chain()
    legs = [
        Leg(CASH, 5),
        Leg(DEPOSIT, -7),
        Leg(CASH, 2),
        Leg(CASH, 300, "JPY", 0),
        Leg(DEPOSIT, -300, "JPY", 0),
    ]
    totals = post(journal, chain, chain.run(made(4, *legs), end=9))
    assert totals[CAD_CASH] == Totals(7, 0, 2, 4)
    (transaction,) = journal.transactions(0)
    assert transaction.entries == [
        (leg.account, leg.currency, leg.scale, leg.amount) for leg in legs
    ]


def test_transactions_by_half_open_range_over_many_pages(journal: Journal) -> None:
    chain = Chain()
    for start in range(0, 3_000, 500):
        post(journal, chain, chain.run(*(moved(start + index, 1) for index in range(500))))
    found = list(journal.transactions(0))
    assert [each.offset for each in found] == list(range(3_000))
    assert all(len(each.entries) == 2 for each in found)
    assert [each.offset for each in journal.transactions(0, 999, 1_001)] == [999, 1_000]
    assert [each.offset for each in journal.transactions(0, 2_998)] == [2_998, 2_999]
    assert list(journal.transactions(0, 5, 5)) == list(journal.transactions(1)) == []


def test_more_stripes_than_a_page(journal: Journal) -> None:
    chain = Chain(shard=1)
    legs = [moved(index, index + 1, credit=f"liabilities:a:{index}") for index in range(2_500)]
    totals = post(journal, chain, chain.run(*legs))
    rows = list(journal.stripes())
    assert rows == [(1, stripe, totals[stripe]) for stripe in sorted(totals)]
    named = [f"liabilities:a:{index}" for index in range(2_400)]
    assert [row.account for row in journal.balances(accounts=named)] == sorted(named)


@pytest.fixture
def bank(journal: Journal) -> Journal:
    """Two shards, two currencies, names that are nearly others' prefixes."""
    for shard in (0, 1):
        chain = Chain(shard)
        post(
            journal,
            chain,
            chain.run(
                moved(0, 10, effective_at=NOW - 5, recorded_at=NOW),
                moved(1, 5, credit="liabilities:deposits2:1", effective_at=NOW + 5),
                moved(2, 1, credit="liabilities:deposits", effective_at=NOW, recorded_at=NOW + 9),
                made(
                    3,
                    Leg("liabilities:deposits:2378:x", -4, "USD"),
                    Leg(CASH, 4, "USD"),
                    recorded_at=NOW + 9,
                ),
                moved(4, 2, credit="liabilities:depositsX1:1", recorded_at=NOW + 9),
                moved(5, 2, credit="liabilities:a_b:1", recorded_at=NOW + 9),
                moved(6, 2, credit="liabilities:aXb:1", recorded_at=NOW + 9),
            ),
        )
    return journal


def names(rows: list[BalanceRow]) -> list[tuple[str, str]]:
    """Accounts and currencies."""
    return [row[:2] for row in rows]


def test_balances_sum_the_stripes_and_are_sorted(bank: Journal) -> None:
    rows = bank.balances()
    assert names(rows) == sorted(names(rows))
    assert BalanceRow(DEPOSIT, "CAD", 2, 0, 20, 2) in rows
    assert BalanceRow(CASH, "USD", 2, 8, 0, 2) in rows
    assert sum(row.debits for row in rows) == sum(row.credits for row in rows)


def test_balances_of_named_accounts(bank: Journal) -> None:
    assert names(bank.balances(accounts=[DEPOSIT, CASH, CASH, "assets:unknown"])) == [
        (CASH, "CAD"),
        (CASH, "USD"),
        (DEPOSIT, "CAD"),
    ]
    assert bank.balances(accounts=[]) == []
    both = bank.balances(accounts=[CASH, DEPOSIT], prefix="liabilities")
    assert names(both) == [(DEPOSIT, "CAD")]


def test_a_prefix_matches_whole_segments(bank: Journal) -> None:
    below = [
        ("liabilities:deposits", "CAD"),
        (DEPOSIT, "CAD"),
        (f"{DEPOSIT}:x", "USD"),
    ]
    assert names(bank.balances(prefix="liabilities:deposits")) == below
    assert names(bank.balances(prefix="liabilities:deposits", as_of=NOW + 1)) == below
    assert names(bank.balances(prefix="liabilities:deposits:237")) == []
    assert names(bank.balances(prefix="liabilities:a_b")) == [("liabilities:a_b:1", "CAD")]
    assert len(bank.balances(prefix="liabilities")) == 7
    assert bank.balances(prefix="liab") == bank.balances(prefix="%") == []


def test_as_of_is_half_open_on_either_axis(bank: Journal) -> None:
    def cash(as_of: int, by: str) -> int:
        rows = bank.balances(accounts=[CASH], as_of=as_of, by=by)  # type: ignore[arg-type]
        return sum(row.debits for row in rows if row.currency == "CAD")

    assert [cash(NOW + at, "effective") for at in (-5, -4, 0, 1, 5, 6)] == [0, 20, 20, 34, 34, 44]
    assert [cash(NOW + at, "recorded") for at in (0, 1, 2, 9, 10)] == [0, 20, 30, 30, 44]
    assert bank.balances(as_of=LATEST) == bank.balances()
    assert bank.balances(as_of=LATEST, by="recorded") == bank.balances()


def test_both_axes_together(bank: Journal) -> None:
    def cash(as_of: int, known_before: int) -> int:
        rows = bank.balances(accounts=[CASH], as_of=as_of, known_before=known_before)
        return sum(row.debits for row in rows if row.currency == "CAD")

    assert [cash(NOW + 1, NOW + at) for at in (0, 1, 2, 9, 10)] == [0, 20, 20, 20, 34]
    assert [cash(NOW + at, NOW + 2) for at in (-5, -4, 5, 6)] == [0, 20, 20, 30]
    rows = bank.balances(as_of=NOW + 9, by="recorded", known_before=NOW + 2)
    assert rows == bank.balances(as_of=NOW + 2, by="recorded")
    assert rows == bank.balances(known_before=NOW + 2)


def test_another_scale_is_a_fault_and_changes_nothing(opener: Opener) -> None:
    journal, other = opener(), opener()
    chain, foreign = Chain(0), Chain(1)
    post(journal, chain, chain.run(moved(0, 1)))
    bad = foreign.run(made(0, Leg(CASH, 1, scale=3), Leg(DEPOSIT, -1, scale=3)))
    for each in (journal, other, other):
        with pytest.raises(InvariantBroken, match="decimals"):
            each.post(1, Watermark(), [bad])
    assert journal.watermark(1) == Watermark()
    assert list(journal.transactions(1)) == []
    right = Chain(1)
    post(other, right, right.run(moved(0, 1)))


def test_runs_that_do_not_follow_are_a_fault(journal: Journal) -> None:
    chain = Chain()
    first, _, third = (chain.run(moved(index, 1)) for index in range(3))
    for runs in ([third], [first, third], [first, first]):
        with pytest.raises(InvariantBroken, match="does not follow"):
            journal.post(0, Watermark(), runs)
    with pytest.raises(InvariantBroken, match="does not follow"):
        journal.post(1, Watermark(), [first])
    assert journal.watermark(0) == Watermark()


@pytest.mark.parametrize(
    ("transactions", "problem"),
    [
        ([moved(3, 1), moved(3, 1)], "ascending"),
        ([moved(9, 1)], "outside"),
        ([made(3, Leg(CASH, 0), Leg(DEPOSIT, 0))], "zero"),
        ([moved(3, 1, transaction_id="")], "no id"),
    ],
)
def test_a_run_that_contradicts_itself_is_a_fault(
    journal: Journal, transactions: list[object], problem: str
) -> None:
    with pytest.raises(InvariantBroken, match=problem):
        journal.post(0, Watermark(), [Chain().run(*transactions, end=5)])  # type: ignore[arg-type]
    assert journal.watermark(0) == Watermark()


def test_streams_may_be_read_side_by_side_and_left_early(bank: Journal) -> None:
    for run in bank.runs(0):
        assert len(list(bank.transactions(0, run.start, run.end))) == run.accepted
        for _, stripe, _ in bank.stripes():
            assert bank.balances(accounts=[stripe.account])
            break
    assert bank.watermark(0) == bank.snapshot(0, 0).watermark


# What counts for nothing.

FEES = "income:fees"
CAD_FEES = Stripe(FEES, "CAD")


class Voiding:
    """A run of three transactions, one after it, and one that voids the second of them."""

    def __init__(self) -> None:
        self.chain = Chain()
        self.first = self.chain.run(moved(0, 100), moved(1, 7, credit=FEES), moved(2, 1))
        self.between = self.chain.run(moved(3, 20))
        self.void = void_of(self.first, 1, at=5)
        self.last = self.chain.run(moved(4, 300), end=7, voided=[self.void])
        self.left_out = without(self.first, self.void, self.last.decisions_offset)
        self.was_posted = False


@pytest.fixture(params=["left out", "posted before"])
def voided(request: pytest.FixtureRequest, journal: Journal) -> Voiding:
    """Posted either way, run by run."""
    made = Voiding()
    made.was_posted = request.param != "left out"
    first = made.first if made.was_posted else made.left_out
    for run in (first, made.between, made.last):
        post(journal, made.chain, run)
    return made


def test_what_is_void_counts_for_nothing(journal: Journal, voided: Voiding) -> None:
    watermark, totals = journal.snapshot(0, 0)
    assert watermark == voided.chain.watermark
    assert totals == {
        CAD_CASH: Totals(421, 0, 4, 5),
        CAD_DEPOSIT: Totals(0, 421, 4, 4),
        CAD_FEES: Totals(0, 0, 0, 5),
    }
    assert journal.snapshot(0, 5).totals.keys() == {CAD_CASH, CAD_FEES}
    for as_of in (None, NOW + 10**9):
        rows = journal.balances(as_of=as_of)
        found = {
            row.account: (row.debits, row.credits) for row in rows if row.debits or row.credits
        }
        assert found == {CASH: (421, 0), DEPOSIT: (0, 421)}
    void = PostedVoid(
        0, 1, 5, NOW + 5, 0, voided.last.decisions_offset, 40, "me: it is stuck",
        voided.void.content, was_posted=voided.was_posted,
    )  # fmt: skip
    assert journal.voids() == journal.voids(0) == [void]
    assert [type(each.was_posted) for each in journal.voids()] == [bool]
    assert journal.voids(1) == []


def test_what_is_void_was_known_until_then(journal: Journal, voided: Voiding) -> None:
    def debits(**asked: Any) -> dict[str, int]:
        return {row.account: row.debits + row.credits for row in journal.balances(**asked)}

    assert debits(known_before=NOW + 5) == {CASH: 428, DEPOSIT: 421, FEES: 7}
    assert debits(known_before=NOW + 6) == {CASH: 421, DEPOSIT: 421}
    assert debits(as_of=NOW + 5, by="recorded") == {CASH: 421, DEPOSIT: 421}
    assert debits(as_of=NOW + 1, known_before=NOW + 4) == {CASH: 128, DEPOSIT: 121, FEES: 7}
    assert debits(as_of=NOW, known_before=NOW + 4) == {}
    assert debits(as_of=NOW + 1, known_before=NOW + 4, prefix="income") == {FEES: 7}
    assert debits(as_of=NOW + 1, known_before=NOW + 2, accounts=[FEES, CASH])[FEES] == 7


def test_the_audit_of_the_journal_is_content_either_way(journal: Journal, voided: Voiding) -> None:
    found = verify_journal(journal, [voided.chain.watermark])
    assert found.findings == []
    assert (found.transactions, found.runs, len(found.voided)) == (4, 3, 1)
    assert journal.orphans(1) == []


def test_runs_go_on_after_it(journal: Journal, voided: Voiding) -> None:
    post(journal, voided.chain, voided.chain.run(moved(8, 5, credit=FEES)))
    assert journal.snapshot(0, 8).totals == {
        CAD_CASH: Totals(426, 0, 5, 8), CAD_FEES: Totals(0, 5, 1, 8),
    }  # fmt: skip
    assert verify_journal(journal, [voided.chain.watermark]).findings == []


def test_posting_says_what_it_makes_of_a_void(journal: Journal) -> None:
    made = Voiding()
    said = post(journal, made.chain, made.left_out)
    assert said == {CAD_CASH: Totals(101, 0, 2, 2), CAD_DEPOSIT: Totals(0, 101, 2, 2)}
    assert [each.offset for each in journal.voids(0)] == [1]
    assert verify_journal(journal, [journal.watermark(0)]).findings == []
    post(journal, made.chain, made.between)
    said = post(journal, made.chain, made.last)
    assert said == {
        CAD_CASH: Totals(421, 0, 4, 5), CAD_DEPOSIT: Totals(0, 421, 4, 4),
        CAD_FEES: Totals(0, 0, 0, 5),
    }  # fmt: skip


def test_both_in_one_posting(journal: Journal) -> None:
    made = Voiding()
    post(journal, made.chain, made.left_out, made.between, made.last)
    assert journal.snapshot(0, 0).totals[CAD_FEES] == Totals(0, 0, 0, 5)
    assert verify_journal(journal, [made.chain.watermark]).findings == []


def test_several_voids_of_one_run_and_one_stripe(journal: Journal) -> None:
    chain = Chain()
    first = chain.run(moved(0, 1), moved(1, 2), moved(2, 4), moved(3, 8))
    voids = [void_of(first, each, at=10 + each) for each in (0, 2, 3)]
    last = chain.run(end=20, voided=voids)
    # One of them was left out, and the others were not.
    post(journal, chain, without(first, voids[1], last.decisions_offset))
    assert post(journal, chain, last) == {
        CAD_CASH: Totals(2, 0, 1, 13), CAD_DEPOSIT: Totals(0, 2, 1, 13)
    }  # fmt: skip
    assert verify_journal(journal, [chain.watermark]).findings == []


def test_decimals_of_what_is_left_out_are_not_the_ledgers(opener: Opener) -> None:
    journal, chain, other = opener(), Chain(), Chain(1)
    post(journal, other, other.run(moved(0, 1)))
    odd = [Leg(CASH, 100, scale=3), Leg(DEPOSIT, -100, scale=3)]
    first = chain.run(made(0, *odd), made(1, Leg(CASH, 5, "PTS"), Leg(FEES, -5, "PTS")))
    with pytest.raises(NotPostable, match="decimals"):
        post(journal, chain, first)
    void = void_of(first, 0, at=3, scales=[2, 2])
    last = chain.run(moved(2, 9), end=4, voided=[void])
    post(journal, chain, without(first, void, last.decisions_offset), last)
    scales = {(row.account, row.currency): row.scale for row in journal.balances()}
    assert scales[CASH, "CAD"] == 2
    heads = [chain.watermark, other.watermark]
    assert verify_journal(journal, heads).findings == []

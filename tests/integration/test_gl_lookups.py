"""What people ask of a journal, in memory and in PostgreSQL alike: transactions and registers."""

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import event

from ledger.domain.account import on_normal_side
from ledger.gl import lookup_reads
from ledger.gl.journal import Journal
from ledger.gl.lookups import RegisterQuery, ReversedBy, Sides
from ledger.gl.memory import MemoryJournal
from ledger.gl.postgresql import PostgresBooks, PostgresJournal
from tests.integration.gl_database import Database
from tests.integration.gl_runs import CASH, DEPOSIT, NOW, Chain, Leg, Made, made, moved, void_of
from tests.integration.gl_runs import without as left_out
from tests.integration.test_gl_contract import journal, opener, post

pytest_plugins = ["tests.h2.database", "tests.integration.gl_database"]
__all__ = ["journal", "opener"]

FEES = "income:fees"


def reversal(offset: int, of: int, amount: int, **fields: object) -> Made:
    """The reversal of `moved(of, amount)`."""
    return moved(offset, -amount, reverses=f"t-{of}", kind="reversal", **fields)


def test_what_is_not_there_is_not_found(journal: Journal) -> None:
    assert journal.find("t-0") == ({}, [])
    chain = Chain(3)
    post(journal, chain, chain.run(moved(0, 5)))
    assert journal.find("nobody") == ({3: chain.watermark}, [])


def test_a_transaction_is_found_with_its_run_and_what_reverses_it(journal: Journal) -> None:
    chain, other = Chain(3), Chain(1)
    runs = [chain.run(moved(at, 10 + at), skipped=at) for at in range(9)]
    runs.append(chain.run(reversal(20, 4, 14, recorded_at=NOW + 99), end=30))
    post(journal, chain, *runs)
    # An id counts in its shard alone.
    post(journal, other, other.run(reversal(20, 4, 14)))
    found = journal.find("t-4")
    assert found.watermarks == {1: other.watermark, 3: chain.watermark}
    [(transaction, run, void, reversals, searched)] = found.found
    assert transaction == next(iter(journal.transactions(3, 4)))
    assert transaction.entries == [(CASH, "CAD", 2, 14), (DEPOSIT, "CAD", 2, -14)]
    assert run is not None
    assert run[:3] == (runs[4].decisions_offset, 4, 5)
    assert run.posted_at > NOW
    assert void is None
    assert reversals == [ReversedBy("t-20", 3, 20, NOW, NOW + 99, is_void=False)]
    assert searched == chain.watermark.end
    [back] = [each for each in journal.find("t-20").found if each.transaction.shard == 3]
    assert (back.transaction.reverses, list(back.reversals)) == ("t-4", [])


@pytest.mark.parametrize("count", [1, 2, 3, 10, 33])
def test_the_run_of_each_is_found_whatever_is_between(journal: Journal, count: int) -> None:
    chain = Chain()
    runs = [
        chain.run(moved(at * 3, 1), moved(at * 3 + 1, 1), end=at * 3 + 3, skipped=at % 5)
        for at in range(count)
    ]
    post(journal, chain, *runs)
    for at, run in enumerate(runs):
        for offset in (at * 3, at * 3 + 1):
            [found] = journal.find(f"t-{offset}").found
            assert found.run is not None
            assert found.run[:3] == (run.decisions_offset, at * 3, at * 3 + 3)


def test_each_shard_has_the_time_at_which_its_last_run_was_posted(journal: Journal) -> None:
    assert journal.posted_at() == {}
    chain, other = Chain(3), Chain(1)
    post(journal, chain, chain.run(moved(0, 5)), chain.run(moved(1, 5), skipped=7))
    post(journal, other, other.run(moved(0, 1)))
    found = journal.posted_at()
    run = journal.find("t-1").found[0].run
    assert run is not None
    assert list(found) == [1, 3]
    assert found[3] == run.posted_at
    assert found[1] >= found[3]


def test_an_id_that_was_used_again_is_found_twice_the_oldest_first(journal: Journal) -> None:
    chain, other = Chain(3), Chain(1)
    post(journal, chain, chain.run(moved(7, 5, transaction_id="a", recorded_at=NOW + 8)))
    post(journal, other, other.run(moved(9, 6, transaction_id="a", recorded_at=NOW + 3)))
    found = journal.find("a").found
    assert [(each.transaction.shard, each.transaction.offset) for each in found] == [(1, 9), (3, 7)]


@pytest.mark.parametrize("was_posted", [True, False])
def test_a_void_transaction_is_found_as_void(journal: Journal, was_posted: bool) -> None:
    chain = Chain()
    first = chain.run(moved(0, 1), moved(1, 20, credit=FEES))
    void = void_of(first, 1, at=5)
    last = chain.run(end=6, voided=[void])
    post(journal, chain, first if was_posted else left_out(first, void, last.decisions_offset))
    post(journal, chain, last)
    [found] = journal.find("t-1").found
    assert found.void is not None
    assert found.void.was_posted is was_posted
    assert found.transaction.entries == [(CASH, "CAD", 2, 20), (FEES, "CAD", 2, -20)]
    assert found.run is not None
    assert found.run.start == 0
    assert [line.offset for line in journal.register(CASH).lines] == [0]
    assert journal.register(FEES).lines == []
    assert journal.register(FEES, end=NOW + 9).closing == {}


def test_a_reversal_that_is_void_says_so(journal: Journal) -> None:
    chain = Chain()
    first = chain.run(moved(0, 1), reversal(1, 0, 1))
    post(journal, chain, first, chain.run(end=6, voided=[void_of(first, 1, at=5)]))
    [found] = journal.find("t-0").found
    assert [(each.offset, each.is_void) for each in found.reversals] == [(1, True)]


def test_where_every_account_is_busy_the_search_for_reversals_ends(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(journal, PostgresBooks):
        pytest.skip("in memory everything is searched")
    monkeypatch.setattr(lookup_reads, "SEARCHED", 5)
    chain = Chain()
    usual = [moved(at, 3) for at in range(1, 20)]
    post(journal, chain, chain.run(moved(0, 7), *usual, reversal(20, 0, 7), reversal(21, 17, 3)))
    [first] = journal.find("t-0").found
    assert (list(first.reversals), first.searched) == ([], 6)
    [late] = journal.find("t-17").found
    assert ([each.offset for each in late.reversals], late.searched) == ([21], 22)


def test_a_register_is_every_entry_in_order(journal: Journal) -> None:
    chain, other = Chain(3), Chain(1)
    post(journal, chain, chain.run(
        moved(0, 10, effective_at=NOW + 5, description="rent", kind="fee", reverses="x"),
        made(1, Leg(CASH, 7), Leg(CASH, -2), Leg(DEPOSIT, -4), Leg(FEES, -1)),
        made(2, Leg(CASH, 300, "JPY", 0), Leg(FEES, -300, "JPY", 0)),
    ))  # fmt: skip
    post(journal, other, other.run(moved(0, 100), moved(1, 1, debit=DEPOSIT, credit=FEES)))
    found = journal.register(CASH)
    assert found.watermarks == {1: other.watermark, 3: chain.watermark}
    assert [(line.shard, line.offset, line.entry, line.amount) for line in found.lines] == [
        (1, 0, 0, 100), (3, 1, 0, 7), (3, 1, 1, -2), (3, 2, 0, 300), (3, 0, 0, 10),
    ]  # fmt: skip
    assert [list(line.others) for line in found.lines] == [
        [DEPOSIT], sorted([CASH, DEPOSIT, FEES]), [CASH], [FEES], [DEPOSIT],
    ]  # fmt: skip
    last = found.lines[-1]
    assert last[:11] == (
        NOW + 5, NOW, 3, 0, 0, "t-0", "fee", "rent", "x", "CAD", 2
    )  # fmt: skip
    assert found.closing == {"CAD": Sides(2, 117, 2, 4), "JPY": Sides(0, 300, 0, 1)}
    assert [net for _, net in found.running()] == [100, 107, 105, 300, 115]
    assert found.opening() == {"CAD": Sides(2, 0, 0, 0), "JPY": Sides(0, 0, 0, 0)}
    by_record = journal.register(CASH, by="recorded", currency="CAD").lines
    assert [(line.shard, line.offset, line.entry) for line in by_record] == [
        (1, 0, 0), (3, 0, 0), (3, 1, 0), (3, 1, 1),
    ]  # fmt: skip
    assert journal.register("assets:nobody") == (found.watermarks, {}, [])


def test_entries_of_one_effective_time_are_in_the_order_in_which_they_were_recorded(
    journal: Journal,
) -> None:
    """In the order of shards the balance would be below zero, as it never was."""
    paid_out, paid_in = Chain(0), Chain(1)
    post(journal, paid_in, paid_in.run(moved(0, 10)))
    out = made(0, Leg(CASH, -10), Leg(FEES, 10), effective_at=NOW, recorded_at=NOW + 1)
    post(journal, paid_out, paid_out.run(out))
    for asked in ({}, {"end": NOW + 9}, {"by": "recorded"}):
        found = journal.register(CASH, **RegisterQuery(**asked))  # type: ignore[typeddict-item]
        assert [(line.shard, net) for line, net in found.running()] == [(1, 10), (0, 0)]
    assert [line.shard for line in journal.register(CASH, limit=1).lines] == [0]


def test_a_cut_register_begins_with_what_was_before(journal: Journal) -> None:
    chain = Chain()
    post(journal, chain, chain.run(*(moved(at, 1, effective_at=NOW + at) for at in range(10))))
    for query, first, count, closing in (
        ({"start": NOW + 4}, 4, 6, 10),
        ({"start": NOW + 4, "end": NOW + 6}, 4, 2, 6),
        ({"limit": 3}, 7, 3, 10),
        ({"limit": 3, "end": NOW + 5}, 2, 3, 5),
        ({"limit": 30}, 0, 10, 10),
        ({"start": NOW + 10}, 10, 0, 10),
        ({"end": NOW}, 0, 0, None),
    ):
        asked = RegisterQuery(**query)  # type: ignore[typeddict-item]
        found = journal.register(CASH, **asked)
        assert len(found.lines) == count
        if closing is None:
            assert found.closing == {}
            continue
        assert found.closing["CAD"] == Sides(2, closing, 0, closing)
        assert found.opening()["CAD"] == Sides(2, first, 0, first)
        nets = [net for _, net in found.running()]
        assert nets == list(range(first + 1, closing + 1))


def generated(chance: random.Random, chain: Chain, count: int) -> Iterator[Made]:
    """Transactions of two to five legs in two currencies over a few accounts."""
    accounts = (CASH, DEPOSIT, FEES, "expenses:a", "equity:b")
    for at in range(chain.watermark.end, chain.watermark.end + count):
        code, scale = chance.choice([("CAD", 2), ("JPY", 0)])
        amounts = [chance.choice([-1, 1]) * chance.randint(1, 10**12) for _ in range(3)]
        amounts = amounts[: chance.randint(1, 3)]
        legs = [Leg(chance.choice(accounts), each, code, scale) for each in amounts]
        if rest := -sum(amounts):
            legs.append(Leg(chance.choice(accounts), rest, code, scale))
        times = {name: NOW + chance.randint(-5, 5) for name in ("effective_at", "recorded_at")}
        yield made(at, *legs, **times)


@pytest.mark.parametrize("seed", range(6))
def test_every_register_ends_at_what_balances_has(journal: Journal, seed: int) -> None:
    chance = random.Random(seed)
    for shard in (0, 2):
        chain = Chain(shard)
        for _ in range(3):
            run = chain.run(*generated(chance, chain, 12))
            victim = chance.choice(run.content.offsets)
            voided = [void_of(run, victim, at=chain.watermark.end)] if chance.random() < 0.5 else []
            post(journal, chain, run)
            post(journal, chain, chain.run(end=chain.watermark.end + 1, voided=voided))
    accounts = {stripe.account for _, stripe, _ in journal.stripes()}
    asked: list[RegisterQuery] = [{}, {"limit": 4}, {"start": NOW + 1}]
    asked += [
        {"end": end, "by": by, "limit": limit}
        for end in (NOW - 1, NOW + 2) for by in ("effective", "recorded") for limit in (None, 2)
    ]  # fmt: skip
    for account in accounts:
        for query in asked:
            found = journal.register(account, **query)
            last = {currency: sides.net for currency, sides in found.opening().items()}
            last |= {line.currency: net for line, net in found.running()}
            rows = journal.balances(
                accounts=[account], as_of=query.get("end"), by=query.get("by", "effective")
            )
            assert last == {row.currency: row.debits - row.credits for row in rows}
            for row in rows:
                assert found.closing[row.currency] == Sides(*row[2:])
                normal = on_normal_side(account, debits=row.debits, credits=row.credits)
                assert abs(normal) == abs(last[row.currency])
            if not query:
                assert all(sides[1:] == (0, 0, 0) for sides in found.opening().values())


@pytest.mark.parametrize("kind", ["postgresql", "oracle"])
def test_a_database_and_memory_have_the_same_lines(
    kind: str, request: pytest.FixtureRequest
) -> None:
    books: Journal = (
        request.getfixturevalue("oracle_database").journal()
        if kind == "oracle"
        else PostgresJournal(request.getfixturevalue("database").service)
    )
    memory, chance = MemoryJournal(), random.Random(7)
    for shard in (0, 2):
        chain = Chain(shard)
        for _ in range(4):
            run = chain.run(*generated(chance, chain, 30))
            void = void_of(run, run.content.offsets[3], at=chain.watermark.end)
            last = chain.run(end=chain.watermark.end + 1, voided=[void])
            for each in (books, memory):
                each.post(shard, each.watermark(shard), [run, last])
    asked: list[RegisterQuery] = [
        {}, {"limit": 7}, {"start": NOW, "by": "recorded"}, {"end": NOW + 2, "limit": 5},
        {"currency": "JPY", "start": NOW, "end": NOW + 3},
    ]  # fmt: skip
    try:
        for account in {stripe.account for _, stripe, _ in memory.stripes()}:
            for query in asked:
                assert books.register(account, **query) == memory.register(account, **query)
        for name in ("t-0", "t-3", "not there"):
            assert len(books.find(name).found) == len(memory.find(name).found)
        assert set(books.posted_at()) == {0, 2}
    finally:
        books.close()


def test_transactions_and_registers_are_found_by_index(database: Database) -> None:
    """With what 30,000 transactions of 3,000 accounts make of the tables' statistics."""
    database.run("""
        INSERT INTO transactions (shard, log_offset, transaction_id, kind, effective_at,
                                  recorded_at, created_at)
        SELECT n % 8, n, 't-' || n, 'deposit', now(), now(), now() FROM generate_series(1, 30000) n
    """)
    database.run("""
        INSERT INTO entries (shard, log_offset, entry, account, currency, side, amount)
        SELECT n % 8, n, leg, CASE leg WHEN 0 THEN 'assets:cash'
                                  ELSE 'liabilities:deposits:' || n % 3000 END,
               'CAD', CASE leg WHEN 0 THEN 'D' ELSE 'C' END, 100
        FROM generate_series(1, 30000) n, generate_series(0, 1) leg
    """)
    database.run("""
        INSERT INTO stripes SELECT account, currency, shard, sum(amount), 0, count(*), max(log_offset)
        FROM entries GROUP BY account, currency, shard
    """)
    database.run("INSERT INTO currencies VALUES ('CAD', 2)")
    for table in ("transactions", "entries", "stripes", "currencies"):
        database.run(f"ANALYZE {table}")
    seen: list[str] = []
    books = PostgresBooks(database.service)
    try:
        with books._read.connect() as connection:
            lookup_reads.find(connection, "t-77")

        @event.listens_for(books._read, "before_cursor_execute")
        def explain(conn, cursor, statement, parameters, context, many):  # type: ignore[no-untyped-def]
            if statement.startswith("SELECT"):
                seen.extend(row[0] for row in cursor.execute(f"EXPLAIN {statement}", parameters))

        assert [each.transaction.offset for each in books.find("t-77").found] == [77]
        found = books.register("liabilities:deposits:77", limit=5)
        assert [line.offset for line in found.lines] == [15077, 18077, 21077, 24077, 27077]
    finally:
        books.close()
    large = ("transactions", "entries", "stripes")
    scans = [line for line in seen if any(f"Seq Scan on {each}" in line for each in large)]
    assert seen
    assert scans == []

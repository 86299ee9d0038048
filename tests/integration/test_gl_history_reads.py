"""What every history answers, whatever keeps it: the plain sums of a ledger's lines, to the unit."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event, text

from ledger.domain import history as rules
from ledger.domain.history import ZERO, Figures
from ledger.gl.books import BalanceRow
from ledger.gl.history import dated_figures, paging, reads
from ledger.gl.history.books import AccountLine, History, LineKey, LinesQuery, RefusalsQuery
from ledger.gl.history.memory import MemoryHistory
from ledger.gl.history.writing import HistoryFold
from ledger.gl.journal import Superseded
from ledger.gl.lookups import RegisterQuery
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.postgresql.history_reads import PostgresHistory
from tests.integration.gl_database import Database
from tests.integration.history_tables import fill
from tests.integration.history_world import ACCOUNTS, DAY, World

pytest_plugins = ["tests.integration.gl_database"]

Opener = Callable[[World], History]
MOST_LINES = "SELECT max(n) FROM ledger_history.lines"
ROWS_READ = """
SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
WHERE schemaname = 'ledger_history'
"""
WAYS = ("mixed", "on time", "one second", "years")


@pytest.fixture(params=["memory", "postgresql"])
def opener(request: pytest.FixtureRequest) -> Iterator[Opener]:
    """Opens the history of a world; the one before it is gone."""
    if request.param == "memory":
        yield in_memory
        return
    database: Database = request.getfixturevalue("database")
    made = PostgresHistory(database.service)

    def opened(world: World) -> History:
        fill(database, world.portions(), world.random)
        return made

    yield opened
    made.close()


def in_memory(world: World) -> MemoryHistory:
    made = MemoryHistory()
    for each in world.portions():
        made.fold([each])
    return made


@pytest.fixture(params=[4, rules.BLOCK], ids=["small blocks", "blocks"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Lines of a block."""
    size: int = request.param
    monkeypatch.setattr(rules, "BLOCK", size)
    return size


def test_nothing_is_known_at_first(opener: Opener) -> None:
    history = opener(World(random.Random(0)))
    assert history.positions() == {}
    assert history.as_of() == ({}, [])
    assert history.as_of(accounts=["assets:cash"], effective_before=0) == ({}, [])
    assert history.as_of(prefix="assets", effective_before=0, recorded_before=0) == ({}, [])
    page = history.lines(LinesQuery("assets:cash"))
    assert page == ({}, [], None, None, None)
    assert history.refusals(RefusalsQuery()) == ({}, [], None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.usefixtures("block")
def test_any_two_times_have_the_plain_sums(
    opener: Opener, way: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(f"{way} {seed}")
    world = World(dice, effective=way)
    world.grow(40)
    history = opener(world)
    instants = [None, *world.instants()]
    for _ in range(25):
        monkeypatch.setattr(reads, "FEW", dice.choice((0, 2, 200)))
        monkeypatch.setattr(dated_figures, "MOST_LINES", dice.choice((3, 200_000)))
        effective, recorded = dice.choice(instants), dice.choice(instants)
        wanted = world.sums(effective, recorded)
        before: dict[str, Any] = {"effective_before": effective, "recorded_before": recorded}
        assert history.as_of(**before) == (world.positions(), wanted)
        named = dice.sample([*ACCOUNTS, "equity:none"], dice.randint(0, 4))
        found = history.as_of(accounts=named, **before)
        assert found == (world.positions(), [row for row in wanted if row.account in named])
        prefix = dice.choice(("assets", "assets:cash", "income", "liabilities:a_", "equity"))
        found = history.as_of(prefix=prefix, **before)
        assert found.rows == [row for row in wanted if is_under(row, prefix)]
        found = history.as_of(prefix=prefix, accounts=named, **before)
        assert found.rows == [
            row for row in wanted if is_under(row, prefix) and row.account in named
        ]


def is_under(row: BalanceRow, prefix: str) -> bool:
    return f"{row.account}:".startswith(f"{prefix}:")


@pytest.mark.parametrize("way", WAYS)
def test_a_busy_account_has_the_plain_sums(database: Database, way: str) -> None:
    """Blocks of two levels as they are."""
    dice = random.Random(way)
    world = World(dice, shards=1, effective=way, accounts=ACCOUNTS[:2], currencies=[("CAD", 2)])
    world.grow(40, most=120)
    fill(database, world.portions(), dice)
    history = PostgresHistory(database.service)
    instants = [None, *world.instants()]
    for _ in range(20):
        effective, recorded = dice.choice(instants), dice.choice(instants)
        found = history.as_of(
            accounts=list(ACCOUNTS), effective_before=effective, recorded_before=recorded
        )
        assert found.rows == world.sums(effective, recorded)
    history.close()
    assert max(row[0] for row in database.run(MOST_LINES)) > 8 * rules.BLOCK


def test_a_late_entry_changes_what_it_must_and_nothing_else(opener: Opener) -> None:
    dice = random.Random(5)
    world = World(dice, shards=1, effective="on time")
    world.grow(30)
    known, last = list(world.lines), world.clock
    instants = dice.sample([time for time in world.instants() if time <= last], 15)
    believed = {time: world.sums(time, last + 1) for time in instants}
    world.effective = "years"
    world.clock += DAY
    world.grow(1, most=3)
    late = [line for line in world.lines if line not in known]
    history = opener(world)
    for time in instants:
        found = history.as_of(effective_before=time, recorded_before=last + 1)
        assert found.rows == believed[time]
        now = history.as_of(effective_before=time).rows
        assert (now == believed[time]) == (not any(line.effective_at < time for line in late))


def expected_lines(world: World, account: str, currency: str | None) -> list[AccountLine]:
    running: dict[str, Figures] = {}
    found = []
    others: dict[tuple[int, int], set[str]] = {}
    for each in world.lines:
        others.setdefault((each.shard, each.offset), set()).add(each.account)
    for each in sorted(world.lines):
        if each.account != account or currency not in (None, each.currency):
            continue
        signed = each.change * each.amount
        sides = (signed, 0) if each.amount > 0 else (0, -signed)
        before = running.get(each.currency, ZERO)
        after = Figures(*map(int.__add__, before, (*sides, each.change)))
        running[each.currency] = after
        other_side = {
            other.account
            for other in world.lines
            if other[1:3] == each[1:3] and (other.amount < 0) != (each.amount < 0)
        }
        texts = sorted(others[each.shard, each.offset] - {account}), sorted(other_side)
        found.append((each, after, texts))
    return [
        AccountLine(
            LineKey(*line[:4]), account, line.currency, line.scale, line.effective_at, line.amount,
            line.change, *after, line.transaction_id, line.kind, "", "", "", *accounts,
        )
        for line, after, accounts in found
    ]  # fmt: skip


def without_texts(line: AccountLine) -> AccountLine:
    """Without those that a world does not keep."""
    return line._replace(description="", reverses="", metadata="")


class Ledger:
    """A world whose runs are in a journal as well."""

    def __init__(self, world: World, history: History) -> None:
        self.world, self.history = world, history


@pytest.fixture
def ledger(opener: Opener, request: pytest.FixtureRequest) -> Ledger:
    """Busy enough for several pages."""
    world = World(random.Random(11))
    world.grow(80)
    history = opener(world)
    if isinstance(history, PostgresHistory):
        journal = PostgresJournal(request.getfixturevalue("database").service)
        world.post(journal)
        journal.close()
    return Ledger(world, history)


@pytest.mark.parametrize("currency", [None, "CAD"])
@pytest.mark.parametrize("limit", [1, 7, 1_000])
def test_pages_forwards_and_back_are_the_lines_in_order(
    ledger: Ledger, limit: int, currency: str | None
) -> None:
    wanted = expected_lines(ledger.world, "assets:cash", currency)
    read = ledger.history.lines
    assert len(wanted) > 20
    found: list[AccountLine] = []
    page = read(LinesQuery("assets:cash", currency, limit=limit))
    assert page.positions == ledger.world.positions()
    assert page.previous is None
    found += page.lines
    while page.next is not None:
        assert page.searched_to is None
        page = read(LinesQuery("assets:cash", currency, limit=limit, after=page.next))
        found += page.lines
    assert list(map(without_texts, found)) == wanted
    back: list[AccountLine] = []
    page = read(LinesQuery("assets:cash", currency, limit=limit, before=paging.LAST))
    back = page.lines + back
    while page.previous is not None:
        page = read(LinesQuery("assets:cash", currency, limit=limit, before=page.previous))
        assert page.next is not None
        back = page.lines + back
    assert back == found


def test_the_page_beside_a_page_is_the_one_that_it_came_from(ledger: Ledger) -> None:
    read = ledger.history.lines
    first = read(LinesQuery("assets:cash", limit=5))
    second = read(LinesQuery("assets:cash", limit=5, after=first.next))
    assert read(LinesQuery("assets:cash", limit=5, before=second.previous)).lines == first.lines
    last = read(LinesQuery("assets:cash", limit=5, before=paging.LAST))
    beyond = read(LinesQuery("assets:cash", limit=5, after=last.lines[-1].key))
    assert (beyond.lines, beyond.next) == ([], None)
    assert read(LinesQuery("assets:cash", limit=5, before=beyond.previous)).lines == last.lines


FILTERS = (
    {"kind": "fee"},
    {"kind": "ledger.void"},
    {"min_amount": 7, "max_amount": 250},
    {"counterpart": "income:fees"},
    {"metadata": ("producer", "core")},
    {"kind": "deposit", "min_amount": 2, "counterpart": "assets:cashier"},
)


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_a_filter_leaves_lines_out_and_changes_no_running_total(
    ledger: Ledger, filters: dict[str, object]
) -> None:
    read = ledger.history.lines
    everything = read(LinesQuery("assets:cash", limit=1_000)).lines
    wanted = [line for line in everything if matches(line, filters)]
    assert wanted
    found: list[AccountLine] = []
    page = read(LinesQuery("assets:cash", limit=3, **filters))  # type: ignore[arg-type]
    found += page.lines
    while page.next is not None:
        page = read(LinesQuery("assets:cash", limit=3, after=page.next, **filters))  # type: ignore[arg-type]
        found += page.lines
    assert found == wanted


def matches(line: AccountLine, filters: dict[str, object]) -> bool:
    found = {
        "kind": line.kind == filters.get("kind"),
        "min_amount": abs(line.amount) >= filters.get("min_amount", 0),  # type: ignore[operator]
        "max_amount": abs(line.amount) <= filters.get("max_amount", 2**64),  # type: ignore[operator]
        "counterpart": filters.get("counterpart") in line.counterparts,
        "metadata": '"producer":"core"' in line.metadata,
    }
    return all(found[name] for name in filters)


def test_times_bound_the_lines_on_both_axes(ledger: Ledger) -> None:
    read = ledger.history.lines
    everything = read(LinesQuery("assets:cash", limit=1_000)).lines
    dice = random.Random(3)
    instants = ledger.world.instants()
    for _ in range(30):
        from_, before, low, high = (dice.choice(instants) for _ in range(4))
        found = read(
            LinesQuery("assets:cash", effective_from=from_, effective_before=before,
                       recorded_from=low, recorded_before=high, limit=1_000)
        )  # fmt: skip
        assert found.lines == [
            line
            for line in everything
            if from_ <= line.effective_at < before and low <= line.key.recorded_at < high
        ]


def test_a_search_ends_after_so_many_lines_and_goes_on_from_there(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ledger.history.lines
    everything = read(LinesQuery("assets:cash", limit=1_000)).lines
    wanted = [line for line in everything if line.kind == "fee"]
    monkeypatch.setattr(paging, "LOOKED_AT", 10)
    monkeypatch.setattr(paging, "AT_ONCE", 4)
    found: list[AccountLine] = []
    page = read(LinesQuery("assets:cash", kind="fee"))
    assert page.searched_to == page.next == everything[9].key
    found += page.lines
    while page.next is not None:
        page = read(LinesQuery("assets:cash", kind="fee", after=page.next))
        found += page.lines
    assert found == wanted
    page = read(LinesQuery("assets:cash", kind="fee", before=paging.LAST))
    assert page.searched_to == page.previous == everything[-10].key


def test_pages_are_stable_under_new_lines(opener: Opener) -> None:
    world = World(random.Random(2), shards=2)
    world.grow(40)
    history = opener(world)
    first = history.lines(LinesQuery("assets:cash", limit=9))
    before = history.lines(LinesQuery("assets:cash", limit=1_000)).lines
    world.grow(30)
    history = opener(world)
    after = history.lines(LinesQuery("assets:cash", limit=1_000)).lines
    assert [without_texts(line)[:10] for line in after[: len(before)]] == [
        without_texts(line)[:10] for line in before
    ]
    page = history.lines(LinesQuery("assets:cash", limit=9, after=first.next))
    assert [line.key for line in page.lines] == [line.key for line in after[9:18]]


def test_a_register_is_that_of_the_journal(database: Database) -> None:
    world = World(random.Random(6), voids=False)
    world.grow(60)
    fill(database, world.portions(), world.random)
    journal = PostgresJournal(database.service)
    world.post(journal)
    made, twin = PostgresHistory(database.service), in_memory(world)
    dice = random.Random(7)
    instants = world.instants()
    asked: list[RegisterQuery] = [{"by": "recorded"}]
    for _ in range(12):
        asked.append({"by": "recorded", "limit": dice.choice((None, 3, 50)),
                      "currency": dice.choice((None, "CAD")),
                      "start": dice.choice((None, *instants)),
                      "end": dice.choice((None, *instants))})  # fmt: skip
    for query in asked:
        account = dice.choice(ACCOUNTS)
        wanted = journal.register(account, **query)
        for history in (made, twin):
            found = history.register(account, **query)
            assert found is not None
            assert found.lines == [line._replace(others=list(line.others)) for line in wanted.lines]
            assert found.closing == wanted.closing
            assert list(found.running()) == list(wanted.running())
    assert made.register("assets:cash") is None
    journal.close()
    made.close()


def test_a_register_without_what_is_void_is_the_journals_alone(ledger: Ledger) -> None:
    assert ledger.history.register("assets:cash", by="recorded") is None


@pytest.mark.parametrize(
    "asked",
    [{}, {"code": "DUPLICATE_ID"}, {"transaction_id": "r-3"}, {"producer": "core"}],
    ids=str,
)
def test_refusals_are_found_the_latest_first(opener: Opener, asked: dict[str, str]) -> None:
    world = World(random.Random(9))
    world.grow(60)
    history = opener(world)
    everything = history.refusals(RefusalsQuery(limit=1_000)).refusals
    keys = [(each.recorded_at, shard, each.offset) for shard, each in world.refused]
    assert [each[:3] for each in everything] == sorted(keys, reverse=True)
    wanted = [each for each in everything if all(getattr(each, name) == value
              for name, value in asked.items())]  # fmt: skip
    found = []
    page = history.refusals(RefusalsQuery(limit=2, **asked))  # type: ignore[arg-type]
    found += page.refusals
    while page.next is not None:
        page = history.refusals(RefusalsQuery(limit=2, after=page.next, **asked))  # type: ignore[arg-type]
        found += page.refusals
    assert found == wanted


def test_statements_are_few_whatever_is_asked(database: Database) -> None:
    world = World(random.Random(1), shards=4, effective="mixed")
    world.grow(200, most=30)
    fill(database, world.portions(), random.Random(2))
    history = PostgresHistory(database.service)
    statements: list[str] = []
    event.listen(history._read, "before_cursor_execute", lambda *given: statements.append(given[2]))
    history.positions()
    times = {"effective_before": world.clock, "recorded_before": world.clock - DAY}
    for asked, most in (
        ({}, 3),
        ({"accounts": ["assets:cash"]}, 3),
        ({"accounts": ["assets:cash"], **times}, 9),
        ({"prefix": "assets", **times}, 10),
        ({"effective_before": world.clock}, 5),
        (times, len(rules.ALL_LEVELS) + 7),
    ):
        statements.clear()
        history.as_of(**asked)  # type: ignore[arg-type]
        assert len([each for each in statements if each != "SELECT 1"]) <= most, asked
    statements.clear()
    history.lines(LinesQuery("assets:cash", limit=500))
    assert len(statements) <= 7
    history.close()


@pytest.mark.parametrize("way", WAYS)
def test_no_answer_reads_the_whole_life_of_an_account(database: Database, way: str) -> None:
    world = World(random.Random(way), shards=1, effective=way, accounts=ACCOUNTS[:2],
                  currencies=[("CAD", 2)])  # fmt: skip
    world.grow(60, most=120)
    fill(database, world.portions(), world.random, share=1.0)
    database.run("ANALYZE ledger_history.lines")
    history = PostgresHistory(database.service)
    [(whole,)] = database.run(MOST_LINES)
    middle = sorted(line.recorded_at for line in world.lines)[len(world.lines) // 2]
    dice = random.Random(1)
    for _ in range(5):
        effective, recorded = dice.choice(world.instants()), dice.choice(world.instants())
        for times in ((effective, None), (None, recorded), (effective, recorded)):
            read = rows_read(history, lambda made, t=times: made.balances("assets:cash", *t))
            assert read["lines"] <= rules.BLOCK + 2
            # Of each block a piece, and whether there is one.
            assert read.get("blocks", 0) <= 2 * 7 * 4
        key = LineKey(middle, 0, 0, 0)
        for page in ({"after": key}, {"before": key}):
            query = LinesQuery("assets:cash", limit=50, **page)  # type: ignore[arg-type]
            read = rows_read(history, lambda made, q=query: made.page(q))
            assert read["lines"] <= 2 * 51 + ties(world, middle)
    assert whole > 10 * rules.BLOCK
    history.close()


def ties(world: World, recorded_at: int) -> int:
    """Lines that were recorded at the very time of the page's border."""
    return sum(line.recorded_at == recorded_at for line in world.lines)


def rows_read(
    history: PostgresHistory, ask: Callable[[reads.SqlReading], object]
) -> dict[str, int]:
    """By table, rows that were fetched for an answer, by an index or without."""
    with history._read.connect() as connection:
        before = dict(connection.execute(text(ROWS_READ)).tuples().all())
        ask(reads.SqlReading(connection))
        after = dict(connection.execute(text(ROWS_READ)).tuples().all())
    return {table: count - before.get(table, 0) for table, count in after.items()}


def test_folds_of_a_twin_follow_each_other() -> None:
    world = World(random.Random(4), shards=1)
    world.grow(3)
    made = MemoryHistory()
    [whole] = world.folds()
    made.fold([whole])
    with pytest.raises(Superseded, match="History of shard 0 is not at decision offset 0"):
        made.fold([HistoryFold(0, whole.before, whole.runs)])
    assert made.tidy([0], idle=True) is False

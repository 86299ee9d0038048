"""What every history answers, whatever keeps it: the plain sums of a ledger's lines, to the unit."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, text

from ledger.domain import history as rules
from ledger.gl.books import BalanceRow
from ledger.gl.history import dated_figures, reads
from ledger.gl.history.books import LineKey, LinesQuery, RefusalsQuery
from ledger.gl.history.memory import MemoryHistory
from ledger.gl.history.writing import HistoryFold
from ledger.gl.journal import Superseded
from ledger.gl.postgresql.history_reads import PostgresHistory
from tests.integration.gl_database import Database
from tests.integration.history_openers import Opener, ledger, opener
from tests.integration.history_tables import fill
from tests.integration.history_world import ACCOUNTS, DAY, World

pytest_plugins = ["tests.integration.gl_database"]
__all__ = ["ledger", "opener"]

MOST_LINES = "SELECT max(n) FROM ledger_history.lines"
ROWS_READ = """
SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
WHERE schemaname = 'ledger_history'
"""
WAYS = ("mixed", "on time", "one second", "years")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of many levels in few lines."""
    monkeypatch.setattr(rules, "BLOCK", 4)


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
@pytest.mark.usefixtures("small_blocks")
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
        before = dict(connection.execute(text(ROWS_READ)).all())
        ask(reads.SqlReading(connection))
        after = dict(connection.execute(text(ROWS_READ)).all())
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

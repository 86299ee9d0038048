"""Pages of an account's lines, registers and refusals, whatever keeps history."""

import random
from dataclasses import replace

import pytest

from ledger.domain.history import ZERO, Figures
from ledger.gl.history import paging
from ledger.gl.history.books import AccountLine, LineKey, LinesQuery, RefusalsQuery
from ledger.gl.lookups import RegisterQuery
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.postgresql.history_reads import PostgresHistory
from tests.integration.gl_database import Database
from tests.integration.history_openers import Ledger, Opener, in_memory, ledger, opener
from tests.integration.history_tables import fill
from tests.integration.history_world import ACCOUNTS, World

pytest_plugins = ["tests.integration.gl_database"]
__all__ = ["ledger", "opener"]


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
    end = sorted(each.offset for each in everything)[-2]
    for shard in range(world.shards):
        part = sorted(each for each in everything if each.shard == shard and 2 <= each.offset < end)
        between = history.refusals_between(shard, 2, end)
        assert between == (world.positions(), part, None)
    wanted = [each for each in everything if all(getattr(each, name) == value
              for name, value in asked.items())]  # fmt: skip
    found = []
    page = history.refusals(RefusalsQuery(limit=2, **asked))  # type: ignore[arg-type]
    found += page.refusals
    while page.next is not None:
        page = history.refusals(RefusalsQuery(limit=2, after=page.next, **asked))  # type: ignore[arg-type]
        found += page.refusals
    assert found == wanted


def test_refusals_of_a_time_are_those_recorded_in_it(opener: Opener) -> None:
    world = World(random.Random(9))
    world.grow(60)
    history = opener(world)
    everything = history.refusals(RefusalsQuery(limit=1_000)).refusals
    start, end = everything[-len(everything) // 4].recorded_at, everything[1].recorded_at
    assert start < end
    for query, wanted in (
        (RefusalsQuery(recorded_from=start), [e for e in everything if e.recorded_at >= start]),
        (RefusalsQuery(recorded_before=end), [e for e in everything if e.recorded_at < end]),
        (
            RefusalsQuery(recorded_from=start, recorded_before=end, code=everything[2].code),
            [e for e in everything
             if start <= e.recorded_at < end and e.code == everything[2].code],
        ),
    ):  # fmt: skip
        assert history.refusals(replace(query, limit=1_000)).refusals == wanted

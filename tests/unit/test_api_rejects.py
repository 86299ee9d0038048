"""Refusals over the API: the newest first from history, the oldest first from their topic."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.api.cursors import Cursors
from ledger.api.positions import Position, positions_of, token_of
from ledger.api.problems import Problem
from ledger.api.services.after import After
from ledger.api.services.balance_json import Completeness
from ledger.api.services.past_answers import PastAnswers
from ledger.api.services.refused import RefusedIds
from ledger.api.services.rejects import RejectsQuery, RejectsService
from ledger.api.services.wanted import Wanted
from ledger.client.logged_transactions import GAP, LoggedTransactions, LogPlace, spans
from ledger.client.reject_pages import Place, RejectPage, RejectPages
from ledger.client.rejects import Rejected, Selection
from ledger.domain.refusal import Refused
from ledger.domain.transaction import Draft
from tests.builders import CASH, DEPOSIT, draft, wire
from tests.integration.gl_history import folded
from tests.unit.api_ledger import READER, ApiLedger
from tests.unit.test_api_writes import on_ledger
from tests.wire import present

AT = present()
TILL = "assets:till"


class MemoryLog(LoggedTransactions):
    """The log of the one shard; some of it is deleted."""

    def __init__(self, ledger: ApiLedger) -> None:
        self._ledger = ledger
        self.deleted: set[int] = set()

    async def at(self, places: Iterable[LogPlace]) -> Mapping[LogPlace, Draft | None]:
        sent = self._ledger.shard.sent
        found = ((each, READER.decode(sent[each.offset][1])) for each in places
                 if each.offset not in self.deleted)  # fmt: skip
        return {place: None if isinstance(each, Refused) else each for place, each in found}


class MemoryTopic(RejectPages):
    """The topic of refusals: a page has one row."""

    def __init__(self, ledger: ApiLedger) -> None:
        self._ledger = ledger

    async def page(
        self, wanted: Selection, places: Mapping[int, Place] | None, limit: int
    ) -> RejectPage:
        shard, rows = self._ledger.shard, []
        for offset, refusal in sorted(shard.refused.items()):
            found = READER.decode(shard.sent[offset][1])
            row = {name: getattr(refusal, name) for name in ("offset", "recorded_at", "transaction_id",
                   "code", "field", "reason")} | {"shard": 0}  # fmt: skip
            rows.append(Rejected(row, None if isinstance(found, Refused) else found))
        start = places[0].offset if places else 0
        following = {0: Place(start + 1)} if start + 1 < len(rows) else None
        return RejectPage(rows[start : start + 1], following)


class Refusals:
    """A ledger whose log has refused records, and what lists them."""

    def __init__(self, ledger: ApiLedger, *, history: bool = True) -> None:
        self.ledger, self.log = ledger, MemoryLog(ledger)
        self.producers: dict[int, str] = {}
        signer, view = ledger.signer, ledger.view
        refused = RefusedIds(ledger.flow, ledger.history)
        after = After(view, signer, ledger.flow, ledger.database, ledger.drafts, refused)  # type: ignore[arg-type]
        past = PastAnswers(ledger.history, Completeness(view, signer), after)  # type: ignore[arg-type]
        self.service = RejectsService(
            MemoryTopic(ledger), self.log, past if history else None,
            cursors=Cursors(signer), signer=signer,
        )  # fmt: skip

    def refuse(self, name: str, producer: str = "", **changes: Any) -> int:
        """Append a record that is refused; its offset. UNKNOWN_CURRENCY, if `changes` has no other."""
        metadata = {"producer": producer} if producer else {}
        given = {"currency": "XXZ", "metadata": metadata, "at": AT} | changes
        offset = self.ledger.shard.append(name.encode(), wire(draft(name, **given)))
        assert offset in self.ledger.shard.refused
        self.producers[offset] = producer
        return offset

    def fold(self) -> None:
        """History takes what was decided since, with the producers of what was refused."""
        runs, self.ledger.shard.unfolded = self.ledger.shard.unfolded, []
        self.ledger.kept.fold([folded(runs)._replace(producers=self.producers)])

    async def page(
        self,
        *,
        order: Any = None,
        cursor: str | None = None,
        limit: int = 100,
        wanted: Wanted = Wanted(),  # noqa: B008 - it is frozen
        **chosen: Any,
    ) -> dict[str, Any]:
        names = {name: frozenset([value]) for name, value in chosen.items()
                 if name in ("codes", "ids", "producers", "accounts")}  # fmt: skip
        query = RejectsQuery(Selection(**chosen | names), order, cursor, limit)
        return await self.service.page(query, wanted)

    async def ids(self, **asked: Any) -> list[str]:
        return ids(await self.page(**asked))


def ids(page: dict[str, Any]) -> list[str]:
    return [each["transaction_id"] for each in page["rejects"]]


async def problem_of(refusals: Refusals, **asked: Any) -> tuple[str, str | None]:
    with pytest.raises(Problem) as raised:
        await refusals.page(**asked)
    return raised.value.code, raised.value.field or None


@on_ledger
async def test_the_newest_come_first_and_pages_stay_when_more_is_refused(ledger: ApiLedger) -> None:
    refusals = Refusals(ledger)
    for name in "abcde":
        refusals.refuse(name)
    refusals.fold()
    first = await refusals.page(limit=2)
    assert (ids(first), first["order"]) == (["e", "d"], "desc")
    assert first["complete_to"] == {"0": 5}
    assert positions_of(ledger.signer, first["token"]) == {0: 4}
    refusals.refuse("f")
    assert await refusals.ids(limit=1) == ["e"], "as far as history is"
    refusals.fold()
    second = await refusals.page(limit=2, cursor=first["next"])
    third = await refusals.page(limit=2, cursor=second["next"])
    assert (ids(second), ids(third), third["next"]) == (["c", "b"], ["a"], None)
    assert await refusals.ids(limit=1) == ["f"]
    other = await problem_of(refusals, cursor=first["next"], codes="UNKNOWN_CURRENCY")
    assert other == ("CURSOR_INVALID", "cursor")
    assert (await problem_of(refusals, cursor=first["next"], order="asc"))[0] == "CURSOR_INVALID"


@on_ledger
async def test_a_row_has_its_transaction_where_the_log_has_it(ledger: ApiLedger) -> None:
    refusals = Refusals(ledger)
    offset = refusals.refuse("a", "erp")
    refusals.fold()
    [row] = (await refusals.page())["rejects"]
    assert (row["code"], row["field"]) == ("UNKNOWN_CURRENCY", "entries[0].currency")
    assert (row["shard"], row["offset"]) == (0, offset)
    assert positions_of(ledger.signer, row["token"]) == {0: offset}
    assert row["transaction"]["metadata"] == {"producer": "erp"}
    [from_topic] = (await refusals.page(order="asc"))["rejects"]
    assert from_topic == row
    refusals.log.deleted.add(offset)
    [kept] = (await refusals.page(producers="erp"))["rejects"]
    assert kept == row | {"transaction": None}
    assert await refusals.ids(accounts=CASH) == [], "what it touched is not known any more"


@on_ledger
async def test_each_filter_leaves_out_the_rest(ledger: ApiLedger) -> None:
    refusals = Refusals(ledger)
    refusals.refuse("a", "erp")
    refusals.refuse("b", "pay", currency="CAD", entries=[])
    refusals.refuse("c", "erp", debit=TILL)
    refusals.refuse("d", "x" * 200)
    refusals.refuse("e", "x" * 128)
    refusals.fold()
    recorded = {each.transaction_id: each.recorded_at for each in ledger.shard.refused.values()}
    assert await refusals.ids(codes="TOO_FEW_ENTRIES") == ["b"]
    assert await refusals.ids(producers="erp") == ["c", "a"]
    assert await refusals.ids(producers="erp", codes="TOO_FEW_ENTRIES") == []
    assert await refusals.ids(ids="a") == ["a"]
    assert await refusals.ids(accounts="assets:till") == ["c"]
    assert await refusals.ids(accounts=DEPOSIT) == ["e", "d", "c", "a"]
    assert await refusals.ids(start=recorded["d"]) == [
        each for each in "edcba" if recorded[each] >= recorded["d"]
    ]
    assert await refusals.ids(end=recorded["d"]) == [
        each for each in "edcba" if recorded[each] < recorded["d"]
    ]


@on_ledger
async def test_a_name_that_history_cuts_is_compared_whole(ledger: ApiLedger) -> None:
    refusals = Refusals(ledger)
    offset = refusals.refuse("long", "x" * 200)
    refusals.refuse("short", "x" * 128)
    refusals.producers[offset] = "x" * 128
    refusals.fold()
    assert await refusals.ids(producers="x" * 200) == ["long"]
    assert await refusals.ids(producers="x" * 128) == ["short"]


@on_ledger
async def test_it_waits_until_history_has_what_was_refused(ledger: ApiLedger) -> None:
    refusals = Refusals(ledger)
    refusals.refuse("a")
    refusals.fold()
    offset = refusals.refuse("b")
    wanted = Wanted(after=token_of(ledger.signer, [Position(0, offset)]), seconds=20)
    waiting = asyncio.create_task(refusals.ids(wanted=wanted))
    await asyncio.sleep(0)
    refusals.fold()
    assert await waiting == ["b", "a"]
    late = Wanted(after=token_of(ledger.signer, [Position(0, offset + 1)]), seconds=0)
    assert (await problem_of(refusals, wanted=late))[0] == "NOT_YET"
    assert await problem_of(refusals, wanted=wanted, order="asc") == ("INVALID_PARAMETER", "after")


@on_ledger
async def test_without_history_or_its_database_the_topic_answers(ledger: ApiLedger) -> None:
    off = Refusals(ledger, history=False)
    for name in "ab":
        off.refuse(name)
    first = await off.page()
    assert (ids(first), first["order"]) == (["a"], "asc")
    assert (first["token"], first["complete_to"]) == (None, None)
    assert await off.ids(cursor=first["next"]) == ["b"]
    assert await problem_of(off, order="desc") == ("INVALID_PARAMETER", "order")
    on = Refusals(ledger)
    ledger.database_away()
    assert (await problem_of(on))[0] == "DATABASE_UNAVAILABLE"
    assert await on.ids(order="asc", cursor=first["next"]) == ["b"]


@given(st.sets(st.integers(0, 20 * GAP)), st.integers(0, 10 * GAP), st.integers(0, 20 * GAP))
def test_spans_have_each_offset_once_and_no_long_gap(
    offsets: set[int], first: int, end: int
) -> None:
    made = list(spans(list(offsets), first, end))
    held = sorted(each for each in offsets if first <= each < end)
    assert [each for start, until in made for each in held if start <= each < until] == held
    for start, until in made:
        inside = [each for each in held if start <= each < until]
        assert (inside[0], inside[-1]) == (start, until - 1)
        assert all(later - each <= GAP for each, later in zip(inside, inside[1:], strict=False))
    for (_, until), (start, _) in zip(made, made[1:], strict=False):
        assert start - (until - 1) > GAP

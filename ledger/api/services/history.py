"""The ledger at a point in time: an account's lines and the trial balance, from history."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ledger.api.cursors import Cursors
from ledger.api.database import Database
from ledger.api.problems import Problem
from ledger.api.services.instants import Instants
from ledger.client.drafts import rfc3339
from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.domain.run import Watermark
from ledger.gl.account_rows import Sums, of_row, rolled_up, totals
from ledger.gl.history.books import AccountLine, History, LineKey, LinesPage, LinesQuery

LOOK_SECONDS = 0.05
"""Between two looks at how far history is, while somebody waits for it."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class After:
    """An answer must count these positions, by shard; it waits for at most `seconds`."""

    positions: Mapping[int, int]
    seconds: float


@dataclass(frozen=True, slots=True)
class TrialQuery:
    """Which rows of a trial balance: `depth` segments of an account's path, or all of it."""

    instants: Instants
    currencies: Sequence[str] = ()
    depth: int | None = None
    no_zero: bool = False


class HistoryService:
    """Asks history; every answer names the positions that it counts."""

    def __init__(self, history: Database[History], cursors: Cursors) -> None:
        self._history, self._cursors = history, cursors

    async def lines(
        self, query: LinesQuery, key: dict[str, Any], cursor: str | None, after: After | None
    ) -> dict[str, Any]:
        """A page of an account's lines; `key` is what its cursors are good for."""
        if cursor is not None:
            side, *place = self._cursors.read(key, cursor)
            query = _turned(query, side, LineKey(*map(int, place)))
        found = await self._once(lambda history: history.lines(query), after, _positions_of)
        return {
            "account": query.account,
            "lines": [_line(each) for each in found.lines],
            "next": self._cursor(key, "after", found.next),
            "previous": self._cursor(key, "before", found.previous),
            "searched_to": None
            if found.searched_to is None
            else rfc3339(found.searched_to.recorded_at),
        } | complete_to(found.positions)

    async def trial_balance(
        self, query: TrialQuery, place: Sequence[str], limit: int, after: After | None
    ) -> tuple[dict[str, Any], Sequence[str] | None]:
        """The accounts after `place`, `limit` of them, and the totals of all; and the next place.

        A place is an account and a currency; none at the beginning and at the end.
        """
        before = query.instants._asdict()
        found = await self._once(lambda history: history.as_of(**before), after, _marks_of)
        return await asyncio.to_thread(_trial, query, found, place, limit)

    async def _once(
        self,
        question: Callable[[History], T],
        after: After | None,
        positions: Callable[[T], Mapping[int, Watermark]],
    ) -> T:
        """The answer once it counts what it must. Raises Problem 504 if that takes too long."""
        if after is not None:
            await self._wait(after)
        found = await self._history.ask(question)
        if after is not None and (missing := _missing(after, positions(found))):
            # Dropped and made again meanwhile.
            raise _not_yet(after, missing, positions(found))
        return found

    async def _wait(self, after: After) -> None:
        # The database announces nothing, so it is asked how far it is.
        until = time.monotonic() + after.seconds
        while True:
            marks = await self._history.ask(lambda history: history.positions())
            missing = _missing(after, marks)
            if not missing:
                return
            if time.monotonic() >= until:
                raise _not_yet(after, missing, marks)
            await asyncio.sleep(LOOK_SECONDS)

    def _cursor(self, key: dict[str, Any], side: str, place: LineKey | None) -> str | None:
        return None if place is None else self._cursors.write(key, [side, *place])


def complete_to(marks: Mapping[int, Watermark]) -> dict[str, Any]:
    """The members of an answer that say what it counts: every transaction before `complete_to`."""
    return {"complete_to": {str(shard): mark.end for shard, mark in sorted(marks.items())}}


def _positions_of(page: LinesPage) -> Mapping[int, Watermark]:
    return page.positions


def _marks_of(found: Any) -> Mapping[int, Watermark]:
    marks: Mapping[int, Watermark] = found.positions
    return marks


def _missing(after: After, marks: Mapping[int, Watermark]) -> list[int]:
    return [
        shard
        for shard, offset in sorted(after.positions.items())
        if marks.get(shard, Watermark()).end <= offset
    ]


def _not_yet(after: After, missing: list[int], marks: Mapping[int, Watermark]) -> Problem:
    shard = missing[0]
    return Problem(
        "NOT_YET",
        f"History counts shard {shard} up to position {marks.get(shard, Watermark()).end}, and "
        f"{after.positions[shard] + 1} was asked for. It runs behind the balances; ask again, or "
        "give a longer timeout.",
        field="after",
        **complete_to(marks),
    )


def _turned(query: LinesQuery, side: str, place: LineKey) -> LinesQuery:
    return replace(query, after=place) if side == "after" else replace(query, before=place)


def _line(line: AccountLine) -> dict[str, Any]:
    net = line.debits - line.credits
    # What a void takes back stands on its own side, below zero.
    shown = money.show(abs(line.amount) * line.change, line.scale)
    is_debit = line.amount > 0
    return {
        "recorded_at": rfc3339(line.key.recorded_at),
        "effective_at": rfc3339(line.effective_at),
        "transaction_id": line.transaction_id,
        "kind": line.kind,
        "description": line.description or None,
        "currency": line.currency,
        "debit": shown if is_debit else None,
        "credit": None if is_debit else shown,
        "takes_back": line.change < 0,
        "balance": money.show(on_normal_side(line.account, debits=net, credits=0), line.scale),
        "debits": money.show(line.debits, line.scale),
        "credits": money.show(line.credits, line.scale),
        "entries": line.entries,
        "reverses": line.reverses or None,
        "metadata": json.loads(line.metadata or "{}"),
        "counterparts": list(line.counterparts),
        "shard": line.key.shard,
        "offset": line.key.offset,
        "entry": line.key.entry,
    }


def _trial(
    query: TrialQuery, found: Any, place: Sequence[str], limit: int
) -> tuple[dict[str, Any], Sequence[str] | None]:
    rows: list[Sums] = [
        of_row(row)
        for row in found.rows
        if not query.currencies or row.currency in query.currencies
    ]
    if query.depth is not None:
        rows = rolled_up(rows, query.depth)
    sums = totals(rows)
    shown = [row for row in rows if not (query.no_zero and row.is_zero)]
    if place:
        shown = [row for row in shown if (row.account, row.currency) > tuple(place)]
    page = shown[:limit]
    answer = {
        **query.instants.fields(),
        "balanced": all(each.debits == each.credits for each in sums if each.type is None),
        "totals": [each.fields() for each in sums],
        "accounts": [row.fields() | row.net_fields() for row in page],
    } | complete_to(found.positions)
    following = (page[-1].account, page[-1].currency) if len(shown) > limit else None
    return answer, following

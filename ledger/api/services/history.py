"""The ledger at a point in time: an account's lines and the trial balance, from history."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ledger.api.cursors import Cursors
from ledger.api.problems import Problem
from ledger.api.reference import ApiReference
from ledger.api.services.past_answers import PastAnswers, times_of
from ledger.api.services.redaction import has_metadata, is_redacted, metadata_of, shown_line
from ledger.api.services.wanted import Moment, Wanted
from ledger.client.drafts import rfc3339
from ledger.domain import money
from ledger.domain.access import Permission
from ledger.domain.account import on_normal_side
from ledger.gl.account_rows import Sums, of_row, rolled_up, totals
from ledger.gl.history.books import AccountLine, HistoryBalances, LineKey, LinesQuery
from ledger.gl.history.paging import LAST

PAGING = {"after", "before", "limit"}
"""Fields of a query that are another page of the same list."""


@dataclass(frozen=True, slots=True)
class TrialQuery:
    """Which rows of a trial balance: `depth` segments of an account's path, or all of it."""

    currencies: Sequence[str] = ()
    depth: int | None = None
    no_zero: bool = False


class HistoryService:
    """Asks history; each answer names the positions that it counts. Raises as `PastAnswers`."""

    def __init__(self, past: PastAnswers, cursors: Cursors, reference: ApiReference) -> None:
        self._past, self._cursors, self._reference = past, cursors, reference

    def scale(self, currency: str) -> int:
        """The decimals of a currency. Raises Problem for one that the ledger does not have."""
        scale = self._reference.known.scales.get(currency)
        if scale is None:
            raise Problem(
                "NOT_FOUND", f"The ledger has no currency {currency}; /v1/assets has all.",
                field="currency",
            )  # fmt: skip
        return scale

    async def lines(
        self,
        query: LinesQuery,
        cursor: str | None,
        wanted: Wanted,
        order: Literal["asc", "desc"] = "asc",
    ) -> dict[str, Any]:
        """A page of an account's lines; `desc`: the newest first."""
        asked = {name: getattr(query, name) for name in query.__slots__}
        key = {"list": "lines", "order": order}
        key |= {name: asked[name] for name in asked.keys() - PAGING}
        if cursor is not None:
            side, *place = self._cursors.read(key, cursor)
            query = _turned(query, side, LineKey(*map(int, place)))
        elif order == "desc":
            query = replace(query, before=LAST)
        permission, filtered = wanted.permission, query.metadata
        if permission.is_restricted:
            # The cursors of a filter would tell of what is not shown.
            query = replace(query, metadata=None)
        found = await self._past.ask(wanted, lambda history: history.lines(query))
        at, lines = found.searched_to, found.lines
        if filtered is not None and permission.is_restricted:
            seen = (each for each in lines if not is_redacted(each, permission))
            lines = [each for each in seen if has_metadata(each, *filtered)]
        earlier = self._cursor(key, "before", found.previous)
        later = self._cursor(key, "after", found.next)
        if order == "asc":
            following, previous = later, earlier
        else:
            # Before the first page there is nothing, as after the last one.
            following, previous = earlier, None if cursor is None else later
        return {
            "account": query.account,
            "lines": [_line(each, permission) for each in lines[:: 1 if order == "asc" else -1]],
            "next": following,
            "previous": previous,
            "searched_to": None if at is None else rfc3339(at.recorded_at),
        } | self._past.counted(found)

    def _cursor(self, key: dict[str, Any], side: str, place: LineKey | None) -> str | None:
        return None if place is None else self._cursors.write(key, [side, *place])

    async def trial_balance(
        self, query: TrialQuery, cursor: str | None, limit: int, wanted: Wanted
    ) -> dict[str, Any]:
        """A page of the accounts, `limit` of them, and the totals of all."""
        key = {"list": "trial-balance", "query": query, "moment": wanted.moment}
        place = () if cursor is None else tuple(map(str, self._cursors.read(key, cursor)))
        before = (wanted.moment or Moment())._asdict()
        found = await self._past.ask(wanted, lambda history: history.as_of(**before))
        answer, last = await asyncio.to_thread(_trial, query, found, place, limit)
        following = None if last is None else self._cursors.write(key, last)
        return times_of(wanted.moment) | answer | {"next": following} | self._past.counted(found)


def _turned(query: LinesQuery, side: str, place: LineKey) -> LinesQuery:
    return replace(query, after=place) if side == "after" else replace(query, before=place)


def _line(whole: AccountLine, permission: Permission) -> dict[str, Any]:
    line = shown_line(whole, permission)
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
        "metadata": metadata_of(line),
        "counterparts": list(line.counterparts),
        "redacted": is_redacted(whole, permission),
        "shard": line.key.shard,
        "offset": line.key.offset,
        "entry": line.key.entry,
    }


def _trial(
    query: TrialQuery, found: HistoryBalances, place: Sequence[str], limit: int
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
        "balanced": all(each.debits == each.credits for each in sums if each.type is None),
        "totals": [each.fields() for each in sums],
        "accounts": [row.fields() | row.net_fields() for row in page],
    }
    following = (page[-1].account, page[-1].currency) if len(shown) > limit else None
    return answer, following

"""Balances of another time, from history: of what was effective, or recorded, before an instant."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from ledger.api.cursors import Cursors
from ledger.api.database import Database
from ledger.api.services.after import After, not_yet
from ledger.api.services.balance_json import Completeness
from ledger.api.services.wanted import Wanted
from ledger.client.drafts import rfc3339
from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.gl.books import BalanceRow
from ledger.gl.history.books import History, HistoryBalances

LOOK_SECONDS = 0.1
"""How often history is asked again where an answer must include more than it has."""


class PastBalances:
    """Answers as JSON objects. They count what is reconciled and folded into history.

    Raises Problem where the database does not answer, and NOT_YET where history has not what
    `after` names.
    """

    def __init__(
        self,
        history: Database[History],
        completeness: Completeness,
        after: After,
        cursors: Cursors,
    ) -> None:
        self._history, self._completeness = history, completeness
        self._after, self._cursors = after, cursors

    async def of(self, accounts: Sequence[str], wanted: Wanted) -> dict[str, Any]:
        """What these accounts had, in their order."""
        found = await self._ask(wanted, accounts=list(accounts))
        place = {account: number for number, account in enumerate(accounts)}
        rows = sorted(_in(wanted.currency, found.rows), key=lambda row: (place[row.account], row))
        return {"balances": [*map(_row, rows)]} | self._end(found, wanted)

    async def under(
        self, path: str, limit: int, place: Sequence[str] | None, query: Mapping[str, Any],
        wanted: Wanted,
    ) -> dict[str, Any]:  # fmt: skip
        """A page of the account at a path and those below it, with the sums of all."""
        found = await self._ask(wanted, prefix=path)
        rows = sorted(_in(wanted.currency, found.rows))
        left = rows if place is None else [row for row in rows if row[:2] > tuple(place)]
        following = None
        if len(left) > limit:
            left = left[:limit]
            following = self._cursors.write(query, left[-1][:2])
        sums = [_sum(path, currency, rows) for currency in sorted({row.currency for row in rows})]
        shown = {"under": path, "next": following, "sums": sums}
        return shown | {"balances": [*map(_row, left)]} | self._end(found, wanted)

    async def _ask(self, wanted: Wanted, **which: Any) -> HistoryBalances:
        """The balances, once they include what `after` names."""
        assert wanted.moment is not None, "what is present is asked of the view"
        loop = asyncio.get_running_loop()
        until = loop.time() + wanted.wait_seconds
        positions = await self._after.positions(wanted.after, until)
        question = partial(History.as_of, **which, **wanted.moment._asdict())
        while True:
            found = await self._history.ask(lambda history: history.as_of(**question.keywords))
            ends = _ends(found)
            if all(ends.get(shard, 0) > offset for shard, offset in positions.items()):
                return found
            if loop.time() >= until:
                raise not_yet(ends, positions, "History does not include it yet")
            # A database tells nobody when it has more.
            await asyncio.sleep(LOOK_SECONDS)

    def _end(self, found: HistoryBalances, wanted: Wanted) -> dict[str, Any]:
        ends, moment = _ends(found), wanted.moment
        assert moment is not None, "see _ask"
        shown = tuple(ends.get(shard, 0) for shard in range(max(ends, default=-1) + 1))
        return {
            "token": self._completeness.token(shown),
            "complete_to": {str(shard): end for shard, end in enumerate(shown)},
            "effective_before": _time(moment.effective_before),
            "recorded_before": _time(moment.recorded_before),
        }


def as_bytes(answer: Mapping[str, Any]) -> bytes:
    """The JSON of an answer."""
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()


def _ends(found: HistoryBalances) -> dict[int, int]:
    return {shard: mark.end for shard, mark in found.positions.items()}


def _in(currency: str | None, rows: Collection[BalanceRow]) -> list[BalanceRow]:
    return [row for row in rows if currency in (None, row.currency)]


def _row(row: BalanceRow) -> dict[str, Any]:
    posted = on_normal_side(row.account, debits=row.debits, credits=row.credits)
    return {
        "account": row.account,
        "currency": row.currency,
        "posted": money.show(posted, row.scale),
        "pending": money.show(0, row.scale),
        "debits": money.show(row.debits, row.scale),
        "credits": money.show(row.credits, row.scale),
        "entries": row.entries,
        "status": "reconciled",
        "version": None,
    }


def _sum(path: str, currency: str, rows: Collection[BalanceRow]) -> dict[str, Any]:
    mine = _in(currency, rows)
    scale = max(row.scale for row in mine)
    debits, credits = (
        sum(amount * 10 ** (scale - row.scale) for row, amount in side)
        for side in ([(row, row.debits) for row in mine], [(row, row.credits) for row in mine])
    )
    row = BalanceRow(path, currency, scale, debits, credits, sum(row.entries for row in mine))
    shown = _row(row) | {"accounts": len(mine)}
    return {name: value for name, value in shown.items() if name not in ("account", "version")}


def _time(moment: int | None) -> str | None:
    return None if moment is None else rfc3339(moment)

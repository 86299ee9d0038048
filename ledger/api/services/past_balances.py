"""Balances of another time, from history: of what was effective, or recorded, before an instant."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ledger.api.cursors import Cursors
from ledger.api.services.past_answers import PastAnswers, times_of
from ledger.api.services.wanted import Wanted
from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.gl.books import BalanceRow
from ledger.gl.history.books import HistoryBalances


class PastBalances:
    """Answers as JSON objects; raises Problem as `PastAnswers` does."""

    def __init__(self, past: PastAnswers, cursors: Cursors) -> None:
        self._past, self._cursors = past, cursors

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
        assert wanted.moment is not None, "what is present is asked of the view"
        before = wanted.moment._asdict()
        return await self._past.ask(wanted, lambda history: history.as_of(**which, **before))

    def _end(self, found: HistoryBalances, wanted: Wanted) -> dict[str, Any]:
        return self._past.counted(found) | times_of(wanted.moment)


def as_bytes(answer: Mapping[str, Any]) -> bytes:
    """The JSON of an answer."""
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()


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

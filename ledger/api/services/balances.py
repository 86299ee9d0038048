"""Balances: the present ones from the view, those of another time from history."""

import asyncio
import json
from collections.abc import Sequence
from typing import NamedTuple, Self

from ledger.api.cursors import Cursors
from ledger.api.services.after import After
from ledger.api.services.balance_json import Completeness, sum_json, tag_of
from ledger.api.services.past_answers import PastAnswers
from ledger.api.services.past_balances import PastBalances, as_bytes
from ledger.api.services.readable import require_ready
from ledger.api.services.wanted import Wanted
from ledger.api.view.shown import joined
from ledger.api.view.view import BalanceView
from ledger.domain.balance import Balance
from ledger.domain.portions import portions
from ledger.domain.run import Stripe

AT_ONCE = 100
"""Accounts looked up before others have their turn, about 1 ms."""
SLICE, SEARCHED = 500, 5_000
"""Balances looked at for those in one currency, before others have their turn and for one page."""


class Answer(NamedTuple):
    """A JSON object, and its ETag: None where a client must have it whole."""

    body: bytes
    tag: str | None


class BalanceService:
    """Answers with bytes; raises Problem."""

    def __init__(
        self,
        view: BalanceView,
        completeness: Completeness,
        after: After,
        past: PastBalances,
        cursors: Cursors,
    ) -> None:
        self._view, self._completeness, self._after = view, completeness, after
        self._past, self._cursors = past, cursors

    @classmethod
    def over(
        cls,
        view: BalanceView,
        completeness: Completeness,
        cursors: Cursors,
        after: After,
        past: PastAnswers,
    ) -> Self:
        """The service over these parts."""
        return cls(view, completeness, after, PastBalances(past, cursors), cursors)

    def present(self, account: str, currency: str | None = None) -> Answer:
        """What an account has now, in one currency or all."""
        self._require_ready()
        # Coverage first: what is read after it has it.
        ends = self._view.ends((account,))
        found = self._view.json((account,), currency)
        return self._answer(b'{"account":"%b",' % account.encode(), found, ends)

    async def one(self, account: str, wanted: Wanted) -> Answer:
        """The same, of another time or after a transaction where that is wanted."""
        if wanted.moment is not None:
            answer = await self._past.of([account], wanted)
            return Answer(as_bytes({"account": account} | answer), None)
        self._require_ready()
        await self._after.wait(wanted, (account,))
        return self.present(account, wanted.currency)

    async def many(self, accounts: Sequence[str], wanted: Wanted) -> Answer:
        """What these accounts have, in their order; those without entries have nothing."""
        if wanted.moment is not None:
            return Answer(as_bytes(await self._past.of(accounts, wanted)), None)
        self._require_ready()
        await self._after.wait(wanted, accounts)
        ends = self._view.ends(accounts)
        found: list[bytes] = []
        for some in portions(accounts, count=AT_ONCE):
            if found:
                await asyncio.sleep(0)
            found.append(self._view.json(some, wanted.currency))
        self._require_ready()
        return self._answer(b"{", b",".join(filter(None, found)), ends)

    async def under(self, path: str, limit: int, cursor: str | None, wanted: Wanted) -> Answer:
        """The account at a path and those below it, a page of them, with the sums of all."""
        query = {"list": "balances", "under": path, "currency": wanted.currency,
                 "moment": wanted.moment}  # fmt: skip
        place = None if cursor is None else self._cursors.read(query, cursor)
        if wanted.moment is not None:
            answer = await self._past.under(path, limit, place, query, wanted)
            return Answer(as_bytes(answer), None)
        self._require_ready()
        await self._after.wait(wanted, None)
        ends = self._view.ends(None)
        found, last = await self._page(path, place, limit, wanted.currency)
        self._require_ready()
        sums = b",".join(
            sum_json(path, currency, figures)
            for currency, figures in self._view.sums_under(path).items()
            if wanted.currency in (None, currency)
        )
        following = None if last is None else self._cursors.write(query, last)
        start = b'{"under":"%b","next":%b,"sums":[%b],' % (
            path.encode(), json.dumps(following).encode(), sums,
        )  # fmt: skip
        return self._answer(start, joined(found), ends)

    async def _page(
        self, path: str, place: Sequence[str] | None, limit: int, currency: str | None
    ) -> tuple[list[Balance], Stripe | None]:
        """The next balances, `limit` at most, and the last one looked at if there are more.

        Where one currency is wanted, there may be fewer: SEARCHED are looked at, at most.
        """
        after = None if place is None else Stripe(*place)
        if currency is None:
            found = self._view.under(path, after=after, limit=limit + 1)
            return found[:limit], Stripe(*found[limit - 1][:2]) if len(found) > limit else None
        found = []
        for _ in range(0, SEARCHED, SLICE):
            looked_at = self._view.under(path, after=after, limit=SLICE)
            for balance in _in(currency, looked_at):
                found.append(balance)
                if len(found) == limit:
                    return found, Stripe(*balance[:2])
            if len(looked_at) < SLICE:
                return found, None
            after = Stripe(*looked_at[-1][:2])
            await asyncio.sleep(0)
        return found, after

    def _answer(self, start: bytes, found: bytes, ends: tuple[int, ...]) -> Answer:
        content = b'%b"balances":[%b]' % (start, found)
        # Whoever has an older answer would take it for the present one where the view lags.
        tag = tag_of(content) if self._view.is_fresh else None
        return Answer(content + self._completeness.end(ends), tag)

    def _require_ready(self) -> None:
        if not self._view.is_fresh:
            require_ready(self._view)


def _in(currency: str | None, balances: list[Balance]) -> list[Balance]:
    if currency is None:
        return balances
    return [each for each in balances if each.currency == currency]

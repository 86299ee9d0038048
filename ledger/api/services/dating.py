"""Transactions without created_at: they happen now, unless their id was accepted before."""

import asyncio
from collections.abc import Iterable, Mapping

from ledger.api.problems import Problem
from ledger.client.past import Past, already_in_ledger, with_time_of
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft
from ledger.gl.books import Accepted
from ledger.streaming.coalescer import Coalescer

SECONDS = 5.0
"""Without an answer for so long, nothing can tell."""
MOST = 1_000
"""Ids of one question; more wait for the next."""

Found = Mapping[str, Accepted] | None


class Dating:
    """Asks the general ledger for the ids of all who wait, in one question at a time.

    Ids are remembered for the window only. Without its time a transaction that was accepted before
    that would be new money, so its id is looked up first.
    """

    def __init__(self, past: Past) -> None:
        self._past = past
        self._waiting: list[tuple[str, asyncio.Future[Found]]] = []
        self._asking = Coalescer(self._ask, name="date transactions", fault=self._failed)
        self._under_way: list[tuple[str, asyncio.Future[Found]]] = []

    async def dated(self, draft: Draft, *, shards: int) -> tuple[Draft | Refused, Accepted | None]:
        """The draft with a time that cannot make it new money, and where its id was accepted.

        Raises Problem where nothing can tell.
        """
        found = await self._find(draft["transaction_id"])
        if found is None:
            raise Problem(
                "DATABASE_UNAVAILABLE",
                "Nothing was sent: a transaction without created_at is looked up in the general "
                "ledger, which cannot be asked now. With its created_at it need not be.",
                field="created_at",
            )
        known = found.get(draft["transaction_id"])
        return (draft if known is None else with_time_of(known, draft, shards=shards)), known

    async def _find(self, name: str) -> Found:
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        asked = name, future
        self._waiting.append(asked)
        self._asking.wake()
        try:
            async with asyncio.timeout(SECONDS):
                return await future
        except TimeoutError:
            return None
        finally:
            if asked in self._waiting:
                self._waiting.remove(asked)

    async def _ask(self) -> None:
        while self._waiting:
            self._under_way, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            found = await self._past.find([name for name, _ in self._under_way])
            _settle(self._under_way, found)

    def _failed(self, error: Exception) -> None:
        for _, future in self._under_way:
            if not future.done():
                future.set_exception(error)
        if self._waiting:
            self._asking.wake()


def _settle(asked: Iterable[tuple[str, asyncio.Future[Found]]], found: Found) -> None:
    for _, future in asked:
        if not future.done():
            future.set_result(found)


def known_before(refused: Refused, draft: Draft, known: Accepted | None, window: int) -> Refused:
    """The refusal of a draft whose time is that of an acceptance before the window, as such."""
    if known is None or refused.reason is not Reason.TOO_LATE:
        return refused
    return already_in_ledger(draft["transaction_id"], known, window=window)

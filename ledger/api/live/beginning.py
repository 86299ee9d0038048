"""How a subscription begins: with a snapshot, or with what changed since its client left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from ledger.api.live.encoding import begun, list_begun
from ledger.api.live.lists import TooLong
from ledger.api.live.subscriptions import (
    PATH_BALANCES,
    AccountsSubscription,
    ListSubscription,
    PathSubscription,
    Subscription,
)
from ledger.api.view.shown import json_of

if TYPE_CHECKING:
    from ledger.api.live.live import Live

PAGE = 100
"""Balances read in one turn of the event loop."""
PORTION = 200
"""Balances of a message, about 50 KB."""

Send = Callable[[str, str], Awaitable[None]]


class Beginning:
    """Sends what one subscription begins with, in parts; the first is part 0.

    It ends early where the subscription is to begin again meanwhile. Raises TooLong.
    """

    def __init__(self, live: "Live", one: Subscription, send: Send) -> None:
        self._live, self._one, self._send = live, one, send
        self._part = 0

    async def send(self) -> None:
        """Send all of it; what changes from here on is in the subscription's next frames."""
        one, live = self._one, self._live
        why, after = one.begin, one.after
        one.begin, one.after = "", None
        one.start(live.number)
        if after is not None:
            found = await live.changed_since(one, after)
            if not isinstance(found, str):
                await self._send_parts("resumed", "", _each(entry.text for entry in found))
                return
            why = found
            one.start(live.number)
        live.measures.snapshots.labels(why).inc()
        if isinstance(one, ListSubscription):
            await self._send_list(one, why)
        else:
            await self._send_parts("snapshot", why, self._present())

    async def _send_list(self, one: ListSubscription, why: str) -> None:
        await one.rows.fill(self._live.source, self._live.index.room_for(one.rows))
        if (rows := one.take_rows()) is not None:
            await self._send("snapshot", list_begun(one.id, why, rows))

    async def _present(self) -> AsyncIterator[str]:
        one, source = self._one, self._live.source
        if isinstance(one, AccountsSubscription):
            for at, account in enumerate(one.accounts):
                for balance in source.balances(account):
                    yield json_of(balance)
                if at % PAGE == PAGE - 1:
                    await asyncio.sleep(0)
        elif isinstance(one, PathSubscription):
            after, count = None, 0
            while page := source.under(one.path.path, after=after, limit=PAGE):
                count += len(page)
                if count > PATH_BALANCES:
                    raise TooLong(
                        f"There are more than {PATH_BALANCES} balances at and below "
                        f"{one.path.path}: subscribe to the part of a sorted list that is seen."
                    )
                for balance in page:
                    yield json_of(balance)
                after = page[-1].account, page[-1].currency
                await asyncio.sleep(0)

    async def _send_parts(self, kind: str, why: str, texts: AsyncIterator[str]) -> None:
        some: list[str] = []
        async for text in texts:
            if len(some) == PORTION:
                await self._send_part(kind, why, some, more=True)
                some = []
            if self._one.begin:
                return
            some.append(text)
        await self._send_part(kind, why, some, more=False)

    async def _send_part(self, kind: str, why: str, texts: list[str], *, more: bool) -> None:
        await self._send(kind, begun(kind, self._one.id, why, self._part, texts, more=more))
        self._part += 1


async def _each(texts: Iterable[str]) -> AsyncIterator[str]:
    for text in texts:
        yield text

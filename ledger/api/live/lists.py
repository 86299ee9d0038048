"""Sorted lists of balances, each kept once for all who look at a part of it."""

import asyncio
from typing import NamedTuple

from sortedcontainers import SortedList

from ledger.api.live.recent import Entry
from ledger.api.live.source import Key, Source
from ledger.api.view import keys
from ledger.api.view.shown import json_of
from ledger.domain import money
from ledger.domain.balance import Balance

MAX_ROWS = 100_000
"""Balances of a list, about 0.7 KB each."""
MAX_ROWS_OF_ALL = 200_000
"""The same of all lists of a process."""
PAGE = 100
"""Balances read in one turn of the event loop."""

Rank = tuple[int, bytes]
"""What a list is sorted by: an amount, or 0, then the account and currency."""


class Order(NamedTuple):
    """Which list. `by`: account or posted; `currency`: only balances of it, empty for all."""

    under: str
    by: str
    currency: str
    descending: bool


class TooLong(Exception):
    """There are more balances than one subscription may have."""


class Rows:
    """The balances of a list in its order; read by `fill`, kept up to date by `take`.

    A row is its JSON, the same object until it changes.
    """

    def __init__(self, order: Order) -> None:
        self.order = order
        self._filling = asyncio.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all: it is to be filled again."""
        self._is_filled = False
        self._ranks: dict[Key, Rank] = {}
        self._texts: dict[Key, str] = {}
        self._sorted: SortedList = SortedList()
        self._of: dict[Rank, Key] = {}
        self._seen: dict[tuple[int, int], tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._ranks)

    def has(self, key: Key) -> bool:
        """Whether a balance may be in it, apart from its path."""
        return not self.order.currency or key[1] == self.order.currency

    async def fill(self, source: Source, room: int = MAX_ROWS) -> None:
        """Read what is there, unless it was read; `take` is called meanwhile.

        Raises TooLong past MAX_ROWS, and past `room`.
        """
        async with self._filling:
            while not self._is_filled:
                await self._read(source, min(room, MAX_ROWS))

    async def _read(self, source: Source, most: int) -> None:
        self.clear()
        ranks, after = self._ranks, None
        while page := source.under(self.order.under, after=after, limit=PAGE):
            for balance in page:
                after = balance.account, balance.currency
                if self.has(after):
                    self._put(after, balance, json_of(balance))
            if len(ranks) > most:
                raise TooLong(
                    f"There are more than {most} balances at and below {self.order.under}, as many "
                    "as this API process has room for: choose a path further down."
                )
            await asyncio.sleep(0)
            if ranks is not self._ranks:
                # It was cleared, and this was read of what was there before.
                return
        self._is_filled = True

    def take(self, entry: Entry) -> None:
        """A balance has changed."""
        if not self.has(entry.key):
            return
        if entry.balance is None:
            self._remove(entry.key)
        else:
            self._put(entry.key, entry.balance, entry.text)

    def _put(self, key: Key, balance: Balance, text: str) -> None:
        rank = self._rank(balance)
        if self._ranks.get(key) != rank:
            self._remove(key)
            self._ranks[key], self._of[rank] = rank, key
            self._sorted.add(rank)
        self._texts[key] = text
        self._seen.clear()

    def _remove(self, key: Key) -> None:
        if (rank := self._ranks.pop(key, None)) is not None:
            self._sorted.remove(rank)
            del self._of[rank], self._texts[key]
            self._seen.clear()

    def _rank(self, balance: Balance) -> Rank:
        key = keys.key(keys.BALANCE, balance.account, balance.currency)
        if self.order.by == "account":
            return 0, key
        minor = int(balance.posted.replace(".", ""))
        return minor * 10 ** (money.MAX_SCALE - balance.scale), key

    def window(self, offset: int, count: int) -> tuple[str, ...]:
        """The rows from `offset` on; the same object as long as nothing has changed."""
        found = self._seen.get((offset, count))
        if found is None:
            total = len(self._sorted)
            if self.order.descending:
                end = max(total - offset, 0)
                ranks = self._sorted[max(end - count, 0) : end][::-1]
            else:
                ranks = self._sorted[offset : offset + count]
            found = tuple(self._texts[self._of[rank]] for rank in ranks)
            self._seen[offset, count] = found
        return found

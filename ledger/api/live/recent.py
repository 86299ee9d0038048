"""The presentation buffer: the newest value of every balance that changed lately.

It is a map and no queue: a balance that changes a thousand times is one entry. Each entry has the
position up to which its partition was read then, so it answers what has changed since a position,
for any position that is not older than what it has forgotten.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from ledger.api.live.encoding import removed
from ledger.api.live.source import Key
from ledger.api.view.kept import Change
from ledger.api.view.shown import json_of
from ledger.domain.balance import Balance
from ledger.domain.partition import partition_of

ACCOUNTS = 20_000
"""Accounts that are remembered, about 1.5 KB each."""


class Entry:
    """The newest value of a balance.

    `end`: the offset before which its partition was read when it changed. `number`: of its last
    change, counted in this process. Its JSON is made once, for all who are sent it.
    """

    __slots__ = ("_text", "account", "balance", "currency", "end", "number")

    def __init__(self, account: str, currency: str) -> None:
        self.account, self.currency = account, currency
        self.balance: Balance | None = None
        self.end = self.number = 0
        self._text: str | None = None

    def change(self, balance: Balance | None, end: int, number: int) -> None:
        """It has this value from now on."""
        self.balance, self.end, self.number, self._text = balance, end, number, None

    @property
    def key(self) -> Key:
        """Account and currency."""
        return self.account, self.currency

    @property
    def text(self) -> str:
        """Its JSON."""
        if self._text is None:
            balance = self.balance
            self._text = (
                removed(self.account, self.currency) if balance is None else json_of(balance)
            )
        return self._text


class Recent:
    """What changed since `positions`, by partition; the accounts that changed last are kept."""

    def __init__(self, positions: Sequence[int], most: int = ACCOUNTS) -> None:
        self.number = 0
        self._floors = list(positions)
        self._parts = [OrderedDict[str, dict[str, Entry]]() for _ in positions]
        self._most = max(1, most // max(1, len(self._parts)))

    def note(self, partition: int, end: int, changes: Iterable[Change]) -> list[Entry]:
        """Take changes of a partition that is read up to `end`; returns their entries."""
        part, found = self._parts[partition], []
        for account, currency, balance, _ in changes:
            of = part.get(account)
            if of is None:
                of = part[account] = {}
            else:
                part.move_to_end(account)
            entry = of.get(currency)
            if entry is None:
                entry = of[currency] = Entry(account, currency)
            self.number += 1
            entry.change(balance, end, self.number)
            found.append(entry)
        while len(part) > self._most:
            _, forgotten = part.popitem(last=False)
            self._floors[partition] = max(
                self._floors[partition], *(each.end for each in forgotten.values())
            )
        return found

    def knows(self, positions: Sequence[int]) -> bool:
        """Whether it has all that changed since these positions."""
        return len(positions) == len(self._floors) and all(
            position >= floor for position, floor in zip(positions, self._floors, strict=True)
        )

    def since(self, positions: Sequence[int]) -> Iterator[Entry]:
        """What changed since these positions, and perhaps some that changed just before."""
        for part, position in zip(self._parts, positions, strict=True):
            for of in reversed(part.values()):
                found = [each for each in of.values() if each.end > position]
                if not found:
                    break
                yield from found

    def of_account(self, account: str, positions: Sequence[int]) -> list[Entry]:
        """The same of one account."""
        partition = partition_of(account.encode(), len(self._parts))
        of = self._parts[partition].get(account, {})
        return [each for each in of.values() if each.end > positions[partition]]


class Buffer:
    """The recent changes of one topic, `origin`, and how far its partitions were read."""

    def __init__(self, origin: str, positions: Sequence[int], most: int) -> None:
        self.origin, self.recent = origin, Recent(positions, most)
        self._positions = list(positions)

    def goes_back(self, partition: int, end: int) -> bool:
        """Whether the partition is read again from an earlier position on."""
        return partition >= len(self._positions) or end < self._positions[partition]

    def note(self, partition: int, end: int, changes: Iterable[Change]) -> list[Entry]:
        """Take changes of a partition that is read up to `end`; returns their entries."""
        self._positions[partition] = end
        return self.recent.note(partition, end, changes)

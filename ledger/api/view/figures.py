"""The figures of a balance as whole minor units, and their sums over the accounts below a path."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.domain.balance import Balance

STATUSES = ("reconciled", "pending", "break")
"""From the best to the worst, which a sum has."""


class Figures(NamedTuple):
    """What one or many balances of a currency have, in minor units at `scale` decimals.

    `accounts`: how many; `pending` on the normal side; `waiting` and `broken`: how many of the
    accounts have status pending, and break.
    """

    scale: int
    debits: int = 0
    credits: int = 0
    pending: int = 0
    entries: int = 0
    accounts: int = 0
    waiting: int = 0
    broken: int = 0

    @classmethod
    def of(cls, balance: Balance) -> Self:
        """Of one account. Raises ValueError where an amount is not a decimal of its scale."""
        _, _, scale, posted, pending, debits, credits, entries, status, _ = balance
        if not 0 <= scale <= money.MAX_SCALE or status not in STATUSES or entries < 0:
            raise ValueError(f"scale {scale}, status {status}, {entries} entries")
        _minor(posted, scale)
        return cls(
            scale,
            _minor(debits, scale),
            _minor(credits, scale),
            _minor(pending, scale),
            entries,
            1,
            int(status == "pending"),
            int(status == "break"),
        )

    @classmethod
    def read(cls, text: bytes) -> Self:
        """What `text` made."""
        return cls(*map(int, text.split()))

    def text(self) -> bytes:
        """The numbers in their order, with a space between."""
        return b"%d %d %d %d %d %d %d %d" % self

    def at(self, scale: int) -> "Figures":
        """The same amounts with as many decimals, which are no fewer."""
        times = 10 ** (scale - self.scale)
        return self._replace(
            scale=scale,
            debits=self.debits * times,
            credits=self.credits * times,
            pending=self.pending * times,
        )

    def plus(self, other: "Figures", sign: int = 1) -> "Figures":
        """The sum, or with -1 the difference, at the larger scale."""
        if self.scale != other.scale:
            scale = max(self.scale, other.scale)
            return self.at(scale).plus(other.at(scale), sign)
        scale, debits, credits, pending, entries, accounts, waiting, broken = other
        return Figures(
            scale,
            self.debits + sign * debits,
            self.credits + sign * credits,
            self.pending + sign * pending,
            self.entries + sign * entries,
            self.accounts + sign * accounts,
            self.waiting + sign * waiting,
            self.broken + sign * broken,
        )

    def posted(self, path: str) -> int:
        """The reconciled balance on the normal side of what is at or below `path`."""
        return on_normal_side(path, debits=self.debits, credits=self.credits)

    @property
    def status(self) -> str:
        """The worst of its accounts'."""
        return STATUSES[2 if self.broken else 1 if self.waiting else 0]


Sums = Mapping[str, Figures]
"""By currency."""


def balance_of(row: Mapping[str, Any]) -> Balance:
    """A row of Balance.avsc, whose fields are in the schema's order."""
    return Balance._make(row.values())


_ZEROS = tuple(money.show(0, scale) for scale in range(money.MAX_SCALE + 1))
"""By scale; every second amount is one."""


def _minor(text: str, scale: int) -> int:
    if text == _ZEROS[scale]:
        return 0
    minor = int(text.replace(".", ""))
    if money.show(minor, scale) != text:
        raise ValueError(f"{text} is no amount with {scale} decimals")
    return minor

"""What live updates are taken from: the balance view, or anything that answers like it."""

from collections.abc import Callable, Sequence
from typing import Protocol

from ledger.api.view.kept import Change
from ledger.domain.balance import Balance

Key = tuple[str, str]
"""Account and currency."""


Listener = Callable[[int, int, Sequence[Change]], None]
"""Gets a partition of `ledger.balances`, the offset up to which it is read, and what changed."""


class Source(Protocol):
    """Present balances and what changes them; all of it is called on one event loop.

    A listener is called in the turn of the loop in which the change is made: what is read between
    two turns has all that listeners were given, and nothing more.
    """

    @property
    def origin(self) -> str:
        """Which topic this is a copy of; empty while that is not known."""

    @property
    def is_ready(self) -> bool:
        """Whether it has everything that was there when it began."""

    def positions(self) -> Sequence[int]:
        """By partition of `ledger.balances`, the offset before which everything is contained."""

    def balances(self, account: str) -> Sequence[Balance]:
        """The account's balances, by currency."""

    def under(self, path: str, *, after: Key | None = None, limit: int) -> Sequence[Balance]:
        """About `limit` balances at and below a path after one of them; none at the end."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change; returns what ends that."""

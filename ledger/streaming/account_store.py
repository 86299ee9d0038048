"""Accounts on this disk: what is reconciled of each, and the position where that stands."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ledger.domain.balance import AccountStripes
from ledger.domain.run import Stripe
from ledger.streaming.store import Store
from ledger.streaming.stripe_rows import stripe_of

POSITIONS = b"p"
RESTORING = b"r"
KEPT_EACH = 15.0
"""Seconds between two writes: an account that moves all the time is written once. What a crash
forgets is read again in the stripes topic."""


class AccountStore:
    """`unwritten`: accounts that changed since the last write; at most about `limit` of them."""

    def __init__(self, path: Path, *, limit: int) -> None:
        self._store, self._limit = Store(path), limit
        self.unwritten: set[Stripe] = set()
        self._written_at = 0.0

    def open(self) -> tuple[int, int]:
        """Forget what is unwritten; the positions: reconciled and published up to, and seen."""
        self.unwritten.clear()
        reconciled, seen = map(int, (self._store.get(POSITIONS) or b"0 0").split())
        return reconciled, seen

    def accounts(self, stripes: Sequence[Stripe]) -> list[AccountStripes | None]:
        """Those of `stripes`, in their order."""
        if len(stripes) == 1:
            return [_account(self._store.get(_key(stripes[0])))]
        return list(map(_account, self._store.get_all(list(map(_key, stripes)))))

    def scan(self) -> Iterator[Stripe]:
        for key, _ in self._store.scan(b"a", b"b"):
            yield stripe_of(key)

    @property
    def is_restoring(self) -> bool:
        return self._store.get(RESTORING) is not None

    def begin_restoring(self) -> None:
        """From here on accounts may have more than the positions say."""
        self._store.write([(RESTORING, b"")])

    def finish_restoring(self, reconciled: int, seen: int) -> None:
        """Everything up to the positions is in the store, and published."""
        self._store.write([_positions(reconciled, seen)], [RESTORING])

    def write(self, accounts: Iterable[tuple[Stripe, AccountStripes]]) -> None:
        """While restoring: accounts without a position."""
        self._store.write(_rows(accounts))

    @property
    def is_due(self) -> bool:
        """Whether the unwritten accounts are to be written."""
        overdue = time.monotonic() - self._written_at > KEPT_EACH
        return len(self.unwritten) > self._limit or (overdue and bool(self.unwritten))

    def write_due(
        self, unwritten: Iterable[tuple[Stripe, AccountStripes]], reconciled: int, seen: int
    ) -> None:
        """The unwritten accounts and the positions, in one write."""
        self._store.write([*_rows(unwritten), _positions(reconciled, seen)])
        self.unwritten.clear()
        self._written_at = time.monotonic()


def _rows(accounts: Iterable[tuple[Stripe, AccountStripes]]) -> list[tuple[bytes, bytes]]:
    return [(_key(stripe), account.encode()) for stripe, account in accounts]


def _positions(reconciled: int, seen: int) -> tuple[bytes, bytes]:
    return POSITIONS, b"%d %d" % (reconciled, seen)


def _account(value: bytes | None) -> AccountStripes | None:
    return None if value is None else AccountStripes.decode(value)


def _key(stripe: Stripe) -> bytes:
    return f"a{stripe.account} {stripe.currency}".encode()

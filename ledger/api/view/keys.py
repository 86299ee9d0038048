"""Keys of the copy, in the order of account paths.

An account and everything below it are one range: a colon sorts before any character of a segment,
so `a:b:c` comes before `a:b-x` and after `a:b`. What has a name in common comes by currency.
"""

from ledger.domain.account import TYPES, well_formed
from ledger.domain.run import Stripe

BALANCE, SUM = b"b", b"s"
"""What a key begins with: an account's balance, and the sum of what is below a path."""
_END, _BELOW, _AFTER = b"\0", b"\1", b"\2"
"""After a path: its end, a segment more, and what sorts after both."""

Range = tuple[bytes, bytes]
"""Keys from the first one to before the second one."""


def key(kind: bytes, path: str, currency: str) -> bytes:
    """The key of a path and a currency."""
    return kind + _segments(path) + _END + currency.encode()


def stripe_of(of: bytes) -> Stripe:
    """The path and the currency of a key."""
    path, _, currency = of[1:].partition(_END)
    return Stripe(path.replace(_BELOW, b":").decode(), currency.decode())


def exactly(kind: bytes, path: str) -> Range:
    """The path itself, in every currency."""
    start = kind + _segments(path)
    return start + _END, start + _BELOW


def at_and_below(path: str) -> Range:
    """The balances of the path itself and of every account below it."""
    start = BALANCE + _segments(path)
    return start + _END, start + _AFTER


def after(of: bytes) -> bytes:
    """The first key that may follow `of`."""
    return of + _END


def parents(account: str) -> list[str]:
    """The paths above an account, the nearest first: `a:b:c` has `a:b` and `a`."""
    found, end = [], account.rfind(":")
    while end > 0:
        found.append(account[:end])
        end = account.rfind(":", 0, end)
    return found


def is_path(text: str) -> bool:
    """Whether accounts can be at or below it: an account code, or the type alone."""
    return text in TYPES or well_formed(text)


def _segments(path: str) -> bytes:
    return path.encode().replace(b":", _BELOW)

"""A balance as the copy keeps it, and what a record of the topic makes of it."""

from typing import NamedTuple

import schemas
from ledger.api.view.figures import Figures, balance_of
from ledger.domain import avro
from ledger.domain.balance import Balance
from ledger.domain.codecs import decoder, encoder

_encode = encoder(schemas.load("Balance"), Balance)
_usual = decoder(schemas.load("Balance"), Balance)


class Kept(NamedTuple):
    """A balance as the copy has it: `body` is Avro of Balance.avsc."""

    version: int
    figures: Figures
    body: bytes

    @classmethod
    def of(cls, balance: Balance, body: bytes | None = None) -> "Kept":
        """`body`: what `balance` was decoded from. Raises ValueError for what cannot be one."""
        return cls(balance.version, Figures.of(balance), body or _encode(balance))

    @classmethod
    def read(cls, value: bytes) -> "Kept":
        """What `value` made."""
        version, figures, body = value.split(b"\n", 2)
        return cls(int(version), Figures.read(figures), body)

    def value(self) -> bytes:
        """The bytes in the store: what changes next needs no decoded balance."""
        return b"%d\n%b\n%b" % (self.version, self.figures.text(), self.body)


class Change(NamedTuple):
    """A record of the topic: a balance, or None where it was removed."""

    account: str
    currency: str
    balance: Balance | None = None
    kept: Kept | None = None


class Place(NamedTuple):
    """How far a partition was read: from offset `start` on, to before `position`."""

    start: int
    position: int


def decoded(value: bytes, at: int) -> Balance:
    """The balance whose Avro is `value[at:]`. Raises ValueError for anything else."""
    usual: Balance | None = _usual(value, at)
    return balance_of(avro.decode("Balance", value, at)) if usual is None else usual


def balance_in(value: bytes) -> Balance:
    """The balance in the bytes of the store."""
    return decoded(value, value.index(b"\n", value.index(b"\n") + 1) + 1)

"""Resume tokens: what a client has received, as positions in `ledger.balances`, signed.

Any API process of the ledger reads them. They name the topic, so that one that was deleted and
made again is not taken for the one before.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from ledger.api.problems import Problem
from ledger.api.signing import Altered, Signer

USE = "live"
VERSION = b"\x01"
_NAME, _WIDTH = 8, 6
"""Bytes of the topic's name, and of an offset."""


class Place(NamedTuple):
    """By partition of a topic, the offset before which a client has received everything."""

    topic: bytes
    positions: tuple[int, ...]


def topic_name(origin: str) -> bytes:
    """How a token names a topic."""
    return sha256(origin.encode()).digest()[:_NAME]


def token_of(signer: Signer, origin: str, positions: Sequence[int]) -> str:
    """The token of these positions."""
    places = b"".join(each.to_bytes(_WIDTH, "big") for each in positions)
    return signer.sign(VERSION + topic_name(origin) + places, USE)


def place_of(signer: Signer, token: str) -> Place:
    """What a token names. Raises ValueError for a text that is none of this ledger's."""
    content = signer.read(token, USE)
    name, places = content[1 : 1 + _NAME], content[1 + _NAME :]
    if content[:1] != VERSION or len(name) != _NAME or len(places) % _WIDTH:
        raise Altered("Another version of the ledger has signed it.")
    cut = range(0, len(places), _WIDTH)
    return Place(name, tuple(int.from_bytes(places[at : at + _WIDTH], "big") for at in cut))


class Tokens:
    """The tokens of a process; that of the present positions is signed once for all who get it."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._last: tuple[str, tuple[int, ...], str] = ("", (), "")

    def of(self, origin: str, positions: Sequence[int]) -> str:
        """The token of these positions."""
        key = origin, tuple(positions)
        if key != self._last[:2]:
            self._last = *key, token_of(self._signer, origin, positions)
        return self._last[2]

    def place(self, token: str) -> Place:
        """What a client's token names. Raises Problem."""
        try:
            return place_of(self._signer, token)
        except ValueError as error:
            raise Problem(
                "TOKEN_INVALID", f"This is no resume token of this ledger. {error}", field="after"
            ) from None

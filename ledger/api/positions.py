"""Position tokens: where transactions are in the log, signed, for any API process to read."""

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ledger.api.problems import Problem
from ledger.api.signing import Altered, Signer

USE = "position"
PREFIX = "pos."
"""Of every token, so that an altered one is not taken for a transaction's id."""
VERSION = b"\x01"
_PLACE = struct.Struct(">HQ")


class Position(NamedTuple):
    """Where a transaction is: (shard, offset)."""

    shard: int
    offset: int


def token_of(signer: Signer, positions: Iterable[Position]) -> str:
    """The token of some transactions; of those in one shard it keeps the last."""
    last = through(positions)
    places = b"".join(_PLACE.pack(shard, last[shard]) for shard in sorted(last))
    return PREFIX + signer.sign(VERSION + places, USE)


def is_token(text: str) -> bool:
    """Whether a text is meant as a position token."""
    return text.startswith(PREFIX)


def through(positions: Iterable[Position]) -> dict[int, int]:
    """By shard the last offset."""
    found: dict[int, int] = {}
    for shard, offset in positions:
        found[shard] = max(offset, found.get(shard, -1))
    return found


def positions_of(signer: Signer, token: str) -> Mapping[int, int]:
    """By shard, the last offset that the token names. Raises Problem for any other text."""
    try:
        content = signer.read(token.removeprefix(PREFIX), USE)
    except Altered as error:
        raise _invalid(str(error)) from None
    if content[:1] != VERSION or (len(content) - 1) % _PLACE.size:
        raise _invalid("Another version of the ledger has signed it.")
    return dict(_PLACE.iter_unpack(content[1:]))


def _invalid(why: str) -> Problem:
    return Problem(
        "TOKEN_INVALID", f"This is no position token of this ledger. {why}", field="after"
    )

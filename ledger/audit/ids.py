"""The ids that were accepted, of all shards, and what is kept of each: one table for all checks."""

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple, Self

from ledger.audit.chain import Accepted

_SEEN = struct.Struct(">Hqqqqq?")


class Seen(NamedTuple):
    """An accepted transaction, packed in 43 bytes; times in microseconds since 1970.

    `known_from`: since when its id is remembered. `content`, `legs`: marks of what a repetition
    repeats, and of what a reversal mirrors.
    """

    shard: int
    offset: int
    known_from: int
    effective_at: int
    content: int
    legs: int
    is_reversal: bool

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Of what `Ids.accept` keeps."""
        return cls._make(_SEEN.unpack(packed))

    def is_repeated_by(self, draft: Mapping[str, Any]) -> bool:
        """Whether `draft` has the same content, to the letter."""
        return self.effective_at == draft["effective_at"] and self.content == content_mark(draft)

    def is_of(self, accepted: Accepted) -> bool:
        """Whether it was made of that, as far as what is kept tells: times, key and entries."""
        return (
            self.known_from == max(accepted.created_at, accepted.recorded_at)
            and self.effective_at == accepted.effective_at
            and self.legs
            == legs_mark(accepted.ordering_key or accepted.transaction_id, accepted.entries)
        )


class Ids:
    """Every id accepted, of all shards, as 10 bytes each. Also decimals by currency."""

    def __init__(self) -> None:
        self._seen: dict[bytes, bytes] = {}
        self.scales: dict[str, int] = {}

    def accept(self, shard: int, accepted: Accepted, draft: Mapping[str, Any]) -> Seen | None:
        """It was accepted, as `draft` was written; returns where its id was before, if it was."""
        name, key = accepted.transaction_id, short(accepted.transaction_id)
        known = self._seen.get(key)
        # The last one counts: past the window an id may be another transaction's.
        self._seen[key] = _SEEN.pack(
            shard,
            accepted.offset,
            max(accepted.created_at, accepted.recorded_at),
            accepted.effective_at,
            content_mark(draft),
            legs_mark(accepted.ordering_key or name, accepted.entries),
            accepted.reverses != "",
        )
        return None if known is None else Seen.unpack(known)

    def find(self, transaction_id: str) -> Seen | None:
        """What was accepted last with that id."""
        known = self._seen.get(short(transaction_id))
        return None if known is None else Seen.unpack(known)


@lru_cache(maxsize=16)
def short(transaction_id: str) -> bytes:
    """10 bytes of it; it is asked for several times, one after another."""
    return blake2b(transaction_id.encode("utf-8", "surrogatepass"), digest_size=10).digest()


# Marks are Python's own hashes of tuples of texts: 64 bits, with a key that each process draws.
# They hold no numbers, for hash(-1) is hash(-2), and hash(2**61) is hash(1).


def content_mark(draft: Mapping[str, Any]) -> int:
    """Of all texts that a repetition repeats, to the letter; the time beside them is in `Seen`."""
    metadata = draft["metadata"]
    return hash((
        draft["kind"],
        draft["description"],
        draft["ordering_key"],
        draft["reverses"],
        tuple(sorted(metadata.items())) if metadata else None,
        *[
            (entry["account"], entry["side"], entry["amount"], entry["currency"])
            for entry in draft["entries"]
        ],
    ))  # fmt: skip


def legs_mark(key: str, legs: Iterable[tuple[str, str, *tuple[int, ...]]]) -> int:
    """Of an ordering key and of legs in any order: account, currency, …, signed minor units."""
    return hash((key, *sorted([f"{leg[-1]} {leg[1]} {leg[0]}" for leg in legs])))

"""The accepted ids of all shards, and what is kept of each: one table for all checks."""

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple, Self

from ledger.gl.rows import PostedTransaction

_PACKED = struct.Struct(">Hqqqqq?")


class KnownId(NamedTuple):
    """An accepted transaction, packed in 43 bytes; times in microseconds since 1970.

    `known_from`: from when on its id is remembered. `content`, `entries`: hashes of what a
    repetition repeats, and of what a reversal mirrors.
    """

    shard: int
    offset: int
    known_from: int
    effective_at: int
    content: int
    entries: int
    is_reversal: bool

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """The value that `Ids.accept` has packed."""
        return cls._make(_PACKED.unpack(packed))

    def is_repeated_by(self, draft: Mapping[str, Any]) -> bool:
        """Whether `draft` has the same content, character by character."""
        return self.effective_at == draft["effective_at"] and self.content == content_hash(draft)

    def is_of(self, accepted: PostedTransaction) -> bool:
        """Whether it is that transaction, by what is kept: times, key and entries."""
        return (
            self.known_from == max(accepted.created_at, accepted.recorded_at)
            and self.effective_at == accepted.effective_at
            and self.entries
            == entries_hash(accepted.ordering_key or accepted.transaction_id, accepted.entries)
        )


class Ids:
    """Every accepted id of all shards, as 10 bytes each. Also decimals by currency."""

    def __init__(self) -> None:
        self._accepted: dict[bytes, bytes] = {}
        self.scales: dict[str, int] = {}

    def accept(self, accepted: PostedTransaction, draft: Mapping[str, Any]) -> KnownId | None:
        """Add an accepted transaction; returns the one accepted before with its id, if any."""
        name, key = accepted.transaction_id, short(accepted.transaction_id)
        known = self._accepted.get(key)
        # The last one counts: past the window an id may be used for another transaction.
        self._accepted[key] = _PACKED.pack(
            accepted.shard,
            accepted.offset,
            max(accepted.created_at, accepted.recorded_at),
            accepted.effective_at,
            content_hash(draft),
            entries_hash(accepted.ordering_key or name, accepted.entries),
            accepted.reverses != "",
        )
        return None if known is None else KnownId.unpack(known)

    def find(self, transaction_id: str) -> KnownId | None:
        """The transaction accepted last with that id."""
        known = self._accepted.get(short(transaction_id))
        return None if known is None else KnownId.unpack(known)


@lru_cache(maxsize=16)
def short(transaction_id: str) -> bytes:
    """10 bytes of its hash; cached, for it is asked for several times in a row."""
    return blake2b(transaction_id.encode("utf-8", "surrogatepass"), digest_size=10).digest()


# The hashes are Python's own, of tuples of texts: 64 bits, with a random key for each process. They
# cover no numbers, because hash(-1) is hash(-2), and hash(2**61) is hash(1).


def content_hash(draft: Mapping[str, Any]) -> int:
    """Of all texts that a repetition repeats; its time is in `KnownId`."""
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


def entries_hash(key: str, entries: Iterable[tuple[str, str, *tuple[int, ...]]]) -> int:
    """Of an ordering key and entries in any order: account, currency, …, signed minor units."""
    return hash((key, *sorted([f"{entry[-1]} {entry[1]} {entry[0]}" for entry in entries])))

"""A transaction as its producer wrote it, and what identifies its content."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from time import gmtime, strftime
from typing import NamedTuple, TypedDict

from ledger.domain import account as accounts

EARLIEST = -2_208_988_800_000_000
"""1900-01-01T00:00:00Z in microseconds since 1970, the first time a ledger can speak of."""
LATEST = 7_258_118_400_000_000
"""2200-01-01T00:00:00Z, the first one that it cannot."""


class DraftEntry(TypedDict):
    """One leg, as published: `amount` is a decimal in plain notation."""

    account: str
    side: accounts.Side
    amount: str
    currency: str


class Draft(TypedDict):
    """A transaction as published (schemas/Transaction.avsc); times in microseconds since 1970."""

    transaction_id: str
    kind: str
    description: str
    effective_at: int
    created_at: int
    ordering_key: str | None
    reverses: str | None
    entries: Sequence[DraftEntry]
    metadata: Mapping[str, str]


class Entry(NamedTuple):
    """One leg, checked: `amount` in minor units, debits above zero and credits below."""

    account: str
    currency: str
    scale: int
    amount: int


def shown_time(microseconds: int) -> str:
    """A time that a draft may have, for people: RFC 3339 in UTC, to the microsecond."""
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{fraction:06}Z"


def ordering_key(draft: Draft) -> str:
    """The key of the Kafka record: what keeps its order."""
    key = draft["ordering_key"]
    return draft["transaction_id"] if key is None else key


def metadata_text(metadata: Mapping[str, str]) -> str:
    """Metadata as JSON with sorted keys; empty text for none."""
    if not metadata:
        return ""
    return json.dumps(metadata, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def fingerprint(draft: Draft) -> bytes:
    """16 bytes that tell a repetition from a reuse of the id: everything but `created_at`.

    Amounts count as written: a repetition repeats them to the letter.
    """
    parts = [
        draft["transaction_id"],
        draft["kind"],
        draft["description"],
        str(draft["effective_at"]),
        draft["ordering_key"] or "",
        draft["reverses"] or "",
        metadata_text(draft["metadata"]),
        # With their number, a separator inside an entry cannot pass for more entries.
        str(len(draft["entries"])),
    ]
    for entry in draft["entries"]:
        parts += (entry["account"], entry["side"], entry["amount"], entry["currency"])
    return blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def mirror(key: str, entries: Iterable[Entry]) -> bytes:
    """16 bytes of what a reversal's ordering key and entries must be; scales do not count."""
    lines = [f"{account} {currency} {-amount}" for account, currency, _, amount in entries]
    return _digest(key, lines)


def legs(key: str, entries: Iterable[Entry]) -> bytes:
    """16 bytes of ordering key and entries in any order."""
    lines = [f"{account} {currency} {amount}" for account, currency, _, amount in entries]
    return _digest(key, lines)


def _digest(key: str, lines: list[str]) -> bytes:
    lines.sort()
    return blake2b("\x1f".join([key, *lines]).encode(), digest_size=16).digest()

"""Columns of runs encoded as PostgreSQL's COPY takes them.

The encoders are ours because every transaction passes here, and psycopg's row writer takes twice
the time. Transactions are binary, where a time is one subtraction instead of a formatted text;
entries are text, where a NUMERIC is just its digits.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import psycopg

from ledger.domain.run import Content

COPY_TRANSACTIONS = (
    "COPY transactions (shard, log_offset, effective_at, recorded_at, created_at, transaction_id,"
    " kind, description, ordering_key, reverses, metadata) FROM STDIN (FORMAT BINARY)"
)
COPY_ENTRIES = "COPY entries (shard, log_offset, entry, account, currency, side, amount) FROM STDIN"

# https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
# Number of fields, then each with its length before it: int4, int8, three timestamptz.
_HEAD = struct.Struct(">h iiiqiqiqiq")
_FIELDS = 11
_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
# PostgreSQL counts microseconds from 2000-01-01.
_Y2K = 946_684_800_000_000


def copy_rows(driver: psycopg.Connection[Any], statement: str, rows: bytes) -> None:
    """Copy `rows`, encoded as `statement` takes them, into a table."""
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(rows)


def transaction_stream(rows: Iterable[bytes]) -> bytes:
    """What COPY_TRANSACTIONS takes; `rows` from `transaction_rows`."""
    return b"".join((_SIGNATURE, *rows, _TRAILER))


def transaction_rows(shard: int, contents: Iterable[Content]) -> bytes:
    """Rows for `transaction_stream`."""
    rows = chain.from_iterable(_transactions(shard, content) for content in contents)
    return b"".join(rows)


def _transactions(shard: int, content: Content) -> Iterable[bytes]:
    places = zip(
        content.offsets, content.effective_at, content.recorded_at, content.created_at, strict=True
    )
    heads = [
        _HEAD.pack(
            _FIELDS, 4, shard, 8, offset, 8, effective_at - _Y2K, 8, recorded_at - _Y2K,
            8, created_at - _Y2K,
        )
        for offset, effective_at, recorded_at, created_at in places
    ]  # fmt: skip
    rows = zip(
        heads,
        _fields(content.transaction_ids),
        _fields(content.kinds),
        _fields(content.descriptions),
        _fields(content.ordering_keys),
        _fields(content.reverses),
        _fields(content.metadata),
        strict=True,
    )
    return chain.from_iterable(rows)


def _fields(column: Sequence[str]) -> list[bytes]:
    """Texts with their lengths before them; an empty one is NULL."""
    if not any(column):
        return [_NULL] * len(column)
    length = _LENGTH.pack
    return [length(len(text)) + text if text else _NULL for text in map(str.encode, column)]


def entry_rows(shard: int, contents: Iterable[Content]) -> bytes:
    """What COPY_ENTRIES takes."""
    return "".join(chain.from_iterable(_entries(shard, content) for content in contents)).encode()


def _entries(shard: int, content: Content) -> list[str]:
    accounts, currencies = _escaped(content.accounts), _escaped(content.currencies)
    names = [f"\t{name}\t{code}\t" for name, code in zip(accounts, currencies, strict=True)]
    stripes, amounts = content.entry_stripes, content.entry_amounts
    lines: list[str] = []
    at = 0
    for offset, count in zip(content.offsets, content.entry_counts, strict=True):
        for entry in range(count):
            amount, name = amounts[at], names[stripes[at]]
            at += 1
            side = f"D\t{amount}" if amount > 0 else f"C\t{-amount}"
            lines.append(f"{shard}\t{offset}\t{entry}{name}{side}\n")
    return lines


def _escaped(column: Sequence[str]) -> Sequence[str]:
    """Nearly always unchanged: of all names only a currency's may have a backslash."""
    together = "".join(column)
    if not any(special in together for special in "\\\t\n\r"):
        return column
    return [text.translate(_ESCAPES) for text in column]

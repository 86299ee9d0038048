"""The fast path for decoding published transactions, which is most of the work on each.

What is usual under schemas/Transaction.avsc as it stands; fastavro has the rest, and takes two
thirds longer.
"""

from ledger.domain.account import Side
from ledger.domain.avro import UNUSUAL
from ledger.domain.transaction import Draft, DraftEntry

_SIDES: tuple[Side, Side] = ("debit", "credit")
_ENDS, _EIGHTH = 0x80808080_80808081, 0x00808080_80808080
"""Of eight bytes: where a number ends, and its sign; and of a time from 1978 to 3111."""
_NULL, _SOME = 0, 2


class _Unusual(ValueError):
    pass


def usual(value: bytes, at: int) -> Draft | None:
    """The transaction in `value[at:]`, all of it, as fastavro reads it; None for fastavro to read.

    Or to refuse: what is cut short, too long or no UTF-8 is not usual.
    """
    try:
        return _read(value, at)
    except (IndexError, ValueError):
        return None


def _read(value: bytes, at: int) -> Draft:
    # No slice is too short unnoticed: the byte after it is looked at, or the length of all.
    transaction_id, at = _text(value, at)
    kind, at = _text(value, at)
    description, at = _text(value, at)
    effective_at = _time(value[at : at + 8])
    created = value[at + 8 : at + 16]
    created_at = effective_at if created == value[at : at + 8] else _time(created)
    ordering_key, at = _optional(value, at + 16)
    reverses, at = _optional(value, at)
    entries, at = _entries(value, at)
    metadata, at = _metadata(value, at)
    if at != len(value):
        raise _Unusual
    return {
        "transaction_id": transaction_id,
        "kind": kind,
        "description": description,
        "effective_at": effective_at,
        "created_at": created_at,
        "ordering_key": ordering_key,
        "reverses": reverses,
        "entries": entries,
        "metadata": metadata,
    }


def _text(value: bytes, at: int) -> tuple[str, int]:
    length = value[at]
    start = at + 1
    if length & UNUSUAL:
        if length & 1 or value[start] & 0x80:
            raise _Unusual
        length = length & 0x7F | value[start] << 7
        start += 1
    end = start + (length >> 1)
    return value[start:end].decode(), end


def _time(eight: bytes) -> int:
    number = int.from_bytes(eight, "little")
    if number & _ENDS != _EIGHTH:
        raise _Unusual
    # Seven bits of each byte: in pairs, then in fours, then all.
    number = number & 0x7F007F007F007F | (number & 0x7F007F007F007F00) >> 1
    number = number & 0x3FFF00003FFF | (number & 0x3FFF00003FFF0000) >> 2
    return (number & 0xFFFFFFF | (number & 0xFFFFFFF00000000) >> 4) >> 1


def _optional(value: bytes, at: int) -> tuple[str | None, int]:
    which = value[at]
    if which == _NULL:
        return None, at + 1
    if which != _SOME:
        raise _Unusual
    return _text(value, at + 1)


def _count(value: bytes, at: int) -> int:
    count = value[at]
    if count & UNUSUAL:
        raise _Unusual
    return count >> 1


def _entries(value: bytes, at: int) -> tuple[list[DraftEntry], int]:
    entries: list[DraftEntry] = []
    count = _count(value, at)
    at += 1
    for _ in range(count):
        # Most of the texts are here, and short: no call for each.
        length = value[at]
        start, end = at + 1, at + 1 + (length >> 1)
        account = value[start:end].decode()
        side, amount_length = value[end], value[end + 1]
        start, end = end + 2, end + 2 + (amount_length >> 1)
        amount = value[start:end].decode()
        currency_length = value[end]
        start, at = end + 1, end + 1 + (currency_length >> 1)
        if (length | side | amount_length | currency_length) & UNUSUAL:
            raise _Unusual
        entries.append({
            "account": account,
            "side": _SIDES[side >> 1],
            "amount": amount,
            "currency": value[start:at].decode(),
        })  # fmt: skip
    return entries, _end_of_block(value, at) if count else at


def _metadata(value: bytes, at: int) -> tuple[dict[str, str], int]:
    metadata: dict[str, str] = {}
    count = _count(value, at)
    at += 1
    for _ in range(count):
        name, at = _text(value, at)
        metadata[name], at = _text(value, at)
    return metadata, _end_of_block(value, at) if count else at


def _end_of_block(value: bytes, at: int) -> int:
    if value[at]:
        raise _Unusual
    return at + 1

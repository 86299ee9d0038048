"""Bytes spoilt as an attacker would, or a disk: by chance, and with an eye on Avro and Kafka."""

from collections.abc import Callable, Sequence
from random import Random

MOST = 64
"""Bytes that one change adds, a repeated slice apart."""
NUMBERS = (
    0, 1, -1, 2, 63, 64, -64, -65, 127, 128, 255, 8_192, 2**15, 2**16, 2**31 - 1, 2**31, -(2**31),
    2**32, 2**53, 2**62, 2**63 - 1, -(2**63),
)  # fmt: skip
TEXTS = (
    b"NaN", b"Infinity", b"-0", b"1e999", b"9" * 40, b"0x10", b"\0", b"\xff", b"\xed\xa0\x80",
    b"\xc0\x80", b"\xf4\x90\x80\x80", "\u202e".encode(), "\u2028".encode(), b"\x1b[2J", b"\x9b1m",
    "e\u0301".encode(), "\U0010ffff".encode(), b"'; DROP TABLE entries; --", b"=1+1", b"%s%n",
)  # fmt: skip


def varint(number: int) -> bytes:
    """Zigzag, as Avro and Kafka have it; of what does not fit 64 bits too."""
    left = number << 1 if number >= 0 else (-number << 1) - 1
    out = bytearray()
    while left > 127:
        out.append(left & 127 | 128)
        left >>= 7
    return bytes([*out, left])


def _span(chance: Random, value: bytes) -> tuple[int, int]:
    start = chance.randrange(len(value) + 1)
    return start, min(len(value), start + chance.randrange(1, MOST))


def _flipped(chance: Random, value: bytes) -> bytes:
    if not value:
        return value
    at = chance.randrange(len(value))
    return value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]


def _cut(chance: Random, value: bytes) -> bytes:
    return value[: chance.randrange(len(value) + 1)]


def _without(chance: Random, value: bytes) -> bytes:
    start, end = _span(chance, value)
    return value[:start] + value[end:]


def _repeated(chance: Random, value: bytes) -> bytes:
    start, end = _span(chance, value)
    return value[:end] + value[start:end] * chance.randrange(1, 20) + value[end:]


def _with(chance: Random, value: bytes, part: bytes) -> bytes:
    """Put in, or in place of as many."""
    start = chance.randrange(len(value) + 1)
    return value[:start] + part + value[start + chance.choice((0, 1, len(part))) :]


def _with_noise(chance: Random, value: bytes) -> bytes:
    return _with(chance, value, bytes(chance.randrange(256) for _ in range(chance.randrange(1, 9))))


def _with_number(chance: Random, value: bytes) -> bytes:
    return _with(chance, value, varint(chance.choice(NUMBERS)))


def _with_endless_number(chance: Random, value: bytes) -> bytes:
    return _with(chance, value, b"\xff" * chance.randrange(9, MOST))


def _with_text(chance: Random, value: bytes) -> bytes:
    return _with(chance, value, chance.choice(TEXTS))


CHANGES: Sequence[Callable[[Random, bytes], bytes]] = (
    _flipped, _flipped, _cut, _without, _repeated, _with_noise, _with_number, _with_endless_number,
    _with_text,
)  # fmt: skip


def damaged(chance: Random, value: bytes, most: int = 4) -> bytes:
    """`value` after one to `most` changes; it may by chance be what it was."""
    for _ in range(chance.randint(1, most)):
        value = chance.choice(CHANGES)(chance, value)
    return value

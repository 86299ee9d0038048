"""The stripes table: what its rows and its mark say, in RocksDB and in the changelog alike."""

import struct
from typing import NamedTuple

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark

MARK = b"w"
_MARK = struct.Struct(">qq32sqqq32sqqq")


class Row(NamedTuple):
    """A stripe: `live` as decided, `posted` as last compared when the row was written."""

    scale: int
    live: Totals
    posted: Totals
    broken: bool

    def encode(self) -> bytes:
        """Plain text: numbers of any size."""
        numbers = (self.scale, *self.live, *self.posted, int(self.broken))
        return " ".join(map(str, numbers)).encode()

    @classmethod
    def decode(cls, text: bytes) -> "Row":
        """What `encode` made."""
        numbers = list(map(int, text.split()))
        return cls(numbers[0], Totals(*numbers[1:5]), Totals(*numbers[5:9]), bool(numbers[9]))


class Mark(NamedTuple):
    """Where a shard's table stands.

    `stream`: what is folded into the rows. `compared`: how far both sides were compared.
    `posted`: next posted message to read after a restart. `breaks`: how many are open.
    """

    stream: Watermark = Watermark()
    compared: Watermark = Watermark()
    posted: int = 0
    breaks: int = 0

    def encode(self) -> bytes:
        """48 and 56 bytes of watermarks and two counts."""
        return _MARK.pack(*_fields(self.stream), *_fields(self.compared), self.posted, self.breaks)

    @classmethod
    def decode(cls, text: bytes) -> "Mark":
        """What `encode` made."""
        fields = _MARK.unpack(text)
        return cls(Watermark(*fields[:4]), Watermark(*fields[4:8]), *fields[8:])


def _fields(watermark: Watermark) -> tuple[int, int, bytes, int]:
    return (
        watermark.decisions_offset,
        watermark.end,
        watermark.digest,
        watermark.recorded_until,
    )


def key_of(stripe: Stripe) -> bytes:
    """The stripe's key in the table and its changelog."""
    return f"s{stripe.account} {stripe.currency}".encode()


def stripe_of(key: bytes) -> Stripe:
    """The stripe of a key."""
    account, currency = key[1:].decode().split(" ")
    return Stripe(account, currency)


def version_of(key: bytes, value: bytes) -> int:
    """How new a row of the changelog is: the last transaction, or decision, in it."""
    if key == MARK:
        return Mark.decode(value).stream.decisions_offset
    return int(value.split(b" ", 5)[4])

"""Stripes as bytes, the same in the table, its changelog and the stripes topic."""

import struct
from operator import attrgetter

import schemas
from ledger.domain.balance import Totals
from ledger.domain.codecs import decoder, encoder
from ledger.domain.compare import Mark
from ledger.domain.fold import Row
from ledger.domain.run import Stripe, Watermark
from ledger.streaming.registry import Codec

_TOTALS = ("live", "posted")
_encode = encoder(schemas.load("Stripe"), Row, through=dict.fromkeys(_TOTALS, Totals.text))
_usual = decoder(schemas.load("Stripe"), Row, through=dict.fromkeys(_TOTALS, Totals.read))
MARK = b"w"
_MARK = struct.Struct(">qq32sqqq32sqqq")
_fields = attrgetter("decisions_offset", "end", "digest", "recorded_until")


class RowCodec:
    """Rows as bytes, by schemas/Stripe.avsc."""

    def __init__(self, codec: Codec) -> None:
        self._codec, self._head = codec, codec.head("Stripe")

    def encode(self, row: Row) -> bytes:
        """A row as the value of a Kafka record."""
        return _encode(row, self._head)

    def decode(self, value: bytes) -> Row:
        """Raises ValueError for what is no row."""
        if value.startswith(self._head):
            usual: Row | None = _usual(value, len(self._head))
            if usual is not None:
                return usual
        row = self._codec.decode("Stripe", value)
        live, posted = Totals.read(row["live"]), Totals.read(row["posted"])
        return Row(row["scale"], live, posted, row["broken"])

    def version_of(self, key: bytes, value: bytes) -> int:
        """How new a record of the changelog is: the last transaction, or decision, in it.

        Raises ValueError for what is neither a stripe's row nor a mark.
        """
        if key == MARK:
            return decode_mark(value).stream.decisions_offset
        if key != key_of(stripe_of(key)):
            raise ValueError("its key is not a stripe's")
        return self.decode(value).live.offset


def encode_mark(mark: Mark) -> bytes:
    """48 and 56 bytes of watermarks and two counts."""
    return _MARK.pack(*_fields(mark.stream), *_fields(mark.compared), mark.posted, mark.breaks)


def decode_mark(text: bytes) -> Mark:
    """What `encode_mark` made. Raises ValueError for anything else."""
    if len(text) != _MARK.size:
        raise ValueError(f"a mark has {_MARK.size} bytes, not {len(text)}")
    fields = _MARK.unpack(text)
    return Mark(Watermark(*fields[:4]), Watermark(*fields[4:8]), *fields[8:])


def key_of(stripe: Stripe) -> bytes:
    """The stripe's key in the table and its changelog."""
    return f"s{stripe.account} {stripe.currency}".encode()


def message_key(stripe: Stripe, shard: int) -> bytes:
    """The key of the stripe's records in the stripes topic."""
    return f"{stripe.account} {stripe.currency} {shard}".encode()


def stripe_of(key: bytes) -> Stripe:
    """The stripe of a table's key. Raises ValueError for what is none."""
    account, currency = key[1:].decode().split(" ")
    return Stripe(account, currency)


def named_by(key: bytes, shards: int) -> tuple[Stripe, int]:
    """The stripe and the shard of a message's key. Raises ValueError for what is none."""
    account, currency, text = key.decode().split(" ")
    shard = int(text)
    if str(shard) != text or not 0 <= shard < shards:
        raise ValueError(f"{text[:32]!r} is no shard")
    return Stripe(account, currency), shard

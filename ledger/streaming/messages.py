"""What stages publish of a shard, as Kafka records: (key, value)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord

import schemas
from ledger.domain import avro
from ledger.domain.balance import Balance, Totals
from ledger.domain.codecs import encoder
from ledger.domain.compare import Difference, Posted
from ledger.domain.portions import portions
from ledger.domain.run import Refusal, Stripe, Watermark
from ledger.streaming.log import log_dropped
from ledger.streaming.registry import HEADER, Codec, schema_id_of
from ledger.streaming.stripe_rows import message_key

Message = tuple[bytes | None, bytes]
POSTED_STRIPES = 50_000
"""Of one message, which takes some 100 bytes for each; after a silence there may be any number."""
POSTED_HEAD_BYTES = 80
"""Of a posted message: its positions and its digest take no more."""
PORTION_BYTES = 8 * 1024 * 1024
_encode_balance = encoder(schemas.load("Balance"), Balance)
_encode_reject = encoder(schemas.load("Reject"), Refusal, more="shard")


@dataclass(frozen=True, slots=True)
class Messages:
    """The messages of one shard, by the schemas of the same names."""

    codec: Codec
    shard: int

    def break_(
        self, sides: Difference, span: tuple[int, int], *, state: str, detected_at: int
    ) -> Message:
        """Both sides' totals at the end of `span`; `detected_at` in microseconds."""
        value = {
            "shard": self.shard,
            "account": sides.stripe.account,
            "currency": sides.stripe.currency,
            "start": span[0],
            "end": span[1],
            "state": state,
            "stream": sides.stream and _texts(sides.stream),
            "ledger": sides.ledger and _texts(sides.ledger),
            "detected_at": detected_at,
        }
        key = message_key(sides.stripe, self.shard)
        return key, self.codec.encode("Break", value)

    def progress(self, compared: Watermark, open_breaks: int) -> Message:
        """How far the shard is compared."""
        value = {
            "shard": self.shard,
            "end": compared.end,
            "decisions_offset": compared.decisions_offset,
            "digest": compared.digest,
            "recorded_until": compared.recorded_until,
            "open_breaks": open_breaks,
        }
        return str(self.shard).encode(), self.codec.encode("Progress", value)

    def reject(self, refusal: Refusal) -> Message:
        """A refused record with its original bytes."""
        value = _encode_reject(refusal, self.codec.head("Reject"), self.shard)
        return f"{self.shard}:{refusal.offset}".encode(), value


def balance(head: bytes, of: Balance) -> Message:
    """An account's balance; `head` is the codec's of "Balance"."""
    return f"{of.account} {of.currency}".encode(), _encode_balance(of, head)


def posted_parts(
    codec: Codec, shard: int, after: int, watermark: Watermark, totals: Mapping[Stripe, Totals]
) -> Iterator[Message]:
    """The database's totals after the runs [after, watermark), in as many messages as they need."""
    row = {
        "shard": shard,
        "after": after,
        "decisions_offset": watermark.decisions_offset,
        "end": watermark.end,
        "digest": watermark.digest,
    }
    # A run without entries is a message too: its position counts.
    parts = list(portions(totals.items(), count=POSTED_STRIPES)) or [[]]
    for number, part in enumerate(parts, 1):
        columns = _columns(dict(part))
        yield None, codec.encode("Posted", row | columns | {"more": number < len(parts)})


def _columns(totals: Mapping[Stripe, Totals]) -> dict[str, list[Any]]:
    return {
        "accounts": [stripe.account for stripe in totals],
        "currencies": [stripe.currency for stripe in totals],
        "debits": [str(each.debits) for each in totals.values()],
        "credits": [str(each.credits) for each in totals.values()],
        "entries": [each.entries for each in totals.values()],
        "offsets": [each.offset for each in totals.values()],
    }


def posted_in(codec: Codec, record: ConsumerRecord) -> Posted | None:
    """The posted message in a record of its shard's partition.

    None, with a line in the log, for a record that no posting application wrote: had it been one
    of posting's, the next message would show a gap.
    """
    try:
        row = codec.decode("Posted", record.value or b"")
        totals = _totals(row)
        why = None if row["shard"] == record.partition else f"it is of shard {row['shard']}"
    except ValueError as error:
        why = str(error)
    if why is not None:
        log_dropped(record, why)
        return None
    return Posted(
        record.offset + 1, row["after"], row["decisions_offset"], row["end"], row["digest"],
        totals, row["more"],
    )  # fmt: skip


def posted_to(codec: Codec, record: ConsumerRecord) -> int | None:
    """The position up to which a posted message speaks, without its totals.

    None where more of the same posting follows, and, with a line in the log, as `posted_in`.
    """
    value = record.value or b""
    try:
        if schema_id_of(value) != codec.ids["Posted"]:
            posted = posted_in(codec, record)
            return None if posted is None or posted.has_more else posted.end
        head = avro.decode_head("Posted", "digest", value[:POSTED_HEAD_BYTES], HEADER.size)
        why = None if head["shard"] == record.partition else f"it is of shard {head['shard']}"
    except ValueError as error:
        why = str(error)
    if why is not None:
        log_dropped(record, why)
        return None
    # Whether more follows is the last field.
    return None if value[-1] else int(head["end"])


def _totals(row: Mapping[str, Sequence[str]]) -> dict[Stripe, Totals]:
    columns: list[Iterator[int]] = [
        map(int, row[name]) for name in ("debits", "credits", "entries", "offsets")
    ]
    stripes = map(Stripe, row["accounts"], row["currencies"])
    return dict(zip(stripes, map(Totals, *columns), strict=True))


def _texts(totals: Totals) -> dict[str, str | int]:
    return {
        "debits": str(totals.debits),
        "credits": str(totals.credits),
        "entries": totals.entries,
        "offset": totals.offset,
    }


class Extent(NamedTuple):
    """What of the balances topic coverage is about: offsets [start, offset) of `topic`, an id.

    `topic` is empty where it is not known.
    """

    topic: str
    start: int
    offset: int


def coverage(codec: Codec, partition: int, extent: Extent, ends: list[int]) -> Message:
    """How much of each shard the balances of a partition contain."""
    value = {"partition": partition, **extent._asdict(), "ends": ends}
    return str(partition).encode(), codec.encode("Coverage", value)


def balance_in(codec: Codec, record: ConsumerRecord) -> tuple[Stripe | None, Balance | None]:
    """Whose balance a record of the balances topic is, and what it says.

    None for a key that is no account's, and for a record that is no balance.
    """
    try:
        account, _, currency = (record.key or b"").decode().partition(" ")
    except ValueError:
        return None, None
    try:
        row = codec.decode("Balance", record.value or b"")
    except ValueError:
        return Stripe(account, currency), None
    return Stripe(account, currency), Balance(**row)


def extent_in(codec: Codec, record: ConsumerRecord) -> Extent | None:
    """What a record of coverage is about; None for a record that is none."""
    try:
        row = codec.decode("Coverage", record.value or b"")
    except ValueError as error:
        log_dropped(record, error)
        return None
    return Extent(row["topic"], row["start"], row["offset"])

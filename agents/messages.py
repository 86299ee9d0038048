"""What reconciliation says of a shard, as Kafka records: (key, value)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ledger.domain import avro
from ledger.domain.balance import Balance, Totals
from ledger.domain.reconcile import Difference
from ledger.domain.run import Refusal, Watermark
from ledger.streaming.registry import Codec
from ledger.streaming.stripe_rows import message_key

Message = tuple[bytes, bytes]
PORTION_BYTES = 8 * 1024 * 1024


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
        long = avro.long
        value = b"".join((
            self.codec.head("Reject"), long(self.shard), long(refusal.offset), refusal.why,
            avro.signed(refusal.recorded_at), refusal.original,
        ))  # fmt: skip
        return f"{self.shard}:{refusal.offset}".encode(), value


def balance(head: bytes, says: Balance) -> Message:
    """An account's balance. By hand, for there is nearly one for each transaction.

    `head` is the codec's of "Balance".
    """
    long, text = avro.long, avro.text
    value = b"".join((
        head, text(says.account), text(says.currency), long(says.scale), text(says.posted),
        text(says.pending), text(says.debits), text(says.credits), long(says.entries),
        text(says.status), long(says.version),
    ))  # fmt: skip
    return f"{says.account} {says.currency}".encode(), value


def portions(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Lists that each fit one record batch."""
    part: list[Message] = []
    held = 0
    for message in messages:
        if part and held + len(message[1]) > PORTION_BYTES:
            yield part
            part, held = [], 0
        part.append(message)
        held += len(message[1])
    if part:
        yield part


def _texts(totals: Totals) -> dict[str, str | int]:
    return {
        "debits": str(totals.debits),
        "credits": str(totals.credits),
        "entries": totals.entries,
        "offset": totals.offset,
    }

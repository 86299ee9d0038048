"""Send refused records again unchanged, after the reason of the refusal was fixed."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ledger.client.checking import RECORD_BYTES
from ledger.client.publisher import Publisher
from ledger.client.receipt import Receipt
from ledger.settings import Settings


class RejectedRecord(NamedTuple):
    """Key and value as a producer wrote them."""

    key: bytes
    value: bytes


def distinct_records(rows: Iterable[dict[str, object]]) -> list[RejectedRecord]:
    """Each distinct record of Reject rows once, in order.

    A record that was sent again and refused again is in two rows, and is sent once by the next
    attempt. Records that can never be accepted are left out: those without a key or a value, and
    those cut at the topic's limit.
    """
    found: dict[RejectedRecord, None] = {}
    for row in rows:
        key, value = row["key"], row["value"]
        if not (isinstance(key, bytes) and isinstance(value, bytes) and key):
            continue
        if len(key) + len(value) <= RECORD_BYTES:
            found[RejectedRecord(key, value)] = None
    return list(found)


async def resend(
    settings: Settings,
    records: Iterable[RejectedRecord],
    on_receipt: Callable[[Receipt], None],
    *,
    seconds: float | None,
) -> int:
    """Append each to the partition of its key; returns their number. Raises PublishFailed."""
    async with Publisher(settings, check=False, timeout=seconds) as publisher:
        pending = [await publisher.submit_record(*each) for each in records]
        for future in pending:
            on_receipt(await future)
        return len(pending)

"""The checks of a transaction before it is sent, by the service's own functions."""

from collections.abc import Callable
from functools import partial

from ledger.client.records import NO_SCHEMA
from ledger.clock import now
from ledger.domain.checks import check_content, check_fields
from ledger.domain.policy import Policy
from ledger.domain.reference import Reference
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft, ordering_key
from ledger.streaming.registry import Codec
from ledger.streaming.topics import MIB
from ledger.streaming.transactions import too_large

RECORD_BYTES = MIB - 1024
"""Key and value of the largest record that the topic takes, alone in its batch."""


def refusal_of(
    draft: Draft, *, recorded_at: int, reference: Reference, policy: Policy
) -> Refused | None:
    """The refusal that the service would give now; repetitions and reversals are not looked up."""
    # `accepted`: only the service knows which transactions are older than the rules for names.
    refused = check_fields(draft, recorded_at=recorded_at, policy=policy, accepted=lambda _: True)
    if refused:
        return refused
    checked = check_content(draft, recorded_at=recorded_at, reference=reference, policy=policy)
    return checked if isinstance(checked, Refused) else None


def encoded(
    draft: Draft, encode: Callable[[Draft], bytes], limit: int
) -> tuple[bytes, bytes] | Refused:
    """Key and value of the record, or why it cannot be encoded; `limit`: bytes of the value."""
    try:
        key, value = ordering_key(draft).encode(), encode(draft)
    except (ValueError, OverflowError) as error:
        sentence = f"The transaction cannot be written as Avro: {error}."
        return Refused(Reason.FIELD_MALFORMED, sentence)
    if len(value) > limit or len(key) + len(value) > RECORD_BYTES:
        return too_large(len(value), limit)
    return key, value


class OfflineChecker:
    """Checks without a ledger: by ISO 4217, and the policy that a new ledger would begin with.

    UNKNOWN_CURRENCY is no verdict then: the asset may be registered with a ledger.
    """

    shards = 1

    def __init__(self, policy: Policy, *, clock: Callable[[], int] = now) -> None:
        self._policy, self._clock = policy, clock
        self._reference = Reference()
        # The id of a schema takes four bytes, whatever it is.
        self._encode = partial(Codec({"Transaction": NO_SCHEMA}).encode, "Transaction")

    @property
    def window(self) -> int:
        """Microseconds for which a new ledger would remember an id."""
        return self._policy.window

    async def check(self, draft: Draft) -> Refused | None:
        """The refusal that such a ledger would give."""
        record = encoded(draft, self._encode, self._policy.max_bytes)
        if isinstance(record, Refused) and record.reason is not Reason.FIELD_MALFORMED:
            return record
        refused = refusal_of(
            draft, recorded_at=self._clock(), reference=self._reference, policy=self._policy
        )
        return refused or (record if isinstance(record, Refused) else None)

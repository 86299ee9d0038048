"""Build transactions in Python: `transaction(..., entries=[debit(...), credit(...)])`."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

from ledger.domain.account import Side
from ledger.domain.transaction import Draft, DraftEntry


def transaction(
    *,
    transaction_id: str,
    kind: str,
    effective_at: datetime,
    entries: Sequence[DraftEntry],
    created_at: datetime | Literal["now"] | None = None,
    description: str = "",
    ordering_key: str | None = None,
    reverses: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Draft:
    """A draft for a publisher. `created_at`: the stored time at which the event happened.

    Give "now" for an event that happens now. It promises that the transaction was never published
    before, as `publish --created-at now` does. Keep such a draft for retries: after the window in
    which ids are remembered, a draft that is built again is new money.

    Raises TypeError without a created_at, and ValueError for a time without a time zone, which
    could be any of several hours.
    """
    return Draft(
        transaction_id=transaction_id,
        kind=kind,
        description=description,
        effective_at=microseconds(effective_at),
        created_at=_created_at(created_at),
        ordering_key=ordering_key,
        reverses=reverses,
        entries=entries,
        metadata=metadata or {},
    )


def _created_at(given: object) -> int:
    if given == "now":
        given = datetime.now(UTC)
    if isinstance(given, datetime):
        return microseconds(given)
    raise TypeError(
        f"created_at is {given!r}: give the stored time at which the event happened. A draft that "
        "is built again with the present time is new money once ids are forgotten (window_days). "
        'For an event that happens now and was never published, give created_at="now", and keep '
        "the draft for retries."
    )


def debit(account: str, amount: str | Decimal, currency: str) -> DraftEntry:
    """A debit of `amount`, a decimal such as "12.34" or Decimal("12.34"), never a float."""
    return _entry(account, "debit", amount, currency)


def credit(account: str, amount: str | Decimal, currency: str) -> DraftEntry:
    """A credit of `amount`, a decimal such as "12.34" or Decimal("12.34"), never a float."""
    return _entry(account, "credit", amount, currency)


def _entry(account: str, side: Side, amount: str | Decimal, currency: str) -> DraftEntry:
    if not isinstance(amount, str | Decimal):
        raise TypeError(f"amount {amount!r}: give a string or a Decimal; a float is never money.")
    text = f"{amount:f}" if isinstance(amount, Decimal) else amount
    return DraftEntry(account=account, side=side, amount=text, currency=currency)


def microseconds(time: datetime) -> int:
    """Microseconds since 1970. Raises ValueError for a time without a time zone."""
    if time.tzinfo is None:
        raise ValueError(f"{time} has no time zone; give datetime(..., tzinfo=UTC).")
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


EARLIEST_SHOWN = microseconds(datetime.min.replace(tzinfo=UTC))
LATEST_SHOWN = microseconds(datetime.max.replace(tzinfo=UTC))
"""The first and the last microsecond that `rfc3339` shows."""


def rfc3339(micros: int) -> str:
    """RFC 3339 of microseconds since 1970, for people and JSON; years 1 to 9999."""
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return time.isoformat().replace("+00:00", "Z")

"""Open breaks: stripes on which stream and general ledger disagree."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ledger.api.breaks import Break, OpenBreaks, Side
from ledger.api.reference import ApiReference
from ledger.api.services.accounts import is_below, order
from ledger.client.drafts import rfc3339
from ledger.domain import money

Place = tuple[str, str, int]
"""Account, currency and shard, in the order of the list."""


class BreakQuery(NamedTuple):
    """Which breaks are asked for; None chooses all."""

    currency: str | None = None
    shard: int | None = None


class BreaksService:
    """Answers from the topic of breaks, which this process follows."""

    def __init__(self, breaks: OpenBreaks, reference: ApiReference) -> None:
        self._breaks, self._reference = breaks, reference

    def breaks(
        self, roots: Sequence[str], query: BreakQuery, *, after: Place | None, limit: int
    ) -> list[dict[str, Any]]:
        """At most `limit` open breaks of accounts at and below `roots`, after a place, by account.

        Raises Problem before they are known.
        """
        self._breaks.require()
        self._reference.require()
        first = None if after is None else _key(after)
        chosen = sorted(self._chosen(roots, query), key=lambda each: _key(place_of(each)))
        rest = (each for each in chosen if first is None or _key(place_of(each)) > first)
        return [self._row(each) for each, _ in zip(rest, range(limit), strict=False)]

    def _chosen(self, roots: Sequence[str], query: BreakQuery) -> Iterator[Break]:
        for stripe, found in self._breaks.found.items():
            if (
                is_below(stripe.account, roots)
                and query.currency in (None, stripe.currency)
                and query.shard in (None, stripe.shard)
            ):
                yield found

    def _row(self, found: Break) -> dict[str, Any]:
        scale = self._reference.known.scales.get(found.stripe.currency, 0)
        return {
            **found.stripe._asdict(),
            "compared_from": found.start,
            "compared_to": found.end,
            "stream": _side(found.stream, scale),
            "ledger": _side(found.ledger, scale),
            "detected_at": rfc3339(found.detected_at),
        }


def place_of(found: Break) -> Place:
    """Where it is in the list."""
    return found.stripe.account, found.stripe.currency, found.stripe.shard


def _key(place: Place) -> Place:
    account, currency, shard = place
    return order(account), currency, shard


def _side(side: Side | None, scale: int) -> dict[str, Any] | None:
    if side is None:
        return None
    return {
        "debits": money.show(side.debits, scale),
        "credits": money.show(side.credits, scale),
        "entries": side.entries,
        "offset": side.offset,
    }

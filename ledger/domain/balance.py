"""Balances: what runs add to stripes, and what stripes add up to."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.domain.run import Content, Stripe


class Totals(NamedTuple):
    """Absolute totals of a stripe since the ledger began.

    `debits` and `credits` in minor units, of any size; `offset`: last transaction counted.
    """

    debits: int = 0
    credits: int = 0
    entries: int = 0
    offset: int = -1


NOTHING = Totals()


def totals_after(content: Content, before: Mapping[Stripe, Totals]) -> dict[Stripe, Totals]:
    """The totals of every stripe that the run touches; absent from `before` means nothing yet.

    A transaction at or below a stripe's offset was counted in it and is not counted again.
    """
    stripes = content.stripes()
    start = [before.get(stripe, NOTHING) for stripe in stripes]
    debits = [totals.debits for totals in start]
    credits = [totals.credits for totals in start]
    entries = [totals.entries for totals in start]
    counted = [totals.offset for totals in start]
    last = counted.copy()
    at = 0
    for offset, count in zip(content.offsets, content.entry_counts, strict=True):
        for leg in range(at, at + count):
            stripe = content.entry_stripes[leg]
            if offset <= counted[stripe]:
                continue
            amount = content.entry_amounts[leg]
            if amount > 0:
                debits[stripe] += amount
            else:
                credits[stripe] -= amount
            entries[stripe] += 1
            last[stripe] = offset
        at += count
    return dict(zip(stripes, map(Totals, debits, credits, entries, last), strict=True))


class StripeState(NamedTuple):
    """What an account's reader knows of one shard's stripe; `live` only where ahead of `posted`."""

    posted: Totals
    live: Totals | None
    broken: bool


def newer(known: StripeState | None, told: StripeState) -> StripeState:
    """The later of both, part by part: a repeat or a reordering changes nothing."""
    if known is None:
        return told
    posted, broken = known.posted, known.broken
    if told.posted.offset >= posted.offset:
        posted, broken = told.posted, told.broken
    live = max(
        (totals for totals in (known.live, told.live) if totals is not None),
        key=lambda totals: totals.offset,
        default=None,
    )
    if live is not None and live.offset <= posted.offset:
        live = None
    return StripeState(posted, live, broken)


class Balance(NamedTuple):
    """A balance for the public: decimal texts, `posted` and `pending` on the normal side.

    `status`: reconciled, pending or break. `version` rises with every change.
    """

    account: str
    currency: str
    scale: int
    posted: str
    pending: str
    debits: str
    credits: str
    entries: int
    status: str
    version: int


def balance_of(account: str, currency: str, scale: int, stripes: Iterable[StripeState]) -> Balance:
    """The sum of an account's stripes in one currency."""
    debits = credits = entries = live_debits = live_credits = version = 0
    status = "reconciled"
    for posted, live, broken in stripes:
        debits += posted.debits
        credits += posted.credits
        entries += posted.entries
        ahead = live or posted
        live_debits += ahead.debits - posted.debits
        live_credits += ahead.credits - posted.credits
        version += posted.offset + ahead.offset + 2
        if broken:
            status = "break"
        elif live is not None and status == "reconciled":
            status = "pending"
    posted_sum = on_normal_side(account, debits=debits, credits=credits)
    pending = on_normal_side(account, debits=live_debits, credits=live_credits)
    return Balance(
        account,
        currency,
        scale,
        money.show(posted_sum, scale),
        money.show(pending, scale),
        money.show(debits, scale),
        money.show(credits, scale),
        entries,
        status,
        version,
    )

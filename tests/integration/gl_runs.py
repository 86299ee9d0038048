"""Runs for tests of the journal, settled and chained as intake would.

chain = Chain(shard=3)
first = chain.run(moved(0, "12.34"), moved(1, -5))
journal.post(3, Watermark(), [first])
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ledger.domain.run import Content, Decision, Voided, Watermark, voids_encoded
from ledger.gl.journal import PostingRun

NOW = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z in microseconds since 1970."""
CASH = "assets:cash"
DEPOSIT = "liabilities:deposits:2378"


class Leg(NamedTuple):
    """An entry; minor units, debits above zero."""

    account: str
    amount: int
    currency: str = "CAD"
    scale: int = 2


class Made(NamedTuple):
    """A transaction and, by name in the singular, what differs from the usual."""

    offset: int
    legs: Sequence[Leg]
    fields: dict[str, Any]


def made(offset: int, *legs: Leg, **fields: Any) -> Made:
    """A transaction of any legs; `fields` such as effective_at=..., metadata=..."""
    return Made(offset, legs, fields)


def moved(
    offset: int, amount: int, *, debit: str = CASH, credit: str = DEPOSIT, **fields: Any
) -> Made:
    """Two legs that balance."""
    return Made(offset, [Leg(debit, amount), Leg(credit, -amount)], fields)


def content_of(transactions: Sequence[Made]) -> Content:
    """Columns, as intake lays them out."""
    content = Content()
    stripes: dict[tuple[str, str], int] = {}
    for offset, legs, fields in transactions:
        for account, amount, currency, scale in legs:
            if (account, currency) not in stripes:
                stripes[account, currency] = len(stripes)
                content.accounts.append(account)
                content.currencies.append(currency)
                content.scales.append(scale)
            content.entry_stripes.append(stripes[account, currency])
            content.entry_amounts.append(amount)
        content.entry_counts.append(len(legs))
        content.offsets.append(offset)
        content.recorded_at.append(fields.get("recorded_at", NOW + offset))
        content.effective_at.append(fields.get("effective_at", NOW))
        content.created_at.append(fields.get("created_at", NOW))
        content.transaction_ids.append(fields.get("transaction_id", f"t-{offset}"))
        content.kinds.append(fields.get("kind", "deposit"))
        content.descriptions.append(fields.get("description", ""))
        content.ordering_keys.append(fields.get("ordering_key", ""))
        content.reverses.append(fields.get("reverses", ""))
        content.metadata.append(fields.get("metadata", ""))
    return content


@dataclass
class Chain:
    """The decision log of one shard while it grows."""

    shard: int = 0
    watermark: Watermark = field(default_factory=Watermark)
    outcomes: bytes = b"outcomes"

    def run(
        self,
        *transactions: Made,
        end: int | None = None,
        skipped: int = 0,
        voided: Sequence[Voided] = (),
    ) -> PostingRun:
        """The next run, and the chain moves past it; `skipped` offsets of the log are holes."""
        before, content = self.watermark, content_of(transactions)
        decision = Decision(
            shard=self.shard,
            start=before.end,
            end=max([before.end, *(each + 1 for each in content.offsets)]) if end is None else end,
            follows=before.digest,
            recorded_until=max([before.recorded_until, *content.recorded_at]),
            reference_offset=7,
            accepted=len(transactions),
            content=content.encode(),
            outcomes=self.outcomes,
            reference_digest=bytes(range(32)),
            voids=voids_encoded(voided),
        )
        offset = before.decisions_offset + skipped
        self.watermark = decision.after(before, decisions_offset=offset)
        return PostingRun(decision, offset, content, voided)


def void_of(run: PostingRun, offset: int, *, at: int, **fields: Any) -> Voided:
    """What takes back the transaction at `offset` of `run`, asked for at the position `at`."""
    content = run.content.part({offset})
    usual = {"run": run.decisions_offset, "authority": 40, "reason": "me: it is stuck"}
    usual |= {"recorded_at": NOW + at, "scales": content.scales, "content": content.encode()}
    return Voided(offset=at, **(usual | fields))


def without(run: PostingRun, void: Voided, at: int) -> PostingRun:
    """`run` as it is posted once it is known that the run at decision offset `at` voids `void`."""
    return replace(run, left_out=[*run.left_out, (at, void)])

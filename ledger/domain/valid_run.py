"""A decision that counts, with its place in the chain of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from ledger.domain.decide import Decided
from ledger.domain.run import Content, Decision, Outcomes, Stripe, Voided, Watermark, voids_of

STRIPE_BYTES = 100
"""Of a row's totals and the frame around it, in the changelog, on a topic or in a message."""


@dataclass(frozen=True)
class ValidRun:
    """A decision that counts, where it stands in the log, and the watermarks around it."""

    decision: Decision
    decisions_offset: int
    before: Watermark
    after: Watermark

    @classmethod
    def of(cls, decided: Decided, decisions_offset: int, before: Watermark) -> Self:
        """A run that was just appended after `before`."""
        after = decided.decision.after(before, decisions_offset=decisions_offset)
        made = cls(decided.decision, decisions_offset, before, after)
        made.__dict__.update(content=decided.content, outcomes=decided.outcomes)
        return made

    @property
    def weight(self) -> int:
        """Bytes, roughly, of what is written and published of it."""
        decision = self.decision
        rows = STRIPE_BYTES * len(self.content.accounts)
        return len(decision.content) + len(decision.outcomes) + len(decision.voids) + rows

    @cached_property
    def content(self) -> Content:
        """What was accepted."""
        return Content.decode(self.decision.content)

    @cached_property
    def outcomes(self) -> Outcomes:
        """What was refused or recognised as a repetition."""
        return Outcomes.decode(self.decision.outcomes)

    @cached_property
    def voided(self) -> Sequence[Voided]:
        """Earlier decisions that it takes back."""
        return voids_of(self.decision.voids)

    def stripes(self) -> list[Stripe]:
        """Those that it touches, what it takes back included."""
        stripes = self.content.stripes()
        if not self.decision.voids:
            return stripes
        taken = [stripe for each in self.voided for stripe in each.transaction.stripes()]
        return list(dict.fromkeys([*stripes, *taken]))


def weight_of(run: ValidRun) -> int:
    """Its `weight`: a thousand accounts may be opened by one transaction."""
    return run.weight

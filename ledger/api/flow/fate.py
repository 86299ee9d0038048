"""What became of a transaction: how it was decided, and how far it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ledger.client.outcomes import OpenBreak, Outcome
from ledger.domain.run import Refusal, Voided


class Level(StrEnum):
    """What can be waited for, in this order."""

    DECIDED = "decided"
    POSTED = "posted"
    RECONCILED = "reconciled"


class Reached(NamedTuple):
    """A position of a shard, and when it was reached; microseconds, 0 where that is not known."""

    end: int
    at: int


class RunPlace(NamedTuple):
    """The run [start, end) of a shard; `at`: when it was appended, microseconds."""

    decisions_offset: int
    start: int
    end: int
    at: int


class Verdict(NamedTuple):
    """How a transaction was decided; `run` None: it is not known where."""

    outcome: Outcome
    run: RunPlace | None = None
    refusal: Refusal | None = None
    void: Voided | None = None


UNDECIDED = Verdict(Outcome.UNDECIDED)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of the transaction at `offset` of `shard`.

    `verdict` None: it is decided, longer ago than is remembered. `posted_at`, `compared_at`: when
    the shard was posted and compared beyond it, microseconds; 0 where that is known only to have
    been, None where it has not been. `breaks`: open ones that touch it.
    """

    shard: int
    offset: int
    verdict: Verdict | None
    posted_at: int | None = None
    compared_at: int | None = None
    breaks: Sequence[OpenBreak] = ()

    @property
    def outcome(self) -> Outcome | None:
        """How it was decided, where that is remembered."""
        return self.verdict and self.verdict.outcome

    @property
    def is_duplicate(self) -> bool:
        """Whether it repeats another one."""
        return self.outcome is Outcome.DUPLICATE

    @property
    def level(self) -> Level | None:
        """How far it is; None before it is decided. With an open break it is not reconciled."""
        if self.outcome is Outcome.UNDECIDED:
            return None
        if self.outcome is Outcome.REFUSED:
            return Level.DECIDED
        if self.compared_at is not None and not self.breaks:
            return Level.RECONCILED
        return Level.DECIDED if self.posted_at is None else Level.POSTED

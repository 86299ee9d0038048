"""Posting to a general ledger in any database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, Self

from ledger.domain.balance import Totals
from ledger.domain.run import Content, Decision, Stripe, Voided, Watermark
from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.gl.books import Books


class JournalUnavailable(Unavailable):
    """The database does not answer at the moment; nothing was posted unless `post_all` returned."""


class NotPostable(InvariantBroken):
    """The database refuses a decision, and would refuse it the next time as well."""


class Superseded(LedgerError):
    """Another writer has posted to the shard: its watermark is not the one that was expected."""

    @classmethod
    def of(cls, posting: "Posting") -> Self:
        """A posting that does not follow the shard's watermark."""
        before = posting.before
        return cls(
            f"Shard {posting.shard} is not posted up to decision offset {before.decisions_offset}, "
            f"end {before.end}, as this writer believed: another one has posted since. Nothing was "
            "posted. Read the watermark and go on from there, or give the shard up."
        )


@dataclass(frozen=True, slots=True)
class PostingRun:
    """A valid run of the decision log, decoded, and its offset there.

    `voided`: what it voids. `left_out`: those of its own transactions that a later run voids, with
    the decision offset of that run; their rows are not posted.
    """

    decision: Decision
    decisions_offset: int
    content: Content
    voided: Sequence[Voided] = ()
    left_out: Sequence[tuple[int, Voided]] = ()

    @property
    def posted(self) -> Content:
        """What goes into the journal."""
        if not self.left_out:
            return self.content
        out = {each.transaction.offsets[0] for _, each in self.left_out}
        return self.content.part(set(self.content.offsets) - out)


class Posting(NamedTuple):
    """Runs of a shard; they follow `before`, its watermark, without a gap."""

    shard: int
    before: Watermark
    runs: Sequence[PostingRun]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A posting that needs nothing more but the database.

    `scales`: decimals by currency code. `rows`: as this kind of journal takes them.
    """

    posting: Posting
    after: Watermark
    scales: Mapping[str, int]
    rows: tuple[Any, ...] = ()


class Journal(Books, Protocol):
    """Books that can be posted to. Every method raises JournalUnavailable, as those of Books."""

    def prepare(self, posting: Posting) -> Prepared:
        """What needs no database, on any thread. Raises InvariantBroken for what is no posting."""

    def post_all(self, prepared: Sequence[Prepared]) -> list[dict[Stripe, Totals]]:
        """Post, each of another shard, in one database transaction.

        Returns for each the totals of every stripe touched, as the database's own arithmetic has
        them. Raises Superseded, with nothing changed for any of them, when a shard's watermark is
        not what its posting follows.
        """

    def post(
        self, shard: int, before: Watermark, runs: Sequence[PostingRun]
    ) -> dict[Stripe, Totals]:
        """Prepare and post one posting."""
        return self.post_all([self.prepare(Posting(shard, before, runs))])[0] if runs else {}

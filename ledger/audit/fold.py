"""One fold of a shard's decisions; each statement is checked when its position is reached."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from ledger.audit.chain import ChainedRun, Void
from ledger.audit.findings import Break, BreakKind, Findings, Party, totals_shown
from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.rows import PostedTransaction, RowKey

Sums = dict[tuple[str, str], list[int]]
"""By (account, currency): debits, credits, entries, last offset. A Stripe is such a key too."""
PositionCheck = Callable[[Sums], Iterable[Break]]


class StatedTotals(NamedTuple):
    """A party's totals of one stripe, true at the last offset that they count."""

    party: Party
    what: str
    stripe: Stripe
    totals: Totals


class StatedPosition(NamedTuple):
    """A party's position; `check` compares its totals with the sums there."""

    party: Party
    what: str
    watermark: Watermark
    check: PositionCheck


class ShardFold:
    """A shard's totals from the decisions alone.

    First add all statements, then call `begin`, `take` for each run, `finish`.
    """

    def __init__(self, shard: int, scales: Mapping[str, int], findings: Findings) -> None:
        self._shard, self._scales, self._findings = shard, scales, findings
        self._statements: dict[int, list[StatedTotals]] = {}
        self._positions: dict[int, list[StatedPosition]] = {}
        self._end = 0
        self.sums: Sums = {}

    def state(self, statement: StatedTotals) -> None:
        """Add totals to be checked right after the transaction at their offset."""
        if statement.totals.offset < 0 and statement.totals == Totals():
            return
        self._statements.setdefault(statement.totals.offset, []).append(statement)

    def expect(self, position: StatedPosition) -> None:
        """Add a position to be checked between two runs."""
        self._positions.setdefault(position.watermark.decisions_offset, []).append(position)

    def begin(self) -> None:
        """Check the positions before the first run."""
        self._reach(Watermark())

    def take(self, run: ChainedRun) -> None:
        """Fold a run."""
        steps: Sequence[PostedTransaction | Void] = run.transactions
        if run.voids:
            steps = sorted([*steps, *run.voids], key=attrgetter("offset"))
        for step in steps:
            self._take_back(step) if isinstance(step, Void) else self._count(step)
            for statement in self._statements.pop(step.offset, ()):
                self._compare(statement)
        self._end = run.head.end
        self._reach(run.head.after)

    def _count(self, transaction: PostedTransaction) -> None:
        sums, offset = self.sums, transaction.offset
        for account, currency, _, amount in transaction.entries:
            known = sums.get((account, currency))
            if known is None:
                known = sums[account, currency] = [0, 0, 0, offset]
            known[amount < 0] += abs(amount)
            known[2] += 1
            known[3] = offset

    def _take_back(self, void: Void) -> None:
        """Subtract the entries of the voided transaction."""
        for account, currency, _, amount in void.accepted.entries:
            known = self.sums.setdefault((account, currency), [0, 0, 0, void.offset])
            known[amount < 0] -= abs(amount)
            known[2] -= 1
            known[3] = void.offset

    def _compare(self, statement: StatedTotals) -> None:
        party, what, stripe, totals = statement
        sums = self.sums.get(stripe)
        ours = None if sums is None else Totals(*sums)
        if ours != totals:
            where = f"{what}, as of offset {totals.offset}"
            self._findings.add(self.differs(party, stripe, ours, totals, where))

    def _reach(self, at: Watermark) -> None:
        for party, what, stated, check in self._positions.pop(at.decisions_offset, ()):
            if stated != at:
                self._add_position(
                    party, f"{what} is at decision offset {at.decisions_offset} with position "
                    f"{stated.end} and digest {stated.digest.hex()[:16]}…; the log has {at.end} "
                    f"and {at.digest.hex()[:16]}… there.",
                )  # fmt: skip
            for found in check(self.sums):
                self._findings.add(found)

    def finish(self) -> None:
        """Report every statement whose position the decisions did not reach."""
        for positions in self._positions.values():
            for party, what, stated, _ in positions:
                self._add_position(
                    party, f"{what} is at decision offset {stated.decisions_offset}, where no run "
                    f"that counts ends; the decisions reach up to {self._end}.",
                )  # fmt: skip
        for offset, statements in self._statements.items():
            for party, what, stripe, totals in statements:
                sums = self.sums.get(stripe)
                where = f"{what}, counted up to offset {offset}, where nothing was accepted"
                ours = Totals(*sums) if sums else None
                self._findings.add(self.differs(party, stripe, ours, totals, where))

    def _add_position(self, party: Party, sentence: str) -> None:
        row = RowKey.of("shards", shard=self._shard) if party is Party.DATABASE else None
        between = (Party.DECISIONS, party)
        self._findings.add(Break(BreakKind.POSITION, between, self._shard, sentence, row=row))

    # The checks of positions.

    def exactly(
        self,
        party: Party,
        known: Mapping[Stripe, Totals],
        sums: Sums,
        left_out: Container[Stripe] = (),
    ) -> Iterable[Break]:
        """Breaks unless every stripe has the same totals, none missing and none more.

        `left_out` stripes are not compared: an entry of theirs is left out, and not void yet.
        """
        for key, ours in sums.items():
            stripe = Stripe(*key)
            theirs = known.get(stripe)
            if theirs != tuple(ours) and stripe not in left_out:
                yield self.differs(party, stripe, Totals(*ours), theirs, f"the {party}")
        for stripe, theirs in known.items():
            if stripe not in sums:
                yield self.differs(party, stripe, None, theirs, f"the {party}")

    def no_older(self, party: Party, known: Mapping[Stripe, Totals], sums: Sums) -> Iterable[Break]:
        """Breaks unless every stripe is there and has counted at least as much."""
        for key, ours in sums.items():
            stripe = Stripe(*key)
            theirs = known.get(stripe)
            if theirs is None or theirs.offset < ours[3]:
                where = f"the {party}, which by its position is complete up to there"
                yield self.differs(party, stripe, Totals(*ours), theirs, where)

    def differs(
        self, party: Party, stripe: Stripe, ours: Totals | None, theirs: Totals | None, where: str
    ) -> Break:
        """A break on a stripe; `where`: the party's statement, as the sentence has it."""
        scale = self._scales.get(stripe.currency, 0)
        kind = (
            BreakKind.MISSING
            if theirs is None
            else BreakKind.EXTRA
            if ours is None
            else BreakKind.DIFFERS
        )
        return Break(
            kind,
            (Party.DECISIONS, party),
            self._shard,
            f"{stripe.account} {stripe.currency} in shard {self._shard}: the decisions add up to "
            f"{_shown(ours, scale)}; {where}, has {_shown(theirs, scale)}.",
            (stripe,),
            totals_shown(ours, scale),
            totals_shown(theirs, scale),
            self._row(stripe) if party is Party.DATABASE else None,
        )

    def _row(self, stripe: Stripe) -> RowKey:
        return RowKey.of("stripes", **stripe._asdict(), shard=self._shard)


def _shown(totals: Totals | None, scale: int) -> str:
    shown = totals_shown(totals, scale)
    if shown is None:
        return "no such stripe"
    return (
        f"debits {shown['debits']}, credits {shown['credits']}, {shown['entries']} entries up to "
        f"offset {shown['offset']}"
    )

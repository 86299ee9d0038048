"""One fold of a shard's decisions; every statement is checked as its position is passed."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from ledger.audit.chain import Accepted, Settled, Void
from ledger.audit.findings import Break, Findings, Kind, Party, totals_shown
from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.journal import Row

Sums = dict[tuple[str, str], list[int]]
"""By (account, currency): debits, credits, entries, last offset. A Stripe is such a key too."""
Check = Callable[[Sums], Iterable[Break]]


class Statement(NamedTuple):
    """Somebody's totals of one stripe, true at the last offset that they count."""

    party: Party
    what: str
    stripe: Stripe
    totals: Totals


class Position(NamedTuple):
    """Somebody's position; `check` compares all that it knows with the sums there."""

    party: Party
    what: str
    watermark: Watermark
    check: Check


class ShardFold:
    """A shard's totals from the decisions alone.

    State everything first, then `begin`, `take` each run, `finish`.
    """

    def __init__(self, shard: int, scales: Mapping[str, int], findings: Findings) -> None:
        self._shard, self._scales, self._findings = shard, scales, findings
        self._statements: dict[int, list[Statement]] = {}
        self._positions: dict[int, list[Position]] = {}
        self._end = 0
        self.sums: Sums = {}

    def state(self, statement: Statement) -> None:
        """To be checked right after the transaction at its offset."""
        if statement.totals.offset < 0 and statement.totals == Totals():
            return
        self._statements.setdefault(statement.totals.offset, []).append(statement)

    def expect(self, position: Position) -> None:
        """To be checked between two runs."""
        self._positions.setdefault(position.watermark.decisions_offset, []).append(position)

    def begin(self) -> None:
        """Check who is at the very beginning."""
        self._reach(Watermark())

    def take(self, settled: Settled) -> None:
        """Fold a run."""
        steps: Sequence[Accepted | Void] = settled.transactions
        if settled.voids:
            steps = sorted([*steps, *settled.voids], key=attrgetter("offset"))
        for step in steps:
            self._take_back(step) if isinstance(step, Void) else self._count(step)
            for statement in self._statements.pop(step.offset, ()):
                self._compare(statement)
        watermark = settled.watermark()
        self._end = watermark.end
        self._reach(watermark)

    def _count(self, transaction: Accepted) -> None:
        sums, offset = self.sums, transaction.offset
        for account, currency, _, amount in transaction.entries:
            known = sums.get((account, currency))
            if known is None:
                known = sums[account, currency] = [0, 0, 0, offset]
            known[amount < 0] += abs(amount)
            known[2] += 1
            known[3] = offset

    def _take_back(self, void: Void) -> None:
        """What it took back counts for nothing from here on."""
        for account, currency, _, amount in void.accepted.entries:
            known = self.sums.setdefault((account, currency), [0, 0, 0, void.offset])
            known[amount < 0] -= abs(amount)
            known[2] -= 1
            known[3] = void.offset

    def _compare(self, statement: Statement) -> None:
        party, what, stripe, totals = statement
        sums = self.sums.get(stripe)
        ours = None if sums is None else Totals(*sums)
        if ours != totals:
            told = f"{what}, as of offset {totals.offset}"
            self._findings.add(self.differs(party, stripe, ours, totals, told))

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
        """Tell of everything that the decisions never came to."""
        for positions in self._positions.values():
            for party, what, stated, _ in positions:
                self._add_position(
                    party, f"{what} is at decision offset {stated.decisions_offset}, where no run "
                    f"that counts ends; the decisions settle what is before {self._end}.",
                )  # fmt: skip
        for offset, statements in self._statements.items():
            for party, what, stripe, totals in statements:
                sums = self.sums.get(stripe)
                told = f"{what}, counted up to offset {offset}, where nothing was accepted"
                ours = Totals(*sums) if sums else None
                self._findings.add(self.differs(party, stripe, ours, totals, told))

    def _add_position(self, party: Party, sentence: str) -> None:
        row = Row.of("shards", shard=self._shard) if party is Party.DATABASE else None
        between = (Party.DECISIONS, party)
        self._findings.add(Break(Kind.POSITION, between, self._shard, sentence, row=row))

    # What a position's check is made of.

    def exactly(
        self,
        party: Party,
        known: Mapping[Stripe, Totals],
        sums: Sums,
        left_out: Container[Stripe] = (),
    ) -> Iterable[Break]:
        """Every stripe with the same totals, none missing and none more.

        Of those `left_out` it cannot be said yet: they wait for what voids an entry of theirs.
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
        """Every stripe there, having counted at least as much: what is said to be complete is."""
        for key, ours in sums.items():
            stripe = Stripe(*key)
            theirs = known.get(stripe)
            if theirs is None or theirs.offset < ours[3]:
                told = f"the {party}, said to be complete up to there"
                yield self.differs(party, stripe, Totals(*ours), theirs, told)

    def differs(
        self, party: Party, stripe: Stripe, ours: Totals | None, theirs: Totals | None, told: str
    ) -> Break:
        """A stripe on which the decisions and `party` differ."""
        scale = self._scales.get(stripe.currency, 0)
        kind = Kind.MISSING if theirs is None else Kind.EXTRA if ours is None else Kind.DIFFERS
        return Break(
            kind,
            (Party.DECISIONS, party),
            self._shard,
            f"{stripe.account} {stripe.currency} in shard {self._shard}: the decisions make it "
            f"{_told(ours, scale)}; {told}, has {_told(theirs, scale)}.",
            (stripe,),
            totals_shown(ours, scale),
            totals_shown(theirs, scale),
            self._row(stripe) if party is Party.DATABASE else None,
        )

    def _row(self, stripe: Stripe) -> Row:
        return Row.of("stripes", **stripe._asdict(), shard=self._shard)


def _told(totals: Totals | None, scale: int) -> str:
    shown = totals_shown(totals, scale)
    if shown is None:
        return "no such stripe"
    return (
        f"debits {shown['debits']}, credits {shown['credits']}, {shown['entries']} entries up to "
        f"offset {shown['offset']}"
    )

"""Reconciliation: the stream's totals and the general ledger's, compared at equal positions.

Both sides speak in absolute totals at the ends of runs. The stream settles runs one by one; the
general ledger may speak of several at once, or of what was said before. The two meet at an end
that both know; whichever came first waits.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe

MAX_WAITING = 256
"""Runs kept apart while they wait; beyond it neighbours merge."""
MIN_WAITING = 2
MAX_TOTALS = 200_000
"""Totals kept in all of them; beyond it too, so that memory is bounded by the stripes."""


class Said(NamedTuple):
    """One side's totals of the stripes touched up to `at` in the decision log.

    `end` is the position in the transactions there.
    """

    at: int
    end: int
    totals: dict[Stripe, Totals]


class Difference(NamedTuple):
    """A stripe on which the sides differ; None: that side knows no such stripe."""

    stripe: Stripe
    stream: Totals | None
    ledger: Totals | None


class Compared(NamedTuple):
    """What a meeting at `at` showed: the stripes with the stream's totals, and the differences."""

    at: int
    end: int
    totals: dict[Stripe, Totals]
    differences: list[Difference]


@dataclass(slots=True)
class Meeting:
    """Where a shard's two sides stand; positions are offsets of the decision log.

    `compared`: every run before it was compared; `end`: the position in the transactions there.
    """

    compared: int
    end: int
    stream: deque[Said] = field(default_factory=deque)
    ledger: deque[Said] = field(default_factory=deque)

    def hear_stream(self, said: Said) -> Compared | None:
        """The stream settled a run. Returns the comparison that this made possible."""
        _hear(self.stream, said)
        return self._meet()

    def hear_ledger(self, after: int, said: Said) -> Compared | None:
        """The general ledger posted the runs [after, said.at).

        Raises ValueError when it skipped some: nobody would ever compare them.
        """
        heard = self.ledger[-1].at if self.ledger else self.compared
        if after > heard:
            raise ValueError(f"posted from {after}, but only up to {heard} was heard of before")
        if said.at > heard:
            _hear(self.ledger, said)
        return self._meet()

    def _meet(self) -> Compared | None:
        known = {said.at for said in self.stream}
        common = next((said for said in reversed(self.ledger) if said.at in known), None)
        if common is None:
            return None
        ours, told = _take(self.stream, common.at), _take(self.ledger, common.at)
        if ours == told:
            self.compared, self.end = common.at, common.end
            return Compared(common.at, common.end, ours, [])
        # A catch-up may begin before what was compared, even if that was compared only since it
        # was heard; that part is settled.
        theirs = {key: each for key, each in told.items() if each.offset >= self.end or key in ours}
        self.compared, self.end = common.at, common.end
        differences = [
            Difference(stripe, ours.get(stripe), theirs.get(stripe))
            for stripe in ours.keys() | theirs.keys()
            if ours.get(stripe) != theirs.get(stripe)
        ]
        return Compared(common.at, common.end, ours, sorted(differences, key=_stripe_of))


def _stripe_of(difference: Difference) -> Stripe:
    return difference.stripe


def _hear(line: deque[Said], said: Said) -> None:
    """Add at the end of the line; past the bound, neighbours become one, all along it.

    Merging only the oldest would forget every end that a side far behind is yet to reach.
    """
    line.append(said._replace(totals=dict(said.totals)))  # merging changes it
    small = len(line) <= MIN_WAITING or sum(len(each.totals) for each in line) <= MAX_TOTALS
    if small and len(line) <= MAX_WAITING:
        return
    pairs = list(line)
    line.clear()
    for first, second in zip(pairs[:-1:2], pairs[1::2], strict=False):
        first.totals.update(second.totals)
        line.append(second._replace(totals=first.totals))
    if len(pairs) % 2:
        line.append(pairs[-1])


def _take(line: deque[Said], at: int) -> dict[Stripe, Totals]:
    totals: dict[Stripe, Totals] = {}
    while line and line[0].at <= at:
        totals |= line.popleft().totals
    return totals

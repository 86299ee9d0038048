"""Comparison: the stream's totals and the general ledger's, at equal positions.

Both sides have absolute totals at the ends of runs. The stream has every end; the general ledger
may post several runs at once, or publish again what it published before. They are compared at the
last end that both have; whichever comes first waits.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.domain.balance import Totals
from ledger.domain.fold import Row, Rows, RowsOf
from ledger.domain.run import Stripe, Watermark
from ledger.errors import InvariantBroken

MAX_WAITING = 256
"""Runs kept apart while they wait; beyond it neighbours merge."""
MIN_WAITING = 2
MAX_TOTALS = 200_000
"""Totals kept in all of them; beyond it too, so that memory is bounded by the stripes."""


class Side(NamedTuple):
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
    """What comparing at `at` showed: the stripes with the stream's totals, and the differences."""

    at: int
    end: int
    totals: dict[Stripe, Totals]
    differences: list[Difference]


@dataclass(slots=True)
class TwoSides:
    """Where a shard's two sides stand; positions are offsets of the decision log.

    `compared`: every run before it was compared; `end`: the position in the transactions there.
    """

    compared: int
    end: int
    stream: deque[Side] = field(default_factory=deque)
    ledger: deque[Side] = field(default_factory=deque)

    def add_stream(self, side: Side) -> Compared | None:
        """The stream folded a run. Returns the comparison that this made possible."""
        _add(self.stream, side)
        return self._compare()

    def add_ledger(self, after: int, side: Side) -> Compared | None:
        """The general ledger posted the runs [after, side.at).

        Raises ValueError when it skipped some: nobody would ever compare them.
        """
        received = self.ledger[-1].at if self.ledger else self.compared
        if after > received:
            raise ValueError(
                f"the general ledger posted from {after} on, and is known only up to {received}"
            )
        if side.at > received:
            _add(self.ledger, side)
        return self._compare()

    def _compare(self) -> Compared | None:
        known = {side.at for side in self.stream}
        common = next((side for side in reversed(self.ledger) if side.at in known), None)
        if common is None:
            return None
        ours, theirs = _take(self.stream, common.at), _take(self.ledger, common.at)
        differences = [
            each
            for each in _differences(ours, theirs)
            # A catch-up may begin before what was compared, even if that was compared only since it
            # was received; that part was compared.
            if each.stream or (each.ledger and each.ledger.offset >= self.end)
        ]
        self.compared, self.end = common.at, common.end
        return Compared(common.at, common.end, ours, differences)


def _differences(ours: dict[Stripe, Totals], theirs: dict[Stripe, Totals]) -> list[Difference]:
    if ours == theirs:
        return []
    return sorted(
        Difference(stripe, ours.get(stripe), theirs.get(stripe))
        for stripe in ours.keys() | theirs.keys()
        if ours.get(stripe) != theirs.get(stripe)
    )


def _add(line: deque[Side], side: Side) -> None:
    """Add at the end of the line; past the bound, neighbours become one, all along it.

    Merging only the oldest would forget every end that a side far behind is yet to reach.
    """
    line.append(side._replace(totals=dict(side.totals)))  # merging changes it
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


def _take(line: deque[Side], at: int) -> dict[Stripe, Totals]:
    totals: dict[Stripe, Totals] = {}
    while line and line[0].at <= at:
        totals |= line.popleft().totals
    return totals


class Posted(NamedTuple):
    """A message of the posted topic: the database's totals after the runs [after, at).

    `next_offset`: of the message after it in its topic. `has_more`: its totals are a part, and
    the messages that follow have the others.
    """

    next_offset: int
    after: int
    at: int
    end: int
    digest: bytes
    totals: dict[Stripe, Totals]
    has_more: bool


class Mark(NamedTuple):
    """Where a shard's table of stripes stands.

    `stream`: what is folded into the rows. `compared`: how far both sides were compared.
    `posted`: next posted message to read after a restart. `breaks`: how many are open.
    """

    stream: Watermark = Watermark()
    compared: Watermark = Watermark()
    posted: int = 0
    breaks: int = 0


class Step(NamedTuple):
    """What an input made possible: `compared`, and the mark of that comparison's position.

    `posted`: where to read posted messages from after a restart.
    """

    compared: Compared
    watermark: Watermark
    posted: int


class Comparison:
    """A shard's comparison since it was opened: inputs are runs folded and messages posted."""

    def __init__(self, mark: Mark, uncompared: Rows) -> None:
        """`uncompared`: the rows that hold transactions beyond what was compared.

        They are one run that waits, whatever runs they came in: their totals are those at the
        table's own position, and every later end is one that the general ledger will name too.
        """
        self.position = mark.posted
        self._posted = mark.posted
        self._sides = TwoSides(mark.compared.decisions_offset, mark.compared.end)
        self._watermarks = {mark.stream.decisions_offset: mark.stream}
        self._received: deque[Posted] = deque()
        self._parts: Posted | None = None
        self._ahead: dict[Stripe, Totals] | None = {}
        if mark.stream.decisions_offset > mark.compared.decisions_offset:
            self.add_run(mark.stream, {stripe: row.live for stripe, row in uncompared.items()})

    def caught_up(self) -> None:
        """The decision log was folded to its end: no row can be ahead of it."""
        self._ahead = self._ahead or None

    def add_run(self, after: Watermark, totals: dict[Stripe, Totals]) -> Step | None:
        """A run was folded; `totals` of its stripes after it."""
        self._watermarks[after.decisions_offset] = after
        side = self._side(after, totals)
        return None if side is None else self._step(self._sides.add_stream(side))

    def add_posted(self, posted: Posted) -> Step | None:
        """The database posted runs. Raises InvariantBroken when it skipped some.

        Nobody would ever compare those.
        """
        self._received.append(posted)
        side = Side(posted.at, posted.end, posted.totals)
        try:
            compared = self._sides.add_ledger(posted.after, side)
        except ValueError as error:
            raise InvariantBroken(
                f"A posting is missing: {error}. Restart the posting application of this shard: "
                "it publishes again everything after what was compared."
            ) from error
        self.reach(posted.next_offset)
        return self._step(compared)

    def whole(self, posted: Posted) -> Posted | None:
        """`posted` with the parts before it; None: more follow.

        What an application that died has published in part is published again, whole.
        """
        parts, whole = self._parts, posted
        # Of one message all is the same but where they are and their totals.
        if parts is not None and parts[1:5] == posted[1:5]:
            whole = parts._replace(totals=parts.totals | posted.totals)
        if posted.has_more:
            self._parts = whole
            return None
        if parts is not None and parts.at > posted.at:
            # A late one, of an application that was replaced, between two parts of another: after
            # a restart it is read again with them.
            return posted._replace(next_offset=parts.next_offset - 1)
        self._parts = None
        return posted._replace(totals=whole.totals)

    def reach(self, position: int) -> None:
        """Posted messages were read up to `position`; some may not have counted."""
        self.position = max(position, self.position)

    def is_repetition(self, posted: Posted) -> bool:
        """Whether all of it was compared before: the database was restored meanwhile."""
        return posted.at <= self._sides.compared

    def _side(self, watermark: Watermark, totals: dict[Stripe, Totals]) -> Side | None:
        """What the stream has at `watermark`.

        None as long as a row, restored from a predecessor that was ahead, holds more than that:
        while a shard is opened, and afterwards until such rows are reached.
        """
        if self._ahead is not None:
            totals = self._ahead | totals
            if any(each.offset >= watermark.end for each in totals.values()):
                self._ahead = totals
                return None
            self._ahead = {}
        return Side(watermark.decisions_offset, watermark.end, totals)

    def _step(self, compared: Compared | None) -> Step | None:
        if compared is None:
            return None
        watermark = self._watermark_at(compared.at)
        while self._received and self._received[0].at <= compared.at:
            self._posted = self._received.popleft().next_offset
        return Step(compared, watermark, self._posted)

    def _watermark_at(self, at: int) -> Watermark:
        """The stream's watermark there, which must be the general ledger's too."""
        watermark = self._watermarks[at]
        self._watermarks = {key: each for key, each in self._watermarks.items() if key >= at}
        for posted in self._received:
            if posted.at == at and posted.digest != watermark.digest:
                raise InvariantBroken(
                    f"At {watermark.end} the general ledger followed another chain of runs than "
                    "the log. Run `faust-ledger verify`."
                )
        return watermark


def compare_again(posted: Posted, mark: Mark, rows_of: RowsOf) -> Compared:
    """Compare what was compared before, up to `mark`, and is posted once more.

    Where the row has not moved on since, both sides must still have the same totals.
    """
    stripes = list(posted.totals)
    live = {
        stripe: row.live for stripe, row in zip(stripes, rows_of(stripes), strict=True)
        if row.live.offset <= posted.totals[stripe].offset
    }  # fmt: skip
    differences = _differences(live, {stripe: posted.totals[stripe] for stripe in live})
    return Compared(mark.compared.decisions_offset, mark.compared.end, live, differences)


class Breaks(NamedTuple):
    """What a comparison changes of a shard's breaks; `opened` less those closed.

    `found`: both sides of each stripe that differs, or did until now, and "open" or "closed".
    """

    found: list[tuple[Difference, str]]
    rows: dict[Stripe, Row]
    opened: int


def breaks_of(compared: Compared, rows_of: RowsOf) -> Breaks:
    """The stripes that differ, and those that no longer do."""
    differences = {each.stripe: each for each in compared.differences}
    stripes = sorted(compared.totals.keys() | differences.keys())
    found: list[tuple[Difference, str]] = []
    changed: dict[Stripe, Row] = {}
    for stripe, row in zip(stripes, rows_of(stripes), strict=True):
        is_open = stripe in differences
        if not (is_open or row.broken):
            continue
        totals = compared.totals.get(stripe)
        sides = differences.get(stripe, Difference(stripe, totals, totals))
        found.append((sides, "open" if is_open else "closed"))
        if is_open != row.broken:
            changed[stripe] = row._replace(posted=totals or row.posted, broken=is_open)
    return Breaks(found, changed, sum(1 if row.broken else -1 for row in changed.values()))

"""The fold of decisions into history: lines with running totals, periods of effect, blocks.

Lines of a stripe are in recorded order and each has the stripe's totals after it. So a stripe at
any recorded time is one line. Effective time goes its own way: over all accounts by `spans` of
periods, for a single stripe by blocks of lines that are sorted by it.
"""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple, Self

from ledger.domain.run import Content, Refusal, Stripe, Voided
from ledger.domain.valid_run import ValidRun

LEVELS = (48, 44, 40, 36)
"""Of periods of effect, for every account: period p of level k is [p, p + 1) * 2**k microseconds.

From 8.9 years to 19 hours; sixteen periods make one of the level above.
"""
LEVEL_STEP = 4
FINEST = 8
"""A period in which much is effective is split further, down to this level."""
BLOCK = 256
"""Lines of a block of the lowest level, and at most of a piece."""
BLOCKS_TOGETHER = 8
"""Blocks of a level that make one of the next."""


class Figures(NamedTuple):
    """What lines add up to, minor units; any of them may fall, where something is taken back."""

    debits: int = 0
    credits: int = 0
    entries: int = 0


ZERO = Figures()


class Line(NamedTuple):
    """One line of a stripe; `number` from 1, times in microseconds.

    `offset`: of the record that made it, the transaction or the void that takes it back. `entry`:
    its number in the transaction. `amount` as the entry has it, debits above zero. `change`: 1
    where it counts from here on, -1 where it is taken back. The rest: the stripe's totals after it.
    """

    number: int
    recorded_at: int
    offset: int
    entry: int
    effective_at: int
    amount: int
    change: int
    debits: int
    credits: int
    entries: int


@dataclass(slots=True)
class Running:
    """A stripe as its last line left it; `lines` counts lines."""

    lines: int = 0
    debits: int = 0
    credits: int = 0
    entries: int = 0


class FoldedStripe(NamedTuple):
    """The lines that a fold adds to a stripe, the scale they have, and what they leave."""

    scale: int
    lines: list[Line]
    after: Running


class FoldedHistory(NamedTuple):
    """What runs of one shard add: lines by stripe; refusals with their run's decision offset."""

    stripes: dict[Stripe, FoldedStripe]
    refusals: list[tuple[int, Refusal]]


@dataclass(slots=True)
class _Adding:
    """A stripe to which lines are being added."""

    scale: int
    at: Running
    lines: list[Line] = field(default_factory=list)

    def add(
        self, recorded_at: int, offset: int, entry: int, effective_at: int, amount: int, change: int
    ) -> None:
        at = self.at
        at.lines += 1
        at.entries += change
        if amount > 0:
            at.debits += change * amount
        else:
            at.credits -= change * amount
        self.lines.append(
            Line(at.lines, recorded_at, offset, entry, effective_at, amount, change, at.debits,
                 at.credits, at.entries)
        )  # fmt: skip


def fold(runs: Iterable[ValidRun], before: Mapping[Stripe, Running]) -> FoldedHistory:
    """Fold runs of one shard that follow each other.

    `before`: the stripes that have lines already; it is not changed.
    """
    adding: dict[Stripe, _Adding] = {}
    refusals: list[tuple[int, Refusal]] = []

    def begun(stripe: Stripe, scale: int) -> _Adding:
        held = adding.get(stripe)
        if held is None:
            known = before.get(stripe, Running())
            start = Running(known.lines, known.debits, known.credits, known.entries)
            held = adding[stripe] = _Adding(scale, start)
        held.scale = scale
        return held

    for run in runs:
        content = run.content
        places = list(map(begun, content.stripes(), content.scales))
        voids = sorted(run.voided, key=lambda each: each.offset)
        for part, voided in _parts(content, voids):
            _add_content(content, part, places)
            if voided is not None:
                _take_back(voided, begun)
        refusals += [(run.decisions_offset, each) for each in run.outcomes.refused]
    made = {
        stripe: FoldedStripe(each.scale, each.lines, each.at)
        for stripe, each in adding.items()
        if each.lines
    }
    return FoldedHistory(made, refusals)


def _parts(content: Content, voids: Sequence[Voided]) -> Iterator[tuple[range, Voided | None]]:
    """The transactions of a run, cut where it takes something back; the void after each part."""
    start = 0
    for voided in voids:
        end = bisect_left(content.offsets, voided.offset, start)
        yield range(start, end), voided
        start = end
    yield range(start, len(content.offsets)), None


def _add_content(content: Content, part: range, places: Sequence[_Adding]) -> None:
    counts, stripes, amounts = content.entry_counts, content.entry_stripes, content.entry_amounts
    leg = sum(counts[: part.start])
    for index in part:
        recorded_at, effective_at = content.recorded_at[index], content.effective_at[index]
        offset = content.offsets[index]
        for entry in range(counts[index]):
            place = places[stripes[leg]]
            place.add(recorded_at, offset, entry, effective_at, amounts[leg], 1)
            leg += 1


def _take_back(voided: Voided, begun: Callable[[Stripe, int], _Adding]) -> None:
    content = voided.transaction
    places = list(map(begun, content.stripes(), voided.scales))
    effective_at = content.effective_at[0]
    for entry, (stripe, amount) in enumerate(
        zip(content.entry_stripes, content.entry_amounts, strict=True)
    ):
        places[stripe].add(voided.recorded_at, voided.offset, entry, effective_at, amount, -1)


class Span(NamedTuple):
    """Periods [start, end) of a level; `start` None for all before `end`."""

    level: int
    start: int | None
    end: int


def spans(effective_before: int, finest: int) -> tuple[list[Span], int]:
    """The fewest periods of levels down to `finest` before an instant; and where they end.

    What is effective in [end, effective_before) is in no whole period: its lines are to be added.
    """
    made = []
    for level in range(LEVELS[0], finest - 1, -LEVEL_STEP):
        end = effective_before >> level
        above = effective_before >> level + LEVEL_STEP
        start = None if level == LEVELS[0] else above << LEVEL_STEP
        if start is None or start < end:
            made.append(Span(level, start, end))
    return made, effective_before >> finest << finest


class Piece(NamedTuple):
    """Lines of a block in order of effect, at most BLOCK; `before`: what the block has before."""

    before: Figures
    effective_at: Sequence[int]
    amounts: Sequence[int]
    changes: Sequence[int]

    def figures(self, effective_before: int) -> Figures:
        """What the block's lines that are effective before an instant add up to.

        This piece is the block's last one that begins before it.
        """
        debits, credits, entries = self.before
        count = bisect_left(self.effective_at, effective_before)
        for amount, change in zip(self.amounts[:count], self.changes[:count], strict=True):
            if amount > 0:
                debits += change * amount
            else:
                credits -= change * amount
            entries += change
        return Figures(debits, credits, entries)

    def packed(self) -> bytes:
        """Its lines: their times and amounts, 8 bytes each, and changes of one byte."""
        count = len(self.effective_at)
        times, amounts = array("q", self.effective_at), array("q", self.amounts)
        assert len(self.amounts) == len(self.changes) == count
        return times.tobytes() + amounts.tobytes() + array("b", self.changes).tobytes()

    @classmethod
    def unpacked(cls, before: Figures, lines: bytes) -> Self:
        """What `packed` made."""
        count = len(lines) // 17
        times, amounts, changes = array("q"), array("q"), array("b")
        times.frombytes(lines[: 8 * count])
        amounts.frombytes(lines[8 * count : 16 * count])
        changes.frombytes(lines[16 * count :])
        return cls(before, times, amounts, changes)


def pieces(lines: Iterable[tuple[int, int, int]]) -> list[Piece]:
    """A block's pieces, of its lines as (effective_at, amount, change) in any order."""
    ordered = sorted(lines)
    parts = [ordered[at : at + BLOCK] for at in range(0, len(ordered), BLOCK)]
    sums = [_added(part) for part in parts]
    starts = accumulate(sums, _sum, initial=ZERO)
    return [
        Piece(start, *zip(*part, strict=True)) for start, part in zip(starts, parts, strict=False)
    ]


def _added(lines: Iterable[tuple[int, int, int]]) -> Figures:
    debits = credits = entries = 0
    for _, amount, change in lines:
        if amount > 0:
            debits += change * amount
        else:
            credits -= change * amount
        entries += change
    return Figures(debits, credits, entries)


def _sum(one: Figures, other: Figures) -> Figures:
    return Figures(*map(int.__add__, one, other))


class BlockName(NamedTuple):
    """Block `block` of a level has the lines [block, block + 1) * BLOCK * 8**level, from 0."""

    level: int
    block: int


def covering(lines: int) -> tuple[list[BlockName], int]:
    """The fewest blocks of a stripe's first `lines` lines, and how many lines these cover.

    Largest first; the lines after them are in no whole block.
    """
    made = []
    level, size = 0, BLOCK
    while size * BLOCKS_TOGETHER <= lines:
        level, size = level + 1, size * BLOCKS_TOGETHER
    covered = 0
    while level >= 0:
        while covered + size <= lines:
            made.append(BlockName(level, covered // size))
            covered += size
        level, size = level - 1, size // BLOCKS_TOGETHER
    return made, covered


def completed(block: int) -> list[BlockName]:
    """The blocks that are whole once block `block` of the lowest level is made, that one first."""
    made = [BlockName(0, block)]
    level, count = 0, block + 1
    while count % BLOCKS_TOGETHER == 0:
        level, count = level + 1, count // BLOCKS_TOGETHER
        made.append(BlockName(level, count - 1))
    return made

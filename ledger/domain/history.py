"""The fold of decisions into history: lines with running totals, periods of effect, blocks.

Lines of a stripe are in recorded order and each has the stripe's totals after it. So a stripe at
any recorded time is one line. Effective time goes its own way: over all accounts by `spans` of
periods, for a single stripe by blocks of lines that are sorted by it.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
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
SPLIT_STEP = 2
"""Four periods make one of the level above where they are split: half as many rows are read."""
ALL_LEVELS = (*LEVELS, *range(LEVELS[-1] - SPLIT_STEP, FINEST - 1, -SPLIT_STEP))
BLOCK = 256
"""Lines of a block of the lowest level."""
PIECE = 96
"""Lines of a piece, at most: PostgreSQL keeps rows below 2 KB in one place."""
LINE_BYTES = 17
"""Of a packed line: its time and amount, 8 bytes each, and its change."""
TAKEN_BACK = b"\xff"
"""The change of a packed line that a void takes back: -1."""
BLOCKS_TOGETHER = 8
"""Blocks of a level that make one of the next."""
BLOCK_LEVELS = 4
"""Levels of blocks. One of the highest has 131,072 lines, which are merged in memory."""


class Figures(NamedTuple):
    """What lines add up to, minor units; any of them may fall, where something is taken back."""

    debits: int = 0
    credits: int = 0
    entries: int = 0


ZERO = Figures()


class Line(NamedTuple):
    """One line of a stripe; `number` from 1, times in microseconds.

    `stripe`: its key. `offset`: of the record that made it, the transaction or the void that takes
    it back. `entry`: its number in the transaction. `amount` as the entry has it, debits above
    zero. `change`: 1 where it counts from here on, -1 where it is taken back. The rest: the
    stripe's totals after it.
    """

    stripe: int
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
    """A stripe as its last line left it: its key and scale, how many lines, and their totals."""

    key: int
    scale: int
    lines: int = 0
    debits: int = 0
    credits: int = 0
    entries: int = 0


class WholeBlock(NamedTuple):
    """A block of the lowest level that has become whole, and when its last line was recorded."""

    stripe: int
    block: int
    recorded_at: int


@dataclass(frozen=True, slots=True)
class FoldedHistory:
    """What runs add: lines with the fields of Line, in the order of the log, and the rest.

    `refusals`: with their run's decision offset. `rescaled`: stripes with another scale than they
    had, which only what is void has.
    """

    lines: list[tuple[int, ...]] = field(default_factory=list)
    blocks: list[WholeBlock] = field(default_factory=list)
    refusals: list[tuple[int, Refusal]] = field(default_factory=list)
    rescaled: dict[Stripe, int] = field(default_factory=dict)


def fold(runs: Iterable[ValidRun], stripes: Mapping[tuple[str, str], Running]) -> FoldedHistory:
    """Fold runs of one shard that follow each other.

    `stripes`: those that the runs touch, as they were before; each is moved on to its last line.
    """
    made = FoldedHistory()
    for run in runs:
        content = run.content
        places = _places(content, content.scales, stripes, made)
        for part, voided in _parts(content, run.voided if run.decision.voids else ()):
            _add_content(content, part, places, made)
            if voided is not None:
                taken = voided.transaction
                _take_back(voided, taken, _places(taken, voided.scales, stripes, made), made)
        made.refusals.extend((run.decisions_offset, each) for each in run.outcomes.refused)
    return made


def _places(
    content: Content,
    scales: Sequence[int],
    stripes: Mapping[tuple[str, str], Running],
    made: FoldedHistory,
) -> list[Running]:
    """The stripes of `content`, in its order."""
    names = zip(content.accounts, content.currencies, strict=True)
    places = [stripes[name] for name in names]
    if scales != [place.scale for place in places]:
        for stripe, place, scale in zip(content.stripes(), places, scales, strict=True):
            if place.scale != scale:
                place.scale = made.rescaled[stripe] = scale
    return places


def _parts(content: Content, voids: Sequence[Voided]) -> Iterator[tuple[range, Voided | None]]:
    """The transactions of a run, cut where it takes something back; the void after each part."""
    start = 0
    for voided in sorted(voids, key=lambda each: each.offset):
        end = bisect_left(content.offsets, voided.offset, start)
        yield range(start, end), voided
        start = end
    yield range(start, len(content.offsets)), None


def _add_content(
    content: Content, part: range, places: Sequence[Running], made: FoldedHistory
) -> None:
    # Every entry of the ledger passes here: no call, and no object but the line.
    add, counts, leg = (
        made.lines.append,
        content.entry_counts,
        sum(content.entry_counts[: part.start]),
    )
    stripes, amounts = content.entry_stripes, content.entry_amounts
    offsets, recorded, effective = content.offsets, content.recorded_at, content.effective_at
    for index in part:
        recorded_at, offset, effective_at = recorded[index], offsets[index], effective[index]
        for entry in range(counts[index]):
            place, amount = places[stripes[leg]], amounts[leg]
            leg += 1
            place.lines = number = place.lines + 1
            place.entries += 1
            if amount > 0:
                place.debits += amount
            else:
                place.credits -= amount
            add((place.key, number, recorded_at, offset, entry, effective_at, amount, 1,
                 place.debits, place.credits, place.entries))  # fmt: skip
            if not number % BLOCK:
                made.blocks.append(WholeBlock(place.key, number // BLOCK - 1, recorded_at))


def _take_back(
    voided: Voided, content: Content, places: Sequence[Running], made: FoldedHistory
) -> None:
    legs = zip(content.entry_stripes, content.entry_amounts, strict=True)
    for entry, (stripe, amount) in enumerate(legs):
        place = places[stripe]
        place.lines += 1
        place.entries -= 1
        place.debits -= max(amount, 0)
        place.credits -= max(-amount, 0)
        made.lines.append(
            Line(place.key, place.lines, voided.recorded_at, voided.offset, entry,
                 content.effective_at[0], amount, -1, place.debits, place.credits, place.entries)
        )  # fmt: skip
        if not place.lines % BLOCK:
            block = WholeBlock(place.key, place.lines // BLOCK - 1, voided.recorded_at)
            made.blocks.append(block)


class Span(NamedTuple):
    """Periods [start, end) of a level, to be added (`sign` 1) or taken away (-1).

    `start` None for all before `end`.
    """

    level: int
    start: int | None
    end: int
    sign: int = 1


def spans(effective_before: int, finest: int) -> tuple[list[Span], int]:
    """The fewest periods of levels down to `finest` that are what is before an instant.

    Also where they end: what is effective in [end, effective_before) is in no whole period, so its
    lines are to be added. Where more than half of a period's parts are before the instant, the
    period counts, less the parts after it.
    """
    at = effective_before >> finest
    made: list[Span] = []
    for level, above in pairwise(level for level in reversed(ALL_LEVELS) if level >= finest):
        parts = 1 << above - level
        period, before = divmod(at, parts)
        if before > parts // 2:
            period += 1
            made.append(Span(level, at, period * parts, -1))
        elif before:
            made.append(Span(level, period * parts, at))
        at = period
    made.append(Span(LEVELS[0], None, at))
    made.reverse()
    return made, effective_before >> finest << finest


class Piece(NamedTuple):
    """Lines of a block in order of effect, at most PIECE; `before`: what the block has before."""

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
        if -1 not in self.changes:
            # Nearly always: nothing is taken back.
            amounts = self.amounts[:count]
            added = sum([amount for amount in amounts if amount > 0])
            return Figures(debits + added, credits + added - sum(amounts), entries + count)
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
        columns = array("q"), array("q"), array("b")
        for column, packed in zip(columns, _packed_columns(lines), strict=True):
            column.frombytes(packed)
        return cls(before, *columns)


def _packed_columns(lines: bytes) -> tuple[memoryview, memoryview, memoryview]:
    """The bytes of a packed piece's times, amounts and changes."""
    count, view = len(lines) // LINE_BYTES, memoryview(lines)
    return view[: 8 * count], view[8 * count : 16 * count], view[16 * count :]


def packed_figures(before: Figures, lines: bytes, effective_before: int) -> Figures:
    """`Piece.figures` of a packed piece, whose lines are not all unpacked.

    A balance of an account with a million lines adds up a hundred pieces.
    """
    times, amounts_, changes = _packed_columns(lines)
    number = bisect_left(times.cast("q"), effective_before)
    if TAKEN_BACK in changes.tobytes():
        return Piece.unpacked(before, lines).figures(effective_before)
    amounts = amounts_[: 8 * number].cast("q").tolist()
    net, gross = sum(amounts), sum(map(abs, amounts))
    debits, credits, entries = before
    return Figures(debits + (gross + net) // 2, credits + (gross - net) // 2, entries + number)


def pieces(lines: Iterable[tuple[int, int, int]]) -> list[Piece]:
    """A block's pieces, of its lines as (effective_at, amount, change) in any order."""
    ordered = sorted(lines)
    parts = [ordered[at : at + PIECE] for at in range(0, len(ordered), PIECE)]
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
    while level < BLOCK_LEVELS - 1 and size * BLOCKS_TOGETHER <= lines:
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
    while level < BLOCK_LEVELS - 1 and count % BLOCKS_TOGETHER == 0:
        level, count = level + 1, count // BLOCKS_TOGETHER
        made.append(BlockName(level, count - 1))
    return made

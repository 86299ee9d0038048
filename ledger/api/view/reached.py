"""How much of the topic the copy has, by partition, and who waits for more."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ledger.api.view.coverage import PartitionCoverage
from ledger.api.view.waits import Waits
from ledger.clock import now

LAGS_SECONDS = 5.0
"""A copy that was last known to be at the topic's end longer ago than this lags."""
MICROSECONDS = 1_000_000


class ViewState(NamedTuple):
    """Whether the view can answer, and how old its answers are.

    `problem`: why it cannot, or why what it answers may be old. `as_of`: microseconds since 1970;
    the copy has everything that was in the topic then. `behind_seconds`: since then.
    `records_behind`: at most, as far as is known. `foreign`: records left out, which are none of
    the ledger's.
    """

    is_ready: bool
    problem: str | None
    behind_seconds: float | None
    records_behind: int
    as_of: int | None
    foreign: int = 0


class Part:
    """One partition: read up to `position`, its end when it was last looked up, its coverage."""

    def __init__(self, position: int, covered: Iterable[int], waits: Waits) -> None:
        self.position, self.end = position, position
        self.coverage, self.waits = PartitionCoverage(covered), waits
        self.is_noted = True

    def reach(self, position: int) -> None:
        """Everything before `position` is in the copy."""
        self.position = max(position, self.position)
        if self.coverage.reach(self.position):
            self.is_noted = False
            self.waits.wake(self.coverage.ends)

    @property
    def behind(self) -> int:
        """Records that are known to be there and are not read."""
        return max(self.end - self.position, 0)


class Reached:
    """All partitions. `trouble`: why nothing more is read at present, None while it is.

    `hurried`: set when somebody begins to wait for coverage.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.trouble: str | None = "it has not connected to Kafka yet"
        self.lost: str | None = None
        self.as_of: int | None = None
        self.foreign = 0
        self.has_begun, self.hurried = asyncio.Event(), asyncio.Event()
        self.waits: list[Waits] = []
        self._looked_at: int | None = None
        self._is_whole = False
        self._ends: Sequence[int] = ()

    def begin(
        self, positions: Sequence[int], covered: Mapping[int, Sequence[int]], as_of: int | None
    ) -> None:
        """The copy is read up to these positions, by partition. Those who wait go on waiting."""
        self.waits += [Waits() for _ in positions[len(self.waits) :]]
        self.parts = [
            Part(position, covered.get(number, ()), self.waits[number])
            for number, position in enumerate(positions)
        ]
        for part in self.parts:
            part.waits.wake(part.coverage.ends)
        self.as_of, self._looked_at, self._is_whole = as_of, None, False
        if self.parts:
            self.has_begun.set()
        else:
            self.has_begun.clear()

    def ends_of(self, number: int) -> Sequence[int]:
        """The coverage of a partition that counts; nothing while the copy is read again."""
        return self.parts[number].coverage.ends if number < len(self.parts) else ()

    # Ends.

    def ask(self) -> None:
        """The ends of all partitions are looked up from here on."""
        for part in self.parts:
            part.coverage.ask()

    def fail(self, why: str) -> None:
        """That could not be done."""
        self.trouble = why
        for part in self.parts:
            part.coverage.fail()

    def note_ends(self, ends: Sequence[int], moment: int | None) -> None:
        """The ends, looked up from `moment` on; None where that is not to count as a moment."""
        self.trouble = None
        for part, end in zip(self.parts, ends, strict=True):
            part.end = end
            part.coverage.note_end(end)
            part.reach(part.position)
        # As long as an earlier end is not reached, a later one would never be.
        if moment is not None and self._looked_at is None:
            self._looked_at, self._ends = moment, list(ends)
        self.note_moved()

    def note_moved(self) -> None:
        """Positions have moved: the copy may be as of a later moment."""
        if self._looked_at is not None and all(
            part.position >= end for part, end in zip(self.parts, self._ends, strict=True)
        ):
            self.as_of, self._looked_at = self._looked_at, None

    @property
    def needs_ends(self) -> bool:
        """Whether a claim of coverage waits for a lookup."""
        return any(part.coverage.needs_end for part in self.parts)

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits for coverage."""
        return any(map(len, self.waits))

    def unnoted(self) -> dict[int, Sequence[int]]:
        """The coverage that is not in the copy's store; from here on it is."""
        found = dict[int, Sequence[int]]()
        for number, part in enumerate(self.parts):
            if not part.is_noted:
                part.is_noted, found[number] = True, part.coverage.ends
        return found

    # State.

    @property
    def is_whole(self) -> bool:
        """Whether the coverage of each partition counts, so that nothing before it is missing."""
        if not self._is_whole:
            # It stays so until the copy begins anew.
            self._is_whole = bool(self.parts) and all(part.coverage.ends for part in self.parts)
        return self._is_whole

    def least(self, parts: Iterable[Part]) -> tuple[int, ...]:
        """By shard, the position before which everything is in each of these partitions."""
        ends = [part.coverage.ends for part in parts]
        return ends[0] if len(ends) == 1 else tuple(map(min, zip(*ends, strict=False)))

    @property
    def is_ready(self) -> bool:
        """Whether the copy has everything that was in the topic at some moment."""
        return self.as_of is not None and self.is_whole

    @property
    def is_fresh(self) -> bool:
        """Whether it is ready and has no problem; quick, for every answer."""
        return (
            self.trouble is None
            and self.as_of is not None
            and self.is_whole
            and now() - self.as_of < LAGS_SECONDS * MICROSECONDS
        )

    def state(self) -> ViewState:
        """See ViewState."""
        age = None if self.as_of is None else max(now() - self.as_of, 0) / MICROSECONDS
        behind = sum(part.behind for part in self.parts)
        problem = self._problem(age, behind)
        return ViewState(self.is_ready, problem, age, behind, self.as_of, self.foreign)

    def _problem(self, age: float | None, behind: int) -> str | None:
        if self.trouble is not None:
            return self.trouble
        if not self.is_whole or age is None:
            why = f"{self.lost} " if self.lost else ""
            return f"{why}The balances are being read: {behind} records are left."
        if age > LAGS_SECONDS:
            return f"It lags: what it has is {age:.0f} s old, and {behind} records are left."
        return None

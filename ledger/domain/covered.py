"""Coverage: how much of each shard the balances of one partition contain.

A run's stripes are published before the run is compared. So whoever knows that a shard is compared
up to a position, and then has every stripe that was published by now, has everything of the shard
before that position; unless a newer row has replaced one in between (`Sums.contained`).
"""

from collections.abc import Iterable
from typing import NamedTuple

from ledger.domain.sums import Sums


class Compared(NamedTuple):
    """How far shards were compared at one moment: `ends` by shard; `own`: those of this process."""

    ends: list[int]
    own: set[int]


class Covered:
    """The state of one partition; positions of its stripes topic are called places.

    A shard of this process hands its stripes on, so its part is contained at once: unless some were
    published while the partition was not open, which must be read. What other processes have
    published must be read up to the end that the topic had after their shards were compared.
    """

    def __init__(self) -> None:
        self._known: list[int] = []
        self._ends: list[int] = []
        self._published: list[int] = []
        self._missed = 0
        self._waiting: list[tuple[int, dict[int, int]]] = []
        self._hole: int | None = None
        self._hole_noted = False
        self.has_hole = False

    def open(self, ends: Iterable[int]) -> None:
        """The partition is read up to an end that is looked up after this: `ends` are known."""
        self._known, self._published, self._missed = list(ends), [], 0
        self._ends = [0] * len(self._known)
        self._waiting.clear()
        self._hole, self._hole_noted, self.has_hole = None, False, False

    def miss(self, place: int) -> None:
        """Stripes of this process before `place` were not handed on: they must be read."""
        self._missed = max(place, self._missed)

    def note_hole(self) -> None:
        """Records are missing in the topic: newer ones, further on, have replaced them."""
        self.has_hole, self._hole, self._hole_noted = True, None, False

    def note(self, compared: Compared, end: int | None) -> None:
        """Shards are compared so far; `end`: where the topic ended after that, None if not known.

        Without it the shards of other processes are left out.
        """
        own, others = dict[int, int](), dict[int, int]()
        for shard, position in enumerate(compared.ends):
            if position > self._known[shard]:
                (own if shard in compared.own else others)[shard] = position
        if own:
            self._wait(self._missed, own)
        if end is not None:
            if others:
                self._wait(end, others)
            if self._hole_noted and self._hole is None:
                self._hole = end
            # The end that was looked up may be older than the hole; the next one is not.
            self._hole_noted = self.has_hole

    def _wait(self, place: int, ends: dict[int, int]) -> None:
        # The first stays as it is, or a reader that lags would never reach any of them.
        if len(self._waiting) > 1:
            last, others = self._waiting.pop()
            place, ends = max(place, last), others | ends
        self._waiting.append((place, ends))

    def take(self, sums: Sums, *, again: bool) -> list[int] | None:
        """By shard the position before which everything is contained.

        None if that was taken before, unless `again`, or as long as it is not known.
        """
        for place, ends in self._waiting:
            if place <= sums.read:
                for shard, position in ends.items():
                    self._known[shard] = max(position, self._known[shard])
        self._waiting = [each for each in self._waiting if each[0] > sums.read]
        if self.has_hole:
            if self._hole is None or sums.read < self._hole:
                return None
            sums.note_unclear()
            self._hole, self._hole_noted, self.has_hole = None, False, False
        for shard, position in enumerate(self._known):
            self._ends[shard] = max(sums.contained(shard, position), self._ends[shard])
        if self._ends == self._published and not again:
            return None
        self._published = list(self._ends)
        return self._published

    def take_back(self) -> None:
        """What was taken could not be published: it is to be taken again."""
        self._published = []

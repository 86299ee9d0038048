"""Whether an answer counts everything that it should, and up to where it does.

The claims hold because of the order of reading: first a clock, then the log's ends, then what is
posted. Whatever is not below an end that was read came after that moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Position:
    """What was read of one shard; offsets of its transactions, times in microseconds since 1970.

    `counted`: the answer counts everything before it. `recorded_until`: the largest recorded_at
    before it; nothing after it has a smaller one. `log_end`: the next offset of the log, None if
    it could not be read. `waits`: whether a record from `counted` on was found, None if nobody
    could look. `waits_since`: recorded_at of the first of those. `cut`: whether the log, read again
    later, ends before what was counted: it is not the log that was counted.
    """

    shard: int
    counted: int
    recorded_until: int
    log_end: int | None
    waits: bool | None = None
    waits_since: int | None = None
    cut: bool = False

    @property
    def level(self) -> bool:
        """Whether everything in the log is counted; what only marks transactions is no record."""
        if self.log_end is None or self.cut:
            return False
        return self.log_end <= self.counted or self.waits is False

    @property
    def waiting(self) -> int | None:
        """Offsets of the log that are not counted; None where that is not known."""
        if self.log_end is None or self.cut:
            return None
        return 0 if self.level else self.log_end - self.counted

    def through(self, moment: int) -> int:
        """The time before which everything recorded is counted.

        `moment`: when the log's end was read, by a clock that the log's may not be behind.
        """
        if self.level:
            return max(self.recorded_until, moment)
        if self.waits and self.waits_since is not None and not self.cut:
            return max(self.recorded_until, self.waits_since)
        return self.recorded_until


class Asked(NamedTuple):
    """The question: entries before `as_of`, None for all of them, by that time axis."""

    as_of: int | None = None
    by: Literal["effective", "recorded"] = "effective"


@dataclass(frozen=True, slots=True)
class Completeness:
    """The answer to `asked` counts everything that it should, or lacks what `missing` has.

    By recorded time it is complete when every record with a recorded_at before `as_of` is counted;
    that time itself must have passed. Otherwise, when everything that was in the log at `moment`
    is: what is not in it yet may still be effective at any time.
    """

    asked: Asked
    moment: int
    positions: Sequence[Position]

    @property
    def by_record(self) -> bool:
        """Whether it is about what was recorded before a time."""
        return self.asked.as_of is not None and self.asked.by == "recorded"

    @property
    def to_come(self) -> bool:
        """Whether the time asked about had not passed."""
        as_of = self.asked.as_of
        return self.by_record and as_of is not None and as_of > self.moment

    @property
    def through(self) -> int | None:
        """The time before which everything recorded is counted, in all shards; None for no time."""
        return min((each.through(self.moment) for each in self.positions), default=0) or None

    @property
    def missing(self) -> list[Position]:
        """The shards that lack something, or may."""
        return [each for each in self.positions if not self._counts(each)]

    @property
    def complete(self) -> bool:
        """False also where it is not known."""
        return bool(self.positions) and not self.to_come and not self.missing

    def _counts(self, position: Position) -> bool:
        as_of = self.asked.as_of
        if self.by_record and as_of is not None:
            return not position.cut and position.through(self.moment) >= min(as_of, self.moment)
        return position.level

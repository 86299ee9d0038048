"""When a claim of `ledger.coverage` counts for the copy of one partition.

A claim says that the balances before an offset contain every transaction before a position of each
shard. The topic is compacted: a balance that the claim rests on may have been replaced by a newer
one further on. So a claim counts once the partition is read to an end that was looked up after the
claim was there.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Claim(NamedTuple):
    """The balances before `offset` contain each shard up to its position in `ends`.

    They are those from `start` on, of the topic with the id `topic`; empty: it is not known.
    """

    offset: int
    ends: tuple[int, ...]
    topic: str = ""
    start: int = 0

    def is_about(self, topic: str, start: int) -> bool:
        """Whether it is about this topic, read from `start` on."""
        return self.topic in ("", topic) and self.start >= start

    def and_(self, other: "Claim | None") -> "Claim":
        """What both say together."""
        if other is None:
            return self
        return Claim(max(self.offset, other.offset), _largest(self.ends, other.ends))


class PartitionCoverage:
    """The claims about one partition. `ends`: the positions that count, by shard; they never fall.

    A claim goes from `hear` through `ask` and `note_end` to `reach`. Claims that come meanwhile
    wait together for the next lookup.
    """

    def __init__(self, counted: Iterable[int] = ()) -> None:
        self.ends: tuple[int, ...] = tuple(counted)
        self._heard: Claim | None = None
        self._asked: Claim | None = None
        self._read_to: tuple[int, Claim] | None = None

    def hear(self, claim: Claim) -> None:
        """The claim is there."""
        if not _is_within(claim.ends, self.ends):
            self._heard = claim.and_(self._heard)

    @property
    def needs_end(self) -> bool:
        """Whether a claim waits for a lookup, and none before it waits for anything."""
        return self._heard is not None and self._asked is None and self._read_to is None

    def ask(self) -> None:
        """A lookup of the partition's end begins now."""
        if self.needs_end:
            self._asked, self._heard = self._heard, None

    def fail(self) -> None:
        """The lookup has failed."""
        if self._asked is not None:
            self._heard, self._asked = self._asked.and_(self._heard), None

    def note_end(self, end: int) -> None:
        """The lookup has found `end`."""
        if self._asked is not None:
            # Beyond the end is what the broker does not hand out yet.
            self._read_to, self._asked = (max(end, self._asked.offset), self._asked), None

    def reach(self, position: int) -> bool:
        """Everything before `position` is in the copy. Returns whether a claim counts now."""
        if self._read_to is None or position < self._read_to[0]:
            return False
        claim, self._read_to = self._read_to[1], None
        self.ends = _largest(claim.ends, self.ends)
        return True


def _largest(some: Sequence[int], others: Sequence[int]) -> tuple[int, ...]:
    if len(some) < len(others):
        some, others = others, some
    return (*map(max, some, others), *some[len(others) :])


def _is_within(some: Sequence[int], others: Sequence[int]) -> bool:
    return len(some) <= len(others) and all(
        mine <= theirs for mine, theirs in zip(some, others, strict=False)
    )

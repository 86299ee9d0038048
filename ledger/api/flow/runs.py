"""The newest runs of every shard, as the log has them: a bounded number of bytes of memory."""

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import NamedTuple

from ledger.api.flow.fate import RunPlace, Verdict
from ledger.client.outcomes import OpenBreak, Outcome
from ledger.domain.memory import FINGERPRINT, AcceptedId, Memory
from ledger.domain.run import Content, Outcomes, Refusal, voids_of
from ledger.domain.valid_run import ValidRun

RECENT_BYTES = 16 * 1024 * 1024
"""Of runs that are kept: 100,000 transactions or more, which are 6 s at 16,000 a second."""
FRAME_BYTES = 500
"""Of a run's objects, roughly."""

_start = attrgetter("start")


class AcceptedTransaction(NamedTuple):
    """An accepted transaction: its run, its content alone, and what is remembered of it."""

    run: RunPlace
    content: Content
    known: AcceptedId


def _nothing(_: str) -> None:
    """Nothing was accepted before."""


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run [start, end), encoded; `at`: when it was appended, microseconds."""

    start: int
    end: int
    decisions_offset: int
    at: int
    content: bytes
    outcomes: bytes
    voids: bytes

    @classmethod
    def of(cls, run: ValidRun, at: int) -> "HeldRun":
        """Without what was decoded of it, which takes ten times as much memory."""
        found = run.decision
        return cls(
            found.start, found.end, run.decisions_offset, at,
            found.content, found.outcomes, found.voids,
        )  # fmt: skip

    @property
    def weight(self) -> int:
        """Bytes of memory."""
        return FRAME_BYTES + len(self.content) + len(self.outcomes) + len(self.voids)

    @property
    def place(self) -> RunPlace:
        """Where it is."""
        return RunPlace(self.decisions_offset, self.start, self.end, self.at)

    def verdicts(self) -> "Verdicts":
        """How its transactions were decided."""
        return Verdicts(self)

    def offset_of(self, transaction_id: str) -> int | None:
        """Where it accepted the id."""
        content = Content.decode(self.content)
        if transaction_id not in content.transaction_ids:
            return None
        return content.offsets[content.transaction_ids.index(transaction_id)]

    def reversal_of(self, transaction_id: str) -> int | None:
        """Where it accepted what reverses the id."""
        content = Content.decode(self.content)
        if transaction_id not in content.reverses:
            return None
        return content.offsets[content.reverses.index(transaction_id)]

    def refusal_of(self, transaction_id: str) -> Refusal | None:
        """The last time that it refused the id."""
        refused = reversed(Outcomes.decode(self.outcomes).refused)
        return next((each for each in refused if each.transaction_id == transaction_id), None)

    def accepted(self, offset: int) -> AcceptedTransaction:
        """The transaction at `offset` as a shard remembers it. Raises ValueError without one."""
        content = Content.decode(self.content)
        at = content.offsets.index(offset)
        prints = Outcomes.decode(self.outcomes).fingerprints[at * FINGERPRINT :][:FINGERPRINT]
        part, memory = content.part({offset}), Memory(_nothing, _nothing)
        memory.remember(part, Outcomes(fingerprints=prints))
        return AcceptedTransaction(
            self.place, part, AcceptedId.unpack(memory.ids[part.transaction_ids[0]])
        )

    def breaks_of(self, offset: int, among: set[OpenBreak]) -> list[OpenBreak]:
        """Those that its transaction at `offset` touches."""
        part = Content.decode(self.content).part({offset})
        touched = set(zip(part.accounts, part.currencies, strict=True))
        return sorted(each for each in among if (each.account, each.currency) in touched)


class Verdicts:
    """The outcomes of one run, decoded once for all that ask."""

    def __init__(self, run: HeldRun) -> None:
        outcomes = Outcomes.decode(run.outcomes)
        self._run = run.place
        self._duplicates = set(outcomes.duplicates)
        self._refused = {each.offset: each for each in outcomes.refused}
        self._voids = {each.offset: each for each in voids_of(run.voids)}

    def of(self, offset: int) -> Verdict:
        """How the transaction at `offset` of the run was decided.

        An offset comes from a receipt, so it has a transaction: what is nothing else is accepted.
        """
        verdict = partial(Verdict, run=self._run)
        if offset in self._duplicates:
            return verdict(Outcome.DUPLICATE)
        if (refusal := self._refused.get(offset)) is not None:
            return verdict(Outcome.REFUSED, refusal=refusal)
        if (void := self._voids.get(offset)) is not None:
            return verdict(Outcome.VOID, void=void)
        return verdict(Outcome.ACCEPTED)


class RecentRuns:
    """Of each shard its newest runs in order; the oldest of all make room."""

    def __init__(self, limit: int = RECENT_BYTES) -> None:
        self._limit, self._bytes = limit, 0
        self._runs: dict[int, deque[HeldRun]] = {}
        self._order: deque[tuple[int, HeldRun]] = deque()

    @property
    def weight(self) -> int:
        """Bytes of memory."""
        return self._bytes

    def add(self, shard: int, run: HeldRun) -> None:
        """Keep the shard's next run; the newest one of all is kept whatever its size."""
        self._runs.setdefault(shard, deque()).append(run)
        self._order.append((shard, run))
        self._bytes += run.weight
        while self._bytes > self._limit and len(self._order) > 1:
            oldest, gone = self._order.popleft()
            self._runs[oldest].popleft()
            self._bytes -= gone.weight

    def at(self, shard: int, offset: int) -> HeldRun | None:
        """The run that decided the transaction at `offset`, if it is kept."""
        runs = self._runs.get(shard, ())
        index = bisect_right(runs, offset, key=_start) - 1
        if index < 0 or offset >= runs[index].end:
            return None
        return runs[index]

    def newest_first(self) -> list[tuple[int, HeldRun]]:
        """Every run with its shard."""
        return list(reversed(self._order))

    def first(self, shard: int, otherwise: int) -> int:
        """The start of the shard's oldest run that is kept."""
        runs = self._runs.get(shard)
        return runs[0].start if runs else otherwise

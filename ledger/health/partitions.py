"""What each partition of an application does and, where it makes no progress, why.

The agents' event loop writes this, at most once a run; the thread that answers HTTP requests reads
it. The clock is passed in and returns monotonic seconds.
"""

from collections.abc import Callable
from contextvars import ContextVar
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple, Self

Clock = Callable[[], float]
HANGING_SECONDS = 5.0
"""A request or a run that takes longer counts as waiting."""
NO_ANSWER = "there is no answer yet"


class State(StrEnum):
    """State of a partition; only `GOING_ON` is progress. JSON and metrics use these values."""

    OPENING = "opening"
    GOING_ON = "going on"
    WAITING = "waiting"
    STOPPED = "stopped"


class PartitionStatus(NamedTuple):
    """State of a partition at one moment.

    `since` is in the clock's seconds, `doing` completes "it waits to", `why` is a sentence.
    """

    state: State
    since: float
    doing: str = ""
    why: str = ""


class PartitionHealth:
    """Health of one partition of a stage, or of the application outside its partitions."""

    def __init__(self, clock: Clock, *, state: State = State.OPENING) -> None:
        self.clock = clock
        self.waits = 0
        """How often a request failed and had to be repeated."""
        self._last = PartitionStatus(state, clock())
        self._requests: dict[Request, None] = {}
        self._run_since: float | None = None

    def opening(self) -> None:
        """Its state is being restored."""
        self._set(State.OPENING)

    def opened(self) -> None:
        """Its state is restored, and it reads on."""
        self._set(State.GOING_ON)

    def stop(self, why: str) -> None:
        """It cannot continue; the first reason is kept until the partition is opened again."""
        if self._last.state is not State.STOPPED:
            self._set(State.STOPPED, why)

    def _set(self, state: State, why: str = "") -> None:
        self._last = PartitionStatus(state, self.clock(), why=why)

    def run_started(self) -> None:
        """Mark the start of a run."""
        self._run_since = self.clock()

    def run_finished(self) -> None:
        """Mark the current run as processed."""
        self._run_since = None

    def status(self) -> PartitionStatus:
        """Its state now: stopped, then a failed request, then opening, then what hangs."""
        last, now, requests = self._last, self.clock(), list(self._requests)
        if last.state is State.STOPPED:
            return last
        failing = [each for each in requests if each.fails(now)]
        if failing:
            request = failing[-1]
            return PartitionStatus(State.WAITING, request.failed_since, request.what, request.why)
        finite = [each for each in requests if not each.endless]
        if last.state is State.OPENING:
            return last._replace(doing=finite[-1].what if finite else "")
        for request in reversed(finite):
            if now - request.since > HANGING_SECONDS:
                return PartitionStatus(State.WAITING, request.since, request.what, NO_ANSWER)
        run_since = self._run_since
        if run_since is not None and now - run_since > HANGING_SECONDS:
            return PartitionStatus(State.WAITING, run_since, "finish the current run", NO_ANSWER)
        return last


class Request:
    """A request to something outside this process, open for the length of a `with` block.

    `partition` is None where the request belongs to no partition. An `endless` one is not expected
    to return: it counts as waiting only for HANGING_SECONDS after each failure.
    """

    __slots__ = ("_partition", "endless", "failed_at", "failed_since", "since", "what", "why")

    def __init__(
        self, partition: PartitionHealth | None, what: str, *, endless: bool = False
    ) -> None:
        self._partition, self.what, self.endless = partition, what, endless
        self.why = ""
        self.since = self.failed_since = self.failed_at = 0.0

    def __enter__(self) -> Self:
        partition = self._partition
        if partition is not None:
            self.since = partition.clock()
            partition._requests[self] = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._partition is not None:
            del self._partition._requests[self]

    def failed(self, error: BaseException) -> None:
        """Record that the other side is unavailable."""
        if self._partition is not None:
            now = self._partition.clock()
            if not self.fails(now):
                self.failed_since = now
                self._partition.waits += 1
            self.failed_at, self.why = now, str(error)

    def fails(self, now: float) -> bool:
        """Whether its last attempt failed."""
        return bool(self.why) and not (self.endless and now - self.failed_at > HANGING_SECONDS)


current_partition: ContextVar[PartitionHealth | None] = ContextVar(
    "current_partition", default=None
)
"""The partition that the running task works for."""


def waiting_for(what: str, *, endless: bool = False) -> Request:
    """For `with`: the running task's partition waits to `what`, for example "append decisions"."""
    return Request(current_partition.get(), what, endless=endless)

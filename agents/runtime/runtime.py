"""What every stage works with, and what a stage is."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agents.runtime.membership import Membership
from agents.runtime.runs import Run
from ledger.health.application import Health
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec
from ledger.streaming.topics import Topic, Topics


@dataclass(frozen=True, slots=True)
class Runtime:
    """One application of a worker.

    `data`: the folder of its tables. `fail(error, doing)` ends the process at once: everything it
    knew is in Kafka and in its tables, and its successor starts from there.
    """

    settings: Settings
    topics: Topics
    log: Log
    codec: Codec
    data: Path
    health: Health
    membership: Membership
    fail: Callable[[BaseException, str], None]

    async def guarded(self, work: Awaitable[None], doing: str) -> None:
        """Do `work`; this process does not outlive its failing."""
        try:
            await work
        except Exception as error:
            self.fail(error, doing)


class Stage(Protocol):
    """Takes the runs of one topic; its own state says from where."""

    name: str
    topic: Topic

    async def open(self, partition: int) -> int:
        """Make the state of an assigned partition ready; returns the position to fetch from."""

    async def take(self, run: Run) -> int:
        """Make the effects of `run` durable; returns the position reached.

        Raises Gap when runs before this one are missing, InvariantBroken when this partition
        cannot go on.
        """

    def clear(self) -> None:
        """Forget what waits: a rebalance has begun, and every position will be asked for again."""


@dataclass(frozen=True, slots=True)
class Task:
    """Work without end beside the stages; `doing` completes "Fault while ..."."""

    doing: str
    work: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Graph:
    """The stages of an application, and what runs beside them."""

    stages: Sequence[Stage]
    tasks: Sequence[Task]

"""Health of one application's process: its partitions, membership, event loop and counters."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ledger.health.partitions import Clock, PartitionHealth, State

LOOP_SECONDS = 1.0
"""The event loop records at least this often that it runs."""
NEVER = float("-inf")


class LoopHealth:
    """Whether the agents' event loop runs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ran = clock()
        self._stood_still = NEVER

    def ran(self) -> None:
        """Record that it runs; called at least every LOOP_SECONDS."""
        now = self._clock()
        if now - self._ran > 2 * LOOP_SECONDS:
            self._stood_still = now
        self._ran = now

    def still_seconds(self) -> float:
        """Seconds since it last ran."""
        return self._clock() - self._ran

    def stood_still(self, seconds: float, *, within: float) -> bool:
        """Whether it has not run for `seconds`, or had a pause in the last `within` seconds."""
        return self.still_seconds() > seconds or self._clock() - self._stood_still < within


class Member(NamedTuple):
    """Whether the process has partitions of its consumer group; `since` in the clock's seconds."""

    member: bool
    since: float


class Counts:
    """What an application has done since its process started."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        """By stage."""
        self.transactions: Counter[tuple[str, str]] = Counter()
        """By outcome and, for refusals, by code."""
        self.breaks: dict[int, int] = {}
        """Stripes with an open break, by shard."""


class Health:
    """Health of one application's process."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self.own = PartitionHealth(clock, state=State.GOING_ON)
        """Of the application outside its partitions."""
        self.partitions: dict[tuple[str, int], PartitionHealth] = {}
        """By topic and number."""
        self.stages: dict[str, str] = {}
        """By the topic that a stage reads."""
        self.membership = Member(member=False, since=clock())
        self.loop = LoopHealth(clock)
        self.counts = Counts()
        self.alarms: tuple[str, ...] = ()
        """What is wrong although the partitions make progress; each says what to do."""
        self._past_waits: Counter[str] = Counter()

    def at(self, tp: tuple[str, int]) -> PartitionHealth:
        """Health of a topic's partition; of one that is not ours, an object that nobody reads."""
        return self.partitions.get(tp) or PartitionHealth(self.clock)

    def stage(self, topic: str) -> str:
        """The stage that reads `topic`."""
        return self.stages.get(topic, topic)

    def assign(self, tps: Iterable[tuple[str, int]]) -> None:
        """This process now has these partitions and no others, and opens them."""
        # Plain pairs: the thread that reads them must not depend on Faust's types.
        wanted = [(tp[0], tp[1]) for tp in tps]
        for tp in self.partitions.keys() - wanted:
            self._past_waits[self.stage(tp[0])] += self.partitions.pop(tp).waits
        for tp in wanted:
            self.partitions.setdefault(tp, PartitionHealth(self.clock)).opening()
        self.counts.breaks.clear()
        self.membership = Member(member=True, since=self.clock())

    def revoke(self) -> None:
        """The group rebalances, and this process has no partitions until it is assigned some."""
        self.membership = Member(member=False, since=self.clock())

    def waits(self) -> Mapping[str, int]:
        """How often a request to something outside had to be repeated, by stage."""
        found = self._past_waits.copy()
        found["application"] += self.own.waits
        for (topic, _), partition in list(self.partitions.items()):
            found[self.stage(topic)] += partition.waits
        return found

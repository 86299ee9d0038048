"""What an application says of itself: whether it makes progress, and its figures for Prometheus."""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from faust.types import TP
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from agents.runtime.runtime import Runtime
from ledger.health.application import LOOP_SECONDS, Health
from ledger.health.partitions import State
from ledger.health.rows import partition_rows, reasons, status_row
from ledger.health.server import Answer, HealthServer, json_answer, metrics_answer, write_address
from ledger.settings import Settings
from ledger.streaming.log import Log

LIVE_SECONDS = 30.0
"""A loop that has not turned for so long will not turn again."""
LOOK_SECONDS = 5.0
"""How often Kafka is asked where the topics end."""
LEASE_PART = 2
"""A membership unconfirmed for this part of the session is not to be counted on."""

Ends = dict[TP, int]
log = logging.getLogger(__name__)


class Ages:
    """How long the oldest transaction of a shard has waited to be compared; times in seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def note(self, at: float, end: int, compared: int) -> None:
        """The shard's transactions reached to `end`, not before `at`; before `compared` is over."""
        while self._seen and self._seen[0][1] <= compared:
            self._seen.popleft()
        if not self._seen or end > self._seen[-1][1]:
            self._seen.append((at, end))

    def age(self, now: float, compared: int) -> float:
        """0 when everything seen is compared."""
        waiting = (at for at, end in list(self._seen) if end > compared)
        return max(now - next(waiting, now), 0.0)


class Behind(NamedTuple):
    """What is reconciled and not in history: positions of the transactions, and for how long."""

    transactions: int
    seconds: float


class Figures:
    """What is asked of Kafka now and then, so that lag shows also where nothing moves.

    `compared`: the position of a shard before which everything is compared; None in an application
    that compares nothing. `behind`: of a shard's history; None in one that folds none.
    """

    def __init__(
        self,
        runtime: Runtime,
        compared: Callable[[int], int] | None = None,
        behind: Callable[[int], Behind] | None = None,
    ) -> None:
        self._runtime, self._compared, self.behind = runtime, compared, behind
        self._log = Log(runtime.settings)
        self.ends: Ends = {}
        self.ages: dict[int, Ages] = {}
        self.looked = 0.0

    async def look_on(self) -> None:
        """Without end; a broker that does not answer shows in the health of the membership."""
        while True:
            try:
                await self._look()
            except Exception as error:
                # Not to stop for: whoever needs these topics finds out by itself.
                log.info("Where the topics end could not be looked up: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        tps = sorted(TP(*tp) for tp in list(self._runtime.health.partitions))
        found = await self._log.ends(tps)
        self.ends, self.looked = found, time.time()
        transactions = self._runtime.topics.transactions.name
        for tp, end in found.items():
            if tp.topic == transactions and self._compared is not None:
                await self._note_age(tp, end, self._compared(tp.partition))
        owned = {tp.partition for tp in found if tp.topic == transactions}
        self.ages = {shard: ages for shard, ages in self.ages.items() if shard in owned}

    async def _note_age(self, tp: TP, end: int, compared: int) -> None:
        if tp.partition not in self.ages and end > compared:
            # From before this process: only the log knows since when.
            self.ages[tp.partition] = ages = Ages()
            async for records in self._log.read(tp.topic, tp.partition, compared, end):
                ages.note(records[0].timestamp / 1000, records[0].offset + 1, compared)
                break
        self.ages.setdefault(tp.partition, Ages()).note(time.time(), end, compared)

    def unconfirmed(self) -> float:
        """Seconds since the broker confirmed the membership; 0 before there is one."""
        return self._runtime.membership.unconfirmed()

    def lags(self) -> dict[tuple[str, int], int]:
        """By stage and partition, records between what is done and where the topic ended."""
        stage, positions = self._runtime.health.stage, self._runtime.membership.positions()
        return {
            (stage(tp.topic), tp.partition): max(end - positions[tp], 0)
            for tp, end in self.ends.copy().items()
            if tp in positions
        }

    def oldest(self) -> Iterator[tuple[int, float]]:
        """Shard, seconds that its oldest transaction not compared has waited."""
        if self._compared is not None:
            for shard, ages in list(self.ages.items()):
                yield shard, ages.age(time.time(), self._compared(shard))


class Answers:
    """The application's answers; they are given from a thread that only reads.

    There before the application: a process that waits for Kafka to begin with says so.
    """

    def __init__(self, name: str, settings: Settings, health: Health, data: Path) -> None:
        self._name, self._settings, self._health, self._data = name, settings, health, data
        self._figures: Figures | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def add(self, figures: Figures) -> None:
        """From here on they are in the answers."""
        self._figures = figures

    def serve(self) -> None:
        """Listen on a free port of 127.0.0.1, which the supervisor finds in the data directory."""
        routes = {"/live": self.live, "/ready": self.ready, "/metrics": self.metrics}
        served = HealthServer("127.0.0.1", 0, routes)
        served.start()
        write_address(self._data, served.url)

    async def live(self) -> Answer:
        """Whether the loop of the agents turns: infrastructure that is away is no matter."""
        seconds = self._health.loop.still_seconds()
        live = seconds < LIVE_SECONDS
        return json_answer({"live": live, "seconds": seconds}, ok=live)

    async def ready(self) -> Answer:
        """Whether it makes progress, and what does not and why."""
        found = self.report()
        return json_answer(found, ok=bool(found["ready"]))

    async def metrics(self) -> Answer:
        """In Prometheus's text format."""
        return metrics_answer(generate_latest(self._registry))

    def report(self) -> dict[str, Any]:
        """{"application", "pid", "ready", "why", "alarms", "membership", "own", "partitions"}."""
        health = self._health
        partitions, own = partition_rows(health), status_row(health.own.status(), health.clock())
        membership = self._membership()
        lags = self._figures.lags() if self._figures else {}
        for row in partitions:
            row["lag"] = lags.get((row["stage"], row["partition"]))
            if self._figures and self._figures.behind:
                behind = self._figures.behind(row["partition"])
                row["behind_transactions"] = behind.transactions
                row["behind_seconds"] = round(behind.seconds, 1)
        why = [membership["why"]] if membership["why"] else []
        if own["state"] != State.GOING_ON:
            why.append(f"waiting for {own['seconds']:.0f} s to {own['doing']}: {own['why']}")
        alarms = list(health.alarms)
        why += reasons(partitions) + alarms
        if not self._is_confirmed(membership["unconfirmed_seconds"]):
            # Without a broker no stage makes progress, also one to which nothing comes.
            for row in partitions:
                if row["state"] == State.GOING_ON:
                    row |= {"state": State.WAITING.value, "why": membership["why"]}
                    row["seconds"] = membership["unconfirmed_seconds"]
        return {
            "application": self._name,
            "pid": os.getpid(),
            "ready": not why,
            "why": why,
            "alarms": alarms,
            "membership": membership,
            "own": own,
            "partitions": partitions,
        }

    def _is_confirmed(self, age: float) -> bool:
        return age <= self._settings.session_timeout_seconds / LEASE_PART

    def _membership(self) -> dict[str, Any]:
        health = self._health
        age = self._figures.unconfirmed() if self._figures and health.membership.member else 0.0
        seconds = health.clock() - health.membership.since
        why = ""
        if not health.membership.member:
            why = f"it has no partitions for {seconds:.0f} s: the group shares them out"
        elif not self._is_confirmed(age):
            why = f"the broker has not confirmed this worker's membership for {age:.0f} s"
        elif health.loop.still_seconds() > 2 * LOOP_SECONDS:
            why = f"its loop has not turned for {health.loop.still_seconds():.0f} s"
        return {"member": health.membership.member, "seconds": round(seconds, 1),
                "unconfirmed_seconds": round(age, 1), "why": why}  # fmt: skip

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks its collectors; the supervisor adds whose they are."""
        health, report = self._health, self.report()
        build = InfoMetricFamily("faust_ledger_build", "The program that runs.")
        build.add_metric([], {"version": version("faust-ledger")})
        yield build
        yield _one("ready", "1 when everything of it makes progress.", float(report["ready"]))
        yield _one(
            "membership_unconfirmed_seconds", "Since the broker last confirmed the membership.",
            report["membership"]["unconfirmed_seconds"],
        )  # fmt: skip
        yield _one(
            "loop_still_seconds",
            "Since the loop of the agents turned.",
            health.loop.still_seconds(),
        )
        yield _one(
            "topic_differences", "Settings of topics that are not as they must be.",
            float(len(health.alarms)),
        )  # fmt: skip
        yield _one("disk_free_bytes", "Room for its tables.", _free(self._data))
        yield from _of_partitions(report["partitions"])
        runs = _counter("runs", "Runs taken.", ["stage"])
        for stage, number in health.counts.runs.copy().items():
            runs.add_metric([stage], number)
        yield runs
        waits = _counter("waits", "Times that something outside had to be waited for.", ["stage"])
        for stage, number in health.waits().items():
            waits.add_metric([stage], number)
        yield waits
        if self._name == "stream":
            yield from self._of_shards()
        if self._figures and self._figures.behind:
            yield from _of_history(report["partitions"])

    def _of_shards(self) -> Iterator[Metric]:
        health = self._health
        settled = _counter("transactions", "Records decided, by outcome.", ["outcome", "code"])
        for (outcome, code), number in health.counts.transactions.copy().items():
            settled.add_metric([outcome, code], number)
        yield settled
        oldest = _gauge(
            "oldest_unreconciled_seconds", "Age of the oldest transaction not compared.", ["shard"]
        )
        for shard, age in self._figures.oldest() if self._figures else ():
            oldest.add_metric([str(shard)], age)
        yield oldest
        breaks = _gauge("breaks_open", "Stripes on which the two sides differ.", ["shard"])
        for shard, number in health.counts.breaks.copy().items():
            breaks.add_metric([str(shard)], number)
        yield breaks


def _of_partitions(partitions: list[dict[str, Any]]) -> Iterator[Metric]:
    names = ["stage", "partition"]
    states = _gauge("partition_state", "1 for the state that it is in.", [*names, "state"])
    waiting = _gauge("partition_waiting_seconds", "Since it went on last; 0 if it does.", names)
    lag = _gauge("lag_records", "Records of its topic that are still to be taken.", names)
    for row in partitions:
        where = [row["stage"], str(row["partition"])]
        for state in State:
            states.add_metric([*where, state.value.replace(" ", "_")], row["state"] == state)
        waiting.add_metric(where, 0.0 if row["state"] == State.GOING_ON else row["seconds"])
        if row["lag"] is not None:
            lag.add_metric(where, row["lag"])
    yield from (states, waiting, lag)


def _of_history(partitions: list[dict[str, Any]]) -> Iterator[Metric]:
    count = _gauge("history_behind_transactions", "Reconciled and not in history.", ["shard"])
    seconds = _gauge("history_behind_seconds", "Since when history is behind.", ["shard"])
    for row in partitions:
        count.add_metric([str(row["partition"])], row["behind_transactions"])
        seconds.add_metric([str(row["partition"])], row["behind_seconds"])
    yield from (count, seconds)


def _gauge(name: str, says: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"faust_ledger_{name}", says, labels=labels)


def _counter(name: str, says: str, labels: list[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"faust_ledger_{name}", says, labels=labels)


def _one(name: str, says: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"faust_ledger_{name}", says, value=value)


def _free(data: Path) -> float:
    found = os.statvfs(data)
    return float(found.f_bavail * found.f_frsize)

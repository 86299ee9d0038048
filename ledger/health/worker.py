"""Health of a worker: of both its applications, running or not."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from ledger.health.exits import advice_of, meaning_of
from ledger.health.server import (
    NOT_OK,
    OK,
    Answer,
    Route,
    json_answer,
    metrics_answer,
    read_address,
)

ANSWER_SECONDS = 2.0
STILL_SECONDS = 30.0
"""A supervisor that has not checked its applications for so long will not do it again."""
Answers = list[tuple[int, bytes]]
"""Status and body from each application; (0, b"") where there is no answer."""


@dataclass
class Child:
    """One application's process, and when to start it again; times in monotonic seconds."""

    application: str
    process: Popen[bytes] | None = None
    started: float = 0.0
    pause: float = 0.0
    due: float = 0.0
    ends: int = 0
    """How often it has ended; the last time with `status`, at `ended`."""
    status: int | None = None
    ended: float = 0.0

    def last_exit(self) -> dict[str, Any] | None:
        """How it ended last; None if it never has."""
        if self.status is None:
            return None
        return {
            "status": self.status,
            "meaning": meaning_of(self.status),
            "advice": advice_of(self.status),
            "seconds": round(time.monotonic() - self.ended, 1),
        }

    def silence(self) -> str:
        """Why it gives no answer."""
        before = f" It ended with {self.status}: {meaning_of(self.status)}" if self.status else ""
        now, process = time.monotonic(), self.process
        if process is None:
            return f"it does not run, and starts again in {max(self.due - now, 0):.0f} s.{before}"
        age = now - self.started
        return f"process {process.pid}, started {age:.0f} s ago, does not answer.{before}"


class WorkerHealth:
    """Answers for the worker `name`, whose files are in `folder`."""

    def __init__(self, name: str, folder: Path, children: Sequence[Child]) -> None:
        self._name, self._folder, self._children = name, folder, children
        self.checked = time.monotonic()
        """When the supervisor last checked its applications."""

    def routes(self) -> dict[str, Route]:
        """Its answers, by path."""
        return {"/live": self.live, "/ready": self.ready, "/metrics": self.metrics}

    async def live(self) -> Answer:
        """Whether the supervisor checks its applications, and their event loops run."""
        answers = await self._ask("/live")
        still = time.monotonic() - self.checked
        # One without an address is starting, and the supervisor watches it.
        dead = [
            child.application
            for child, (status, _) in zip(self._children, answers, strict=True)
            if status != OK and self._address(child) is not None
        ]
        live = still < STILL_SECONDS and not dead
        return json_answer({"live": live, "still_seconds": round(still, 1), "dead": dead}, ok=live)

    async def ready(self) -> Answer:
        """Whether both applications make progress."""
        answers = await self._ask("/ready")
        found = {
            child.application: _ready(child, body)
            for child, (_, body) in zip(self._children, answers, strict=True)
        }
        why = [f"{name}: {each}" for name, report in found.items() for each in report["why"]]
        report = {"worker": self._name, "ready": not why, "why": why, "applications": found}
        return json_answer(report, ok=not why)

    async def metrics(self) -> Answer:
        """Metrics of both applications, each with a label that names it, and of the supervisor."""
        families: dict[str, Metric] = {}
        for child, (_, body) in zip(self._children, await self._ask("/metrics"), strict=True):
            for family in text_string_to_metric_families(body.decode()):
                known = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {"application": child.application, **sample.labels}
                    known.samples.append(sample._replace(labels=labels))
        registry = CollectorRegistry()
        registry.register(_Families([*families.values(), *self._of_processes()]))
        return metrics_answer(generate_latest(registry))

    def _of_processes(self) -> Iterator[Metric]:
        running = GaugeMetricFamily(
            "faust_ledger_application_running", "1 while its process runs.",
            labels=["application"],
        )  # fmt: skip
        ends = CounterMetricFamily(
            "faust_ledger_application_ends", "How often its process has ended by itself.",
            labels=["application"],
        )  # fmt: skip
        status = GaugeMetricFamily(
            "faust_ledger_application_last_exit_status", "Negative: the signal that ended it.",
            labels=["application"],
        )  # fmt: skip
        for child in self._children:
            running.add_metric([child.application], float(child.process is not None))
            ends.add_metric([child.application], child.ends)
            if child.status is not None:
                status.add_metric([child.application], child.status)
        return iter((running, ends, status))

    def _address(self, child: Child) -> str | None:
        process = child.process
        if process is None:
            return None
        return read_address(self._folder / child.application, process.pid)

    async def _ask(self, path: str) -> Answers:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            return await asyncio.gather(*(
                _answer(session, self._address(child), path) for child in self._children
            ))  # fmt: skip


class _Families:
    """A collector of finished metric families."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _ready(child: Child, body: bytes) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads(body) if body else {
        "application": child.application, "ready": False, "partitions": [],
        "why": [child.silence()],
    }  # fmt: skip
    return {**found, "restarts": child.ends, "last_exit": child.last_exit()}


async def _answer(
    session: aiohttp.ClientSession, address: str | None, path: str
) -> tuple[int, bytes]:
    if address is None:
        return 0, b""
    try:
        async with session.get(f"{address}{path}") as response:
            known = response.status in (OK, NOT_OK)
            return (response.status, await response.read()) if known else (0, b"")
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0, b""

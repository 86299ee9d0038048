"""What a worker says of itself: of both its applications, also of one that is not there."""

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from ledger.health.exits import advice_of, meaning_of
from ledger.health.server import UNWELL, WELL, Answer, Route, address_in, as_json, as_metrics

ANSWER_SECONDS = 2.0
STILL_SECONDS = 30.0
"""A supervisor that has not looked after its applications for so long will not do it again."""


@dataclass
class Child:
    """One application's process, or when to start it again; times in monotonic seconds."""

    application: str
    process: Popen[bytes] | None = None
    started: float = 0.0
    pause: float = 0.0
    due: float = 0.0
    ends: int = 0
    """How often it has ended, with `status` the last time, at `ended`."""
    status: int | None = None
    ended: float = 0.0

    def said(self) -> dict[str, Any] | None:
        """How it ended last, for people and programs."""
        if self.status is None:
            return None
        return {
            "status": self.status,
            "meaning": meaning_of(self.status),
            "advice": advice_of(self.status),
            "seconds": round(time.monotonic() - self.ended, 1),
        }

    def without_answer(self) -> str:
        """Why it says nothing itself."""
        before = f" It ended with {self.status}: {meaning_of(self.status)}" if self.status else ""
        now, process = time.monotonic(), self.process
        if process is None:
            return f"it does not run, and starts again in {max(self.due - now, 0):.0f} s.{before}"
        return (
            f"process {process.pid}, started {now - self.started:.0f} s ago, says nothing.{before}"
        )


class WorkerHealth:
    """Answers for the worker `name`, whose files are in `folder`."""

    def __init__(self, name: str, folder: Path, children: Sequence[Child]) -> None:
        self._name, self._folder, self._children = name, folder, children
        self.turned = time.monotonic()

    def routes(self) -> dict[str, Route]:
        """By path."""
        return {"/live": self.live, "/ready": self.ready, "/metrics": self.metrics}

    async def live(self) -> Answer:
        """Whether the supervisor looks after its applications, and their loops turn."""
        found = await self._asked("/live")
        still = time.monotonic() - self.turned
        # One that is being started again, or has not got to answering yet, is looked after.
        bad = [
            child.application
            for child, (status, _) in zip(self._children, found, strict=True)
            if status != WELL and self._address(child) is not None
        ]
        well = still < STILL_SECONDS and not bad
        return as_json(well, {"live": well, "still_seconds": round(still, 1), "dead": bad})

    async def ready(self) -> Answer:
        """Whether both applications make progress."""
        applications: dict[str, Any] = {}
        for child, (_, body) in zip(self._children, await self._asked("/ready"), strict=True):
            found = json.loads(body) if body else {
                "application": child.application, "ready": False, "partitions": [],
                "why": [child.without_answer()],
            }  # fmt: skip
            found |= {"restarts": child.ends, "last_exit": child.said()}
            applications[child.application] = found
        why = [f"{name}: {each}" for name, found in applications.items() for each in found["why"]]
        return as_json(
            not why,
            {"worker": self._name, "ready": not why, "why": why, "applications": applications},
        )

    async def metrics(self) -> Answer:
        """Those of both applications, each with its name, and the supervisor's."""
        families: dict[str, Metric] = {}
        for child, (_, body) in zip(self._children, await self._asked("/metrics"), strict=True):
            for family in text_string_to_metric_families(body.decode()):
                known = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {"application": child.application, **sample.labels}
                    known.samples.append(sample._replace(labels=labels))
        registry = CollectorRegistry()
        registry.register(_Given([*families.values(), *self._own()]))
        return as_metrics(generate_latest(registry))

    def _own(self) -> Iterator[Metric]:
        running = GaugeMetricFamily(
            "faust_ledger_application_running", "1 while its process is there.",
            labels=["application"],
        )  # fmt: skip
        ends = CounterMetricFamily(
            "faust_ledger_application_ends", "Times that its process ended by itself.",
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
        return address_in(self._folder / child.application, process.pid)

    async def _asked(self, path: str) -> list[tuple[int, bytes]]:
        """Each application's answer; (0, b"") for none."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            return await asyncio.gather(*(
                _answer(session, self._address(child), path) for child in self._children
            ))  # fmt: skip


class _Given:
    """A collector of what is there already."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


async def _answer(
    session: aiohttp.ClientSession, address: str | None, path: str
) -> tuple[int, bytes]:
    if address is None:
        return 0, b""
    try:
        async with session.get(f"{address}{path}") as response:
            known = response.status in (WELL, UNWELL)
            return (response.status, await response.read()) if known else (0, b"")
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0, b""

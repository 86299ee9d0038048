"""What an API process is asked and answers: how many at once, how often, how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import Scope

from ledger.api.problems import Problem

ALWAYS = frozenset({"/live", "/ready", "/metrics"})
"""Paths that are answered however many requests there are."""
STREAMS = frozenset({"/v1/live"})
"""Paths whose answers have no end: they are limited by themselves (`ledger/api/live/places.py`)."""
UNROUTED = "none"
"""As a metric's route: no path of the API."""
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Traffic:
    """Counts requests; refuses those past `most` at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open = 0
        self._running: set[asyncio.Timeout] = set()
        self._ends_at: float | None = None
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "faust_ledger_api_requests", "Requests answered.", ("route", "method", "status"),
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "faust_ledger_api_request_seconds", "From a request's headers to its answer's end.",
            ("route",), registry=self.registry, buckets=BUCKETS,
        )  # fmt: skip
        gauge = Gauge(
            "faust_ledger_api_requests_in_flight", "Requests that are being answered.",
            registry=self.registry,
        )  # fmt: skip
        gauge.set_function(lambda: self.open)
        build = Gauge("faust_ledger_build_info", "1.", ("version",), registry=self.registry)
        build.labels(version("faust-ledger")).set(1)
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def refuses(self, path: str) -> Problem | None:
        """The answer to a request that cannot be taken now."""
        if self.open < self.most or path in ALWAYS or path in STREAMS:
            return None
        return Problem(
            "OVERLOADED", f"{self.open} requests are being answered, and no more are taken.",
            retry_after=1,
        )  # fmt: skip

    def stop(self, seconds: float) -> None:
        """The process stops: nothing is answered for longer than `seconds` from now."""
        self._ends_at = asyncio.get_running_loop().time() + seconds
        for each in self._running:
            each.reschedule(self._ends_at)

    @asynccontextmanager
    async def until_stopped(self) -> AsyncIterator[None]:
        """For `async with` around an answer. Raises Problem where the process stops meanwhile."""
        limit = asyncio.timeout_at(self._ends_at)
        try:
            async with limit:
                self._running.add(limit)
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise Problem(
                "STOPPING",
                "This API process stops, and had no answer yet. Send the same again: another "
                "process answers, or this one once it is back. A write counts once, by its id.",
                retry_after=1,
            ) from error
        finally:
            self._running.discard(limit)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request; status 0 for one whose client went away before its answer."""
        route = getattr(scope.get("route"), "path_format", UNROUTED)
        key = (route, scope["method"], status)
        found = self._known.get(key)
        if found is None:
            # A method is any text that the parser takes; of routes there are few.
            method = scope["method"] if route != UNROUTED else "any"
            found = (self._requests.labels(route, method, status), self._seconds.labels(route))
            if route != UNROUTED:
                self._known[key] = found
        found[0].inc()
        found[1].observe(seconds)

    def metrics(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self.registry)

"""Whether an API process answers as it should, and why not."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

FIGURES = {
    "behind_seconds": "faust_ledger_api_view_behind_seconds",
    "behind_records": "faust_ledger_api_view_behind_records",
}
"""Metrics of a part's details."""
Problem = Callable[[], str | None]
"""Why a part does not work now, as a sentence; None if it does."""


class Readiness:
    """The parts of an API process, by name; `/ready` is 200 while none has a problem.

    `details` adds figures by part, such as how far behind the view is.
    """

    def __init__(
        self,
        name: str,
        parts: Mapping[str, Problem],
        details: Mapping[str, Callable[[], Mapping[str, Any]]] | None = None,
    ) -> None:
        self._name, self._parts, self._details = name, parts, details or {}
        self.stopping = False

    def report(self) -> dict[str, Any]:
        """{"api", "ready", "why", "parts": {name: {"ready", "why", ...}}}."""
        found = {
            name: {"ready": why is None, "why": why, **self._detail(name)}
            for name, problem in self._parts.items()
            for why in (problem(),)
        }
        why = [f"{name}: {each['why']}" for name, each in found.items() if not each["ready"]]
        if self.stopping:
            why.append("it is stopping")
        return {"api": self._name, "ready": not why, "why": why, "parts": found}

    def collect(self) -> Iterator[Metric]:
        """The same for Prometheus, which asks a registry that has this object for it."""
        report = self.report()
        ready = GaugeMetricFamily(
            "faust_ledger_api_ready", "1 while the process answers as it should.",
            value=float(report["ready"]),
        )  # fmt: skip
        parts = GaugeMetricFamily(
            "faust_ledger_api_part_ready", "1 while the part has no problem.", labels=["part"]
        )
        for name, part in report["parts"].items():
            parts.add_metric([name], float(part["ready"]))
            for figure, metric in FIGURES.items():
                if part.get(figure) is not None:
                    yield GaugeMetricFamily(metric, "As in /ready.", value=float(part[figure]))
        yield from (ready, parts)

    def _detail(self, name: str) -> Mapping[str, Any]:
        detail = self._details.get(name)
        return detail() if detail else {}

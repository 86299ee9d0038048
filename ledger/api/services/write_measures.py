"""What writes wait for, for `/metrics`."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from ledger.api.flow.flow import Flow
from ledger.api.services.publishing import Publishing


def measure_writes(registry: CollectorRegistry, flow: Flow, publishing: Publishing) -> None:
    """Add gauges of what is pending now to the API process's metrics."""

    def gauge(name: str, what: str, value: Callable[[], float]) -> None:
        Gauge(name, what, registry=registry).set_function(value)

    gauge(
        "faust_ledger_api_writes_pending",
        "Transactions that Kafka has not acknowledged.",
        lambda: publishing.pending,
    )
    gauge(
        "faust_ledger_api_writes_pending_bytes",
        "Their bytes; past 32 MiB writes are answered 429.",
        lambda: publishing.pending_bytes,
    )
    gauge(
        "faust_ledger_api_writes_waiting",
        "Writes that wait to be decided, posted or reconciled.",
        lambda: flow.waiting,
    )

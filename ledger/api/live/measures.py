"""What live updates count, for `/metrics`."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class Measures:
    """Metrics in `registry`, the API process's."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self.connections = Gauge(
            "faust_ledger_api_live_connections", "Live connections, by kind.", ("kind",),
            registry=registry,
        )  # fmt: skip
        self.changes = Counter(
            "faust_ledger_api_live_changes_total", "Changed balances, while anybody is connected.",
            registry=registry,
        )  # fmt: skip
        self.frames = Counter(
            "faust_ledger_api_live_frames_total",
            "Frames sent to live connections.",
            registry=registry,
        )
        self.snapshots = Counter(
            "faust_ledger_api_live_snapshots_total", "Snapshots sent, by why.", ("reason",),
            registry=registry,
        )  # fmt: skip
        self.ended = Counter(
            "faust_ledger_api_live_ended_total", "Live connections that were ended here, by code.",
            ("code",), registry=registry,
        )  # fmt: skip
        self.redis = Gauge(
            "faust_ledger_api_live_redis_connected",
            "1 while the shared Redis is used, 0 while this process uses its own view alone.",
            registry=registry,
        )

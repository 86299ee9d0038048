"""Opens live updates as the settings want them: with a shared Redis, or without one."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from ledger.api.live.live import Live
from ledger.api.live.measures import Measures
from ledger.api.live.places import Places
from ledger.api.live.shared import SharedSource
from ledger.api.live.source import Source
from ledger.api.signing import Signer
from ledger.settings import Settings


@dataclass(frozen=True)
class LiveParts:
    """Live updates, the places for their connections, and the Redis that they share."""

    live: Live
    places: Places
    shared: SharedSource | None

    def report(self) -> Mapping[str, Any]:
        """For `/ready`; without Redis everything works, from the view alone."""
        shared = {} if self.shared is None else self.shared.report()
        return {"connections": self.live.connections, **shared}

    def problem(self) -> str | None:
        """None: what could stop live updates is the view's problem."""
        return None


@asynccontextmanager
async def open_live(
    settings: Settings, view: Source, signer: Signer, registry: CollectorRegistry
) -> AsyncIterator[LiveParts]:
    """Live updates of this view; entering waits for nothing."""
    measures = Measures(registry)
    async with AsyncExitStack() as stack:
        shared = None
        if settings.redis_url:
            shared = SharedSource(view, settings.redis_url, settings.prefix, measures)
            await stack.enter_async_context(shared)
        live = await stack.enter_async_context(Live(shared or view, signer, measures))
        places = Places(settings.live_connections, settings.live_connections_of_token)
        yield LiveParts(live, places, shared)

"""The API's live routes over balances in memory, on a real server in the test's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn
from fastapi import FastAPI

from ledger.api.access.access import Access
from ledger.api.app import _problem
from ledger.api.edge import Edge
from ledger.api.live.live import Live
from ledger.api.live.opening import LiveParts
from ledger.api.live.places import Places
from ledger.api.live.websocket import LiveSockets
from ledger.api.problems import Problem
from ledger.api.routes import live as routes
from ledger.api.server import config_of
from ledger.api.traffic import Traffic
from ledger.settings import Settings
from tests.live_client import SIGNER
from tests.live_source import MemorySource
from tests.unit.test_api_access import Kept


class LiveApi:
    """`source` is what a test changes; `tokens` makes bearer tokens."""

    def __init__(self, source: MemorySource, live: Live, tokens: Kept, port: int) -> None:
        self.source, self.live, self.tokens, self.port = source, live, tokens, port
        self.url, self.ws = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}/v1/live"

    def bearer(self, *scopes: str, accounts: tuple[str, ...] = ()) -> dict[str, str]:
        token, _ = self.tokens.make(*(scopes or ("read",)), accounts=accounts)
        return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def live_api(
    folder: Path, *, of_token: int = 2_000, unknown: int = 500, **given: Any
) -> AsyncIterator[LiveApi]:
    source, tokens = MemorySource(), Kept()
    access = Access(tokens, per_second=100_000)
    app = FastAPI(exception_handlers={Problem: _problem})
    app.state.services = SimpleNamespace(access=access)
    async with Live(source, SIGNER) as live:
        parts = LiveParts(live, Places(5_000, of_token), None)
        app.include_router(routes.router(parts, access, SIGNER))
        listening = socket.create_server(("127.0.0.1", 0), backlog=4_096)
        settings = Settings(data_dir=folder, **given)
        sockets = {"/v1/live": LiveSockets(parts, access, unknown=unknown)}
        edge = Edge(app, Traffic(1_000), sockets=sockets)
        server = uvicorn.Server(config_of(settings, edge, None))
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield LiveApi(source, live, tokens, listening.getsockname()[1])
        finally:
            live.stop()
            server.should_exit = True
            await serving

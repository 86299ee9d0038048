"""Serves the API: uvicorn with uvloop and httptools, TLS where set, and an orderly end."""

import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
import uvloop
from starlette.types import ASGIApp

from ledger.api.app import build_app
from ledger.api.certificates import Certificate
from ledger.api.connections import BoundedProtocol, Limits
from ledger.api.handshakes import HANDSHAKES, TlsServer
from ledger.api.listening import BACKLOG, allow_connections
from ledger.api.live.socket import Socket
from ledger.api.wiring import Services, wired
from ledger.client.resource import cancel
from ledger.health.exits import Exit
from ledger.settings import Settings

COLLECTED_EACH = 50_000
"""New objects after which the collector looks for cycles among them, some 10 MB. Measured under
writes: Python's own 700 take an eighth of the process's time."""
KEEP_ALIVE_SECONDS = 75
"""Longer than the usual proxy's, so that it is the proxy that closes an idle connection."""
GRACE_SECONDS = 3
"""What runs may take so long to end; then it is answered that the process stops."""
STOP_SECONDS = 4
"""What has not ended by then is cut off."""
END_SECONDS = 7
"""The process ends by then, whatever holds it: before its supervisor kills it, or has ended."""
MAX_MESSAGE = 65_536
"""Bytes of a WebSocket message from a client."""


def serve(settings: Settings, name: str, listening: socket.socket, parent: int) -> None:
    """Answer as the API process `name` until SIGTERM, SIGINT or the end of the pipe `parent`.

    Raises SettingsError for settings with which it cannot run.
    """
    allow_connections(settings.api_connections)
    uvloop.run(_serve(settings, name, listening, parent))


async def _serve(settings: Settings, name: str, listening: socket.socket, parent: int) -> None:
    async with wired(settings, name) as services:
        server = Server(settings, build_app(services), services)
        # What is there from the start stays: looking through it for cycles would take 50 ms.
        gc.set_threshold(COLLECTED_EACH, 10, 100)
        gc.freeze()
        loop = asyncio.get_running_loop()

        def parent_ended() -> None:
            # The end of a pipe can be read for ever.
            loop.remove_reader(parent)
            server.stop()

        loop.add_reader(parent, parent_ended)
        await server.serve([listening])


def config_of(settings: Settings, app: ASGIApp, certificate: Certificate | None) -> uvicorn.Config:
    """How uvicorn runs `app`; with TLS if there is a certificate."""
    limits = Limits(settings.api_connections, settings.api_request_seconds)
    unread = {"unread_seconds": settings.api_request_seconds}
    protocol = type("Protocol", (BoundedProtocol,), {"limits": limits, **unread})
    live = type("LiveSocket", (Socket,), unread)
    config = uvicorn.Config(
        app,
        http=protocol,
        ws=live,
        ws_max_size=MAX_MESSAGE,
        # A compressor for each of many connections takes more than what it saves.
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    config.load()
    config.ssl = certificate.context if certificate else None
    return config


class Server(uvicorn.Server):
    """Ends on a signal, with what runs finished, and leaves the process's status alone.

    Raises SettingsError for a certificate that cannot be read.
    """

    def __init__(self, settings: Settings, app: ASGIApp, services: Services) -> None:
        self._certificate = Certificate.of(settings)
        super().__init__(config_of(settings, app, self._certificate))
        self._services, self._most = services, settings.api_connections

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal, and renew the certificate meanwhile."""
        if self._certificate is None:
            await super().serve(sockets)
            return
        renewing = asyncio.create_task(self._certificate.follow(), name="renew the certificate")
        try:
            await super().serve(sockets)
        finally:
            await cancel(renewing)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; uvicorn's own way bounds no TLS handshakes, and leaves each a minute."""
        await self.lifespan.startup()
        self.servers = [await self._listening(each) for each in sockets or ()]
        self.started = True

    async def _listening(self, at: socket.socket) -> Any:
        if (tls := self._certificate) is not None:
            most = min(HANDSHAKES, self._most)
            return TlsServer(at, tls.context, self._connected, most=most)
        loop = asyncio.get_running_loop()
        return await loop.create_server(self._connected, sock=at, backlog=BACKLOG)

    def _connected(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop at a signal; uvicorn would raise it again once it has stopped."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in numbers:
                with suppress(ValueError):
                    loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Take no new connections, end those that are idle, finish what runs."""
        services = self._services
        services.readiness.stopping = True
        services.live.live.stop()
        services.flow.release()
        services.traffic.stop(GRACE_SECONDS)
        if self.started:
            self._turn_away()
        if not self.should_exit:
            end = threading.Timer(END_SECONDS, os._exit, (Exit.FAULT,))
            end.daemon = True
            end.start()
        self.should_exit = True

    def _turn_away(self) -> None:
        """Listen no more, close idle connections, and have the others closed after their answers.

        At once, not at uvicorn's next tick: a client would ask for the next stream before that.
        """
        for server in self.servers:
            server.close()
        # uvicorn would wait for handshakes, in which nothing is asked.
        self.servers = []
        for connection in list(self.server_state.connections):
            if isinstance(connection, BoundedProtocol):
                connection.shutdown()

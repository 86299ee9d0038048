"""WebSocket connections with limits: uvicorn's protocol, which waits for ever for a dead client."""

import socket
from asyncio import AbstractEventLoop, TimerHandle
from asyncio.transports import BaseTransport
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.http11 import Request

HELD_BYTES = 16_384
"""Sent, and not taken by the system: above that nothing more is written until it is less."""
UNSENT_BYTES = 32_768
"""That the system takes ahead of the client: what waits there is old when it arrives."""
ABORT = "faust_ledger.abort"
"""In a WebSocket's scope: drops the connection, with what it has not read."""


class Socket(WebSocketsSansIOProtocol):
    """One connection. `seconds`: for which its client may leave unread what waits for it."""

    seconds = 30.0

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._unread: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=HELD_BYTES)
        raw = transport.get_extra_info("socket")
        if raw is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            self.scope["extensions"][ABORT] = self.transport.abort  # type: ignore[assignment]

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.handshake_complete and hasattr(self, "request"):
            # Some kilobytes that nobody reads again.
            del self.request, self.response

    def connection_lost(self, exc: Exception | None) -> None:
        self._read_on()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read_on()

    def _read_on(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def keepalive_timeout(self) -> None:
        # It closes in good order, and so would wait for what the client does not read.
        super().keepalive_timeout()
        self.transport.abort()

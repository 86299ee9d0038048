"""WebSocket connections with limits: uvicorn's protocol, which waits for ever for a dead client."""

import socket
from asyncio.transports import BaseTransport

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from ledger.api.unread import DropsUnread

HELD_BYTES = 16_384
"""Sent, and not taken by the system: above that nothing more is written until it is less."""
UNSENT_BYTES = 32_768
"""That the system takes ahead of the client: what waits there is old when it arrives."""
ABORT = "faust_ledger.abort"
"""In a WebSocket's scope: drops the connection, with what it has not read."""


class Socket(DropsUnread, WebSocketsSansIOProtocol):
    """One connection."""

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

    def keepalive_timeout(self) -> None:
        # It closes in good order, and so would wait for what the client does not read.
        super().keepalive_timeout()
        self.transport.abort()

"""TLS handshakes of an API process: a bounded number at once.

A connection counts as one, and has its limits, once its handshake is done. Until then it takes
50 KB, and whoever opens many and sends nothing would have all that there is. For a new one the
oldest is dropped: a client that goes on needs milliseconds.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

HANDSHAKES = 2_000
HANDSHAKE_SECONDS = 10
GOODBYE_SECONDS = 2
"""For which a connection that is closed waits for its client to close it too."""
ACCEPTED_AT_ONCE = 64
"""Connections that are accepted before other work has its turn."""
PAUSE_SECONDS = 1.0
"""Where the system has no room for another connection."""

log = logging.getLogger(__name__)


class TlsServer:
    """Accepts at a socket; `made` is the protocol of a connection. Closed as asyncio's servers."""

    def __init__(
        self,
        listening: socket.socket,
        context: ssl.SSLContext,
        made: Callable[[], asyncio.Protocol],
        *,
        most: int = HANDSHAKES,
    ) -> None:
        self._listening, self._context, self._made, self._most = listening, context, made, most
        self._loop = asyncio.get_running_loop()
        self._shaking: dict[asyncio.Task[None], None] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._listen()

    def close(self) -> None:
        """Accept no more, and drop those that have not finished their handshake."""
        self._rest()
        if self._pause is not None:
            self._pause.cancel()
        for task in self._shaking:
            task.cancel()

    async def wait_closed(self) -> None:
        """Return once no handshake goes on."""
        if self._shaking:
            await asyncio.wait(self._shaking)

    def _listen(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _rest(self) -> None:
        self._loop.remove_reader(self._listening)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("No connection can be accepted: %s. Trying again in a second.", error)
                self._rest()
                self._pause = self._loop.call_later(PAUSE_SECONDS, self._listen)
                return
            self._begin(accepted)

    def _begin(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._shake(accepted), name="TLS handshake")
        self._shaking[task] = None
        task.add_done_callback(self._ended)
        if len(self._shaking) > self._most:
            oldest = next(iter(self._shaking))
            del self._shaking[oldest]
            oldest.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._shaking.pop(task, None)

    async def _shake(self, accepted: socket.socket) -> None:
        # What is wrong with it is its client's own, and closes it.
        with suppress(OSError, TimeoutError):
            await self._loop.connect_accepted_socket(
                self._made, accepted, ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS, ssl_shutdown_timeout=GOODBYE_SECONDS,
            )  # fmt: skip

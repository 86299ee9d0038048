"""HTTP connections with limits: uvicorn's protocol, which has none for slow and idle clients.

A connection is closed when its headers or its body take too long, when its client does not read
what it asked for, and, where there are too many, when it is the one that has been idle longest.
"""

from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from ledger.api.problems import MEDIA_TYPE, Problem
from ledger.api.repeated import combine
from ledger.api.unread import DropsUnread

MAX_HEADERS = 65_536
"""Bytes of a request's line and headers."""


class Limits:
    """The limits of a process's connections, and which of them are idle, the longest first.

    `seconds`: from a connection's start, or a next request's first byte, to the end of its headers;
    and from there to the end of its body.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self.connections = 0
        self._idle: dict[BoundedProtocol, None] = {}

    def opened(self, one: "BoundedProtocol") -> bool:
        """Count a new connection; False where there are too many and none is idle."""
        self.connections += 1
        self._idle[one] = None
        if self.connections <= self.most:
            return True
        oldest = next(iter(self._idle))
        if oldest is one:
            return False
        oldest.drop()
        return True

    def closed(self, one: "BoundedProtocol") -> None:
        """It is closed, or no HTTP connection any more."""
        self.connections -= 1
        self._idle.pop(one, None)

    def busy(self, one: "BoundedProtocol") -> None:
        """It has a request."""
        self._idle.pop(one, None)

    def idle(self, one: "BoundedProtocol") -> None:
        """It has none."""
        self._idle[one] = None


class BoundedProtocol(DropsUnread, HttpToolsProtocol):
    """One connection; `limits` are of the whole process."""

    limits: Limits

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: TimerHandle | None = None
        self._header_bytes = 0
        self._in_headers = True
        self._counted = False
        self._problem: Problem | None = None
        self._ends = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._counted = True
        self._arm()
        if not self.limits.opened(self):
            self._refuse(Problem("OVERLOADED", "There are too many connections."))

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._uncount()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self) -> None:
        self._disarm()
        self.forget_unread()
        self._uncount()
        super().handle_websocket_upgrade()

    def _uncount(self) -> None:
        if self._counted:
            self._counted = False
            self.limits.closed(self)

    def drop(self) -> None:
        """Close it at once."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._in_headers:
            if self._deadline is None:
                self._arm()
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > MAX_HEADERS:
            self._refuse(_too_many())

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers, which come after a chunked body, are none of the request's headers (RFC 9110,
        # 6.5.1), and may have no end.
        if self._in_headers:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._header_bytes > MAX_HEADERS and self._size_of_headers() > MAX_HEADERS:
            # They came at once, with their end.
            self._stop_parsing(_too_many())
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            self._stop_parsing(Problem("MALFORMED_REQUEST", "It is not HTTP/1.1, nor 1.0."))
        if (twice := combine(self.headers)) is not None:
            self._stop_parsing(Problem("MALFORMED_REQUEST", f"It has the header {twice} twice."))
        self._in_headers, self._header_bytes = False, 0
        self._arm()
        self.limits.busy(self)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_headers = True
        self._disarm()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        was_last = not self.pipeline
        super().on_response_complete()
        if self._ends and was_last:
            self.transport.close()
        if not self.pipeline and self._counted:
            self.limits.idle(self)

    def _arm(self) -> None:
        self._disarm()
        self._deadline = self.loop.call_later(self.limits.seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self._in_headers and not self._header_bytes:
            # It has asked for nothing.
            self.transport.close()
            return
        what = "headers" if self._in_headers else "body"
        late = f"The {what} did not arrive in {self.limits.seconds:.0f} s."
        self._refuse(Problem("REQUEST_TIMEOUT", late))

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._problem or Problem("MALFORMED_REQUEST", msg))

    def _stop_parsing(self, problem: Problem) -> None:
        """Within the parser: what it has read is refused as `problem`, and no more is read."""
        self._problem = problem
        raise ValueError(problem.detail)

    def _size_of_headers(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _is_answering(self) -> bool:
        """Whether a request before the present one is still to be answered."""
        if self.pipeline:
            if self.pipeline[0][0].more_body:
                # The newest, of which not all is there.
                self.pipeline.popleft()
            return True
        cycle = self.cycle
        return cycle is not None and not (cycle.response_complete or cycle.more_body)

    def _refuse(self, problem: Problem) -> None:
        """Answer outside of the application, unless it has begun to, and close.

        What came before has its own answer first: it may have changed something. Then this one is
        closed without.
        """
        if self._is_answering():
            self._ends = True
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = problem.body("")
            headers = {
                "content-type": MEDIA_TYPE, "content-length": str(len(body)),
                "connection": "close", **problem.headers,
            }  # fmt: skip
            head = f"HTTP/1.1 {problem.status} {problem.kind.title}\r\n" + "".join(
                f"{name}: {value}\r\n" for name, value in headers.items()
            )
            self.transport.write(head.encode() + b"\r\n" + body)
        self.transport.close()


def _too_many() -> Problem:
    return Problem("HEADERS_TOO_LARGE", f"They have more than {MAX_HEADERS} bytes.")

"""`WS /v1/live`: a client's messages in, frames out, as a plain ASGI application."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from typing import Any

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.protocols.utils import ClientDisconnected

from ledger.api.access.access import Access
from ledger.api.access.caller import Caller
from ledger.api.access.rates import Rate
from ledger.api.live.messages import Authenticate, Message, Unfit, read_message
from ledger.api.live.opening import LiveParts
from ledger.api.live.session import TOO_MANY, UNAUTHENTICATED, Session
from ledger.api.live.socket import ABORT
from ledger.api.live.subscribing import Subscribing
from ledger.api.problems import MEDIA_TYPE, Problem

BAD_MESSAGE, FORBIDDEN, FAULT = 4400, 4403, 1011
AUTHENTICATE_SECONDS = 10.0
"""For which a client without a header may take to send its bearer token."""
UNKNOWN = 500
"""Connections whose client has not sent its token yet; for one more the oldest is dropped.

Otherwise whoever has no token at all could take all places. A client that goes on needs
milliseconds.
"""
MESSAGES_A_SECOND, MESSAGES_AT_ONCE = 20, 200
"""Messages that a client may send."""
_RATE = Rate(MESSAGES_A_SECOND, MESSAGES_AT_ONCE)
"""By connection; one of them for all takes less than one for each."""
_NUMBERS = count()
LONGEST_REASON = 120
"""Bytes; a close frame has room for 123."""
NORMAL = 1000
TRY_LATER = 1013
CLOSED_FOR = {401: UNAUTHENTICATED, 403: FORBIDDEN, 429: TOO_MANY}
"""By the status of a problem; another, such as 503, may be gone when the client comes again."""

log = logging.getLogger(__name__)


class Closing(Exception):
    """The connection ends with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class LiveSockets:
    """Answers every live WebSocket of a process."""

    def __init__(self, parts: LiveParts, access: Access, *, unknown: int = UNKNOWN) -> None:
        self._parts, self._access = parts, access
        self._unknown, self._most_unknown = dict[_Socket, None](), unknown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with ExitStack() as places:
            try:
                places.enter_context(self._parts.places.process())
                known = HTTPConnection(scope).headers.get("authorization")
                caller = await self._caller(known, scope, places) if known else None
                _require_no_parameters(scope)
            except Problem as problem:
                await _deny(problem, WebSocket(scope, receive, send))
                return
            await receive()
            await send({"type": "websocket.accept"})
            scope["headers"] = []
            with suppress(ClientDisconnected):
                await self._converse(_Socket(scope, receive, send), known, caller, places)

    async def _caller(self, authorization: str, scope: Scope, places: ExitStack) -> Caller:
        client = scope.get("client")
        found = await self._access.who(authorization, client[0] if client else "")
        found.require("read")
        places.enter_context(self._parts.places.of(found.id))
        return found

    async def _converse(
        self, socket: "_Socket", authorization: str | None, caller: Caller | None, places: ExitStack
    ) -> None:
        try:
            if caller is None or authorization is None:
                with self._asking(socket):
                    authorization = await _asked_for_token(socket)
                caller = await self._caller(authorization, socket.scope, places)
        except Closing as closing:
            await socket.close(closing.code, str(closing))
            return
        except Problem as problem:
            code = CLOSED_FOR.get(problem.status, TRY_LATER)
            await socket.close(code, problem.detail)
            return
        known, came_in = authorization, caller
        await self._serve(socket, caller, lambda: self._access.require_still(came_in, known))

    @contextmanager
    def _asking(self, socket: "_Socket") -> Iterator[None]:
        """Who its client is, is not known."""
        self._unknown[socket] = None
        if len(self._unknown) > self._most_unknown:
            oldest = next(iter(self._unknown))
            del self._unknown[oldest]
            oldest.abort()
        try:
            yield
        finally:
            self._unknown.pop(socket, None)

    async def _serve(
        self, socket: "_Socket", caller: Caller, check: Callable[[], Awaitable[object]]
    ) -> None:
        session = Session(self._parts.live, socket, check)
        subscribing = Subscribing(self._parts.live, session, caller)
        with self._parts.live.entered(session, "websocket"):
            sending = asyncio.create_task(_send(session, socket), name="live frames")
            try:
                await _take_all(socket, session, subscribing)
            finally:
                session.end(NORMAL, "")
                if not socket.is_open:
                    sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)


async def _asked_for_token(socket: "_Socket") -> str:
    """The header that the client's first message stands for. Raises Closing."""
    try:
        async with asyncio.timeout(AUTHENTICATE_SECONDS):
            message = await socket.message()
    except TimeoutError:
        raise Closing(UNAUTHENTICATED, "no bearer token was sent") from None
    if message is None:
        raise Closing(NORMAL, "")
    if not isinstance(message, Authenticate):
        raise Closing(UNAUTHENTICATED, "the first message has to be authenticate")
    return f"Bearer {message.token}"


async def _take_all(socket: "_Socket", session: Session, subscribing: Subscribing) -> None:
    """Take the client's messages until it goes, or breaks the protocol."""
    try:
        while (message := await socket.message()) is not None:
            if _RATE.take(socket.number):
                session.end(TOO_MANY, "too many messages")
                return
            subscribing.take(message)
            # A thousand accounts would be kept here until the next one comes.
            del message
    except Closing as closing:
        session.end(closing.code, str(closing))
    except Problem as problem:
        session.end(BAD_MESSAGE, problem.detail)


async def _send(session: Session, socket: "_Socket") -> None:
    try:
        await session.run()
    except ClientDisconnected:
        return
    except Exception:
        log.exception("A live connection ends by a fault")
        session.end(FAULT, "a fault of the ledger")
    assert session.ending is not None
    await socket.close(*session.ending)


def _require_no_parameters(scope: Scope) -> None:
    if scope["query_string"]:
        raise Problem("UNKNOWN_PARAMETER", "A WebSocket has no parameters.")


async def _deny(problem: Problem, socket: WebSocket) -> None:
    path = (socket.scope.get("raw_path") or b"").decode("ascii", "replace")
    await socket.receive()
    await socket.send_denial_response(
        Response(problem.body(path), problem.status, problem.headers, MEDIA_TYPE)
    )


class _Socket:
    """A WebSocket of ASGI: the client's end of a session."""

    __slots__ = ("_abort", "_receive", "_send", "is_open", "number", "scope")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        # No other has had it: an object's id is soon that of another connection.
        self.number = str(next(_NUMBERS))
        self._abort = scope.get("extensions", {}).get(ABORT)
        self.is_open = True

    async def message(self) -> Message | Unfit | None:
        """The client's next message; None once it is gone. Raises Closing and Problem."""
        received: Any = await self._receive()
        if received["type"] == "websocket.disconnect":
            self.is_open = False
            return None
        text = received.get("text")
        if text is None:
            raise Closing(BAD_MESSAGE, "messages are texts, and this one was binary")
        return read_message(text)

    async def send(self, kind: str, text: str, token: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    def abort(self) -> None:
        self.is_open = False
        if self._abort is not None:
            self._abort()

    async def close(self, code: int, reason: str) -> None:
        """Close it, unless it is closed."""
        if self.is_open:
            self.is_open = False
            short = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
            await self._send({"type": "websocket.close", "code": code, "reason": short})

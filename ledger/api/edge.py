"""The API's edge: what every request passes first, as a plain ASGI application.

It decodes the path, bounds how many requests are answered at once, and counts what is answered.
"""

import logging
import time
from collections.abc import Mapping
from uuid import uuid4

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ledger.api.live.events import STREAM
from ledger.api.parameters import decoded_path
from ledger.api.problems import MEDIA_TYPE, Problem
from ledger.api.quick import Quick
from ledger.api.traffic import STREAMS, Traffic

log = logging.getLogger(__name__)

FAULT = "faust_ledger.fault"
"""In the scope of a request: the id of the fault that it was answered with."""


class Edge:
    """Wraps the application; `traffic` counts, and `quick` answers what is asked most often.

    `sockets`: by path what answers WebSockets. There may be thousands, and the application around
    each would take some kilobytes.
    """

    def __init__(
        self,
        app: ASGIApp,
        traffic: Traffic,
        quick: Quick | None = None,
        sockets: Mapping[str, ASGIApp] | None = None,
    ) -> None:
        self.app, self._traffic, self._quick = app, traffic, quick
        self._sockets = sockets or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            raw: bytes = scope.get("raw_path") or b""
            if b"%" in raw:
                scope["path"] = decoded_path(raw)
        except Problem as problem:
            await response_of(problem, scope)(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._sockets.get(scope["path"], self.app)(scope, receive, send)
        else:
            await self._request(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        traffic, status, started = self._traffic, 0, time.perf_counter()

        async def counting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        if (refused := traffic.refuses(scope["path"])) is not None:
            await response_of(refused, scope)(scope, receive, counting)
            traffic.answered(scope, status, time.perf_counter() - started)
            return
        counted = scope["path"] not in STREAMS
        traffic.open += counted
        try:
            await self._answer(scope, receive, counting)
        except Problem as problem:
            if status:
                # A stream that had begun: this is its end.
                await counting({"type": "http.response.body", "body": b""})
            else:
                await response_of(problem, scope)(scope, receive, counting)
        except Exception as error:
            if FAULT in scope:
                # It came before the answer began, and was answered with its id.
                pass
            elif status:
                # Nothing can be answered any more: the server logs it, and cuts the connection.
                raise
            else:
                await response_of(fault_of(error, scope), scope)(scope, receive, counting)
        finally:
            traffic.open -= counted
            traffic.answered(scope, status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        left: Receive | None = receive
        if self._quick is not None:
            left = await self._quick.answer(scope, receive, send)
        if left is not None:
            async with self._traffic.until_stopped():
                await self.app(scope, left, send)
                if (events := scope.pop(STREAM, None)) is not None:
                    await events.stream(scope, left, send)


def response_of(problem: Problem, scope: Scope) -> Response:
    """The answer to a request that is this problem."""
    path = (scope.get("raw_path") or b"").decode("ascii", "replace")
    return Response(problem.body(path), problem.status, problem.headers, MEDIA_TYPE)


def fault_of(error: Exception, scope: Scope) -> Problem:
    """The answer to what should not happen; the log has its id with the trace."""
    number = scope[FAULT] = str(uuid4())
    log.error("Fault %s at %s %s", number, scope["method"], scope["path"], exc_info=error)
    detail = f"This was not foreseen. The log of the API process has it as fault {number}."
    return Problem("FAULT", detail, fault=number)

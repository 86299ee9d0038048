"""`GET /v1/live`: server-sent events, each with the token that a client resumes from.

What clients do with them is in https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ledger.api.access.caller import Caller
from ledger.api.live.messages import Subscribe
from ledger.api.live.opening import LiveParts
from ledger.api.live.session import Session
from ledger.api.live.subscribing import Subscribing

RETRY_MS = 1_000
"""After which a browser connects again."""
MEDIA_TYPE = "text/event-stream"
HEADERS = [
    (b"content-type", f"{MEDIA_TYPE}; charset=utf-8".encode()),
    (b"cache-control", b"no-store"),
    # Proxies of the nginx kind pass on what there is.
    (b"x-accel-buffering", b"no"),
]
NO_PLACE = "none"
"""The id of what no client can resume from: whoever has got that begins with a snapshot."""
STREAM = "faust_ledger.stream"
"""In the scope of a request: what answers it, once the frameworks are through with it."""
KEPT = ("type", "http_version", "method", "path", "route")
"""Of the scope, as long as the stream is open."""

log = logging.getLogger(__name__)


class Events(Response):
    """A response without end: the events of one subscription.

    `check` raises Problem once the client's bearer token is not good any more. What FastAPI and
    Starlette keep of a request would be there for as long, so the answer is given after they are
    through with it: they are handed nothing but `self` in the scope, and `Edge` calls `stream`.
    """

    def __init__(
        self,
        parts: LiveParts,
        caller: Caller,
        wanted: Subscribe,
        check: Callable[[], Awaitable[object]],
    ) -> None:
        super().__init__()
        self._parts, self._caller = parts, caller
        self._wanted: Subscribe | None = wanted
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[STREAM] = self

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request. Raises Problem where it is refused."""
        _shrink(scope)
        parts, out = self._parts, _Stream(send)
        session = Session(parts.live, out, self._check)
        with (
            parts.places.process(),
            parts.places.of(self._caller.id),
            parts.live.entered(session, "events"),
        ):
            # Before the answer begins, so that a refusal has its status.
            if self._wanted is not None:
                Subscribing(parts.live, session, self._caller).subscribe(self._wanted)
                self._wanted = None
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await out.write(f"retry: {RETRY_MS}\n\n")
            await _until_one_ends(session.run(), _left(receive), out)
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _shrink(scope: Scope) -> None:
    """Leave out what nobody reads again, some kilobytes; uvicorn has the same list of headers."""
    scope["headers"].clear()
    kept = {name: scope[name] for name in KEPT if name in scope}
    scope.clear()
    scope.update(kept)


async def _until_one_ends(
    sending: Coroutine[Any, Any, None], leaving: Coroutine[Any, Any, None], stream: "_Stream"
) -> None:
    tasks = [asyncio.create_task(sending, name="live events"), asyncio.create_task(leaving)]
    stream.dropped = tasks[0].cancel
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for found in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(found, Exception):
                log.error("A stream of events ends by a fault", exc_info=found)


async def _left(receive: Receive) -> None:
    """Return once the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Stream:
    """The client's end of a session, as a stream of events."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.dropped: Callable[[], object] | None = None

    async def send(self, kind: str, text: str, token: str) -> None:
        # A browser keeps the last id until another one comes, and sends it when it connects again.
        # It is of what the client had before a snapshot, of which a part alone may have come.
        id_ = NO_PLACE if kind == "snapshot" else token
        line = f"id: {id_}\n" if id_ else ""
        await self.write(f"event: {kind}\n{line}data: {text}\n\n")

    async def write(self, text: str) -> None:
        """Send a text as it is."""
        await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})

    def abort(self) -> None:
        """End it; what it has not read goes with the connection."""
        if self.dropped is not None:
            self.dropped()

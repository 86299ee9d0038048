"""`GET /v1/live`: server-sent events, each with the token that a client resumes from."""

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
HEADERS = {
    "cache-control": "no-store",
    # Proxies of the nginx kind pass on what there is.
    "x-accel-buffering": "no",
}

log = logging.getLogger(__name__)


class Events(Response):
    """A response without end: the events of one subscription.

    `check` raises Problem once the client's bearer token is not good any more.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        parts: LiveParts,
        caller: Caller,
        wanted: Subscribe,
        check: Callable[[], Awaitable[object]],
    ) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._parts, self._caller = parts, caller
        self._wanted, self._check = wanted, check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = _Stream(send)
        session = Session(self._parts.live, stream, self._check)
        with (
            self._parts.places.process(),
            self._parts.places.of(self._caller.id),
            self._parts.live.entered(session, "events"),
        ):
            # Before the answer begins, so that a refusal has its status.
            Subscribing(self._parts.live, session, self._caller).subscribe(self._wanted)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await stream.write(f"retry: {RETRY_MS}\n\n")
            await _until_one_ends(session.run(), _left(receive), stream)
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


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
        id_ = f"id: {token}\n" if token else ""
        await self.write(f"event: {kind}\n{id_}data: {text}\n\n")

    async def write(self, text: str) -> None:
        """Send a text as it is."""
        await self._send({"type": "http.response.body", "body": text.encode(), "more_body": True})

    def abort(self) -> None:
        """End it; what it has not read goes with the connection."""
        if self.dropped is not None:
            self.dropped()

"""The publisher for programs without an event loop."""

import asyncio
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Self

from ledger.client.appender import Receipt
from ledger.client.publisher import MANY, Publisher
from ledger.domain.portions import portions
from ledger.domain.refusal import Refused
from ledger.domain.transaction import Draft
from ledger.settings import Settings

CHUNK = 500


class BlockingPublisher:
    """A `Publisher` on its own thread, for calls from any thread; a context manager.

    Make a new one after a fork, which threads do not survive.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        check: bool = True,
        timeout: float | None = 60.0,
    ) -> None:
        self._settings, self._check, self._timeout = settings, check, timeout
        self._room = threading.BoundedSemaphore(MANY)

    def __enter__(self) -> Self:
        """Raises LedgerError, with what to do, when Kafka or the registry cannot be used."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="ledger-publisher", daemon=True
        )
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        except BaseException:
            self._stop()
            raise
        return self

    async def _start(self) -> None:
        # On the loop that its locks and connections are bound to.
        publisher = Publisher(self._settings, check=self._check, timeout=self._timeout)
        self._publisher = await publisher.__aenter__()
        self._order = asyncio.Lock()

    def __exit__(self, *error: object) -> None:
        """Wait for pending publications, or cancel them if the block raised."""
        closing = self._publisher.__aexit__(*error)
        try:
            asyncio.run_coroutine_threadsafe(closing, self._loop).result()
        finally:
            self._stop()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def publish(self, draft: Draft) -> Receipt | Refused:
        """Publish one, and wait until Kafka has it. Raises PublishFailed."""
        return self.submit(draft).result()

    def submit(self, draft: Draft) -> "Future[Receipt | Refused]":
        """Publish one without waiting for Kafka, unless too many are pending.

        Transactions with one ordering key reach the log in the order of the calls.
        """
        self._room.acquire()
        future = asyncio.run_coroutine_threadsafe(self._publisher.publish(draft), self._loop)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def publish_many(self, drafts: Iterable[Draft]) -> Iterator[tuple[Draft, Receipt | Refused]]:
        """Publish all, many at once; yields each with its outcome, in order.

        It takes `drafts` in lists of up to 500; `submit` transactions that arrive one by one.
        """
        window: deque[tuple[list[Draft], Future[list[Receipt | Refused]]]] = deque()
        for chunk in portions(drafts, count=CHUNK):
            future = asyncio.run_coroutine_threadsafe(self._publish_all(chunk), self._loop)
            window.append((chunk, future))
            while len(window) > MANY // CHUNK or (window and window[0][1].done()):
                yield from _zipped(*window.popleft())
        while window:
            yield from _zipped(*window.popleft())

    async def _publish_all(self, drafts: list[Draft]) -> list[Receipt | Refused]:
        async with self._order:
            sent = [await self._publisher.submit(draft) for draft in drafts]
        return [each if isinstance(each, Refused) else await each for each in sent]


def _zipped(
    drafts: list[Draft], future: "Future[list[Receipt | Refused]]"
) -> Iterator[tuple[Draft, Receipt | Refused]]:
    return zip(drafts, future.result(), strict=True)

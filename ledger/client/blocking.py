"""The publisher and the reader of balances for programs without an event loop."""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ledger.client.receipt import MANY, Receipt
from ledger.client.resource import AsyncResource, OfOneProcess
from ledger.domain.portions import portions
from ledger.domain.refusal import Refused
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from ledger.client.balances import BalanceKey, BalanceReader, Changes
    from ledger.client.publisher import Publisher
    from ledger.domain.balance import Balance
    from ledger.domain.transaction import Draft
    from ledger.settings import Settings

CHUNK = 500

T = TypeVar("T")
R = TypeVar("R", bound=AsyncResource)


class Blocking(OfOneProcess, Generic[R]):
    """An async resource on its own thread, for calls from any thread; a context manager."""

    def _make(self) -> R:
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Raises LedgerError, with what to do, when Kafka or the registry cannot be used."""
        if self._opened_by == os.getpid():
            raise LedgerError(
                f"This {type(self).__name__} is open already: share it, or open another."
            )
        self._loop, self._calls, self._ending = asyncio.new_event_loop(), threading.Lock(), False
        self._thread = threading.Thread(
            target=self._loop.run_forever, name=type(self).__name__, daemon=True
        )
        self._thread.start()
        try:
            self._resource = self._run(self._open()).result()
        except BaseException:
            self._stop()
            raise
        self._opened_by = os.getpid()
        return self

    async def _open(self) -> R:
        # On the loop that its locks and connections are bound to.
        return await self._make().__aenter__()

    def __exit__(self, *error: object) -> None:
        """Close it. A fork of the process that opened it has nothing to close."""
        if self.is_of_another_process:
            return
        self._opened_by = None
        try:
            self._run(self._resource.__aexit__(*error)).result()
        finally:
            self._stop()

    def _stop(self) -> None:
        # Threads that still wait for something learn that it will not come. A call after the last
        # turn of the loop would wait without end.
        with self._calls:
            self._ending = True
            last = asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop)
        last.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def _opened(self) -> R:
        """The resource. Raises LedgerError where it cannot be used."""
        self.require_open()
        return self._resource

    def _run(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        with self._calls:
            if not self._ending:
                return asyncio.run_coroutine_threadsafe(work, self._loop)
        work.close()
        raise self.closed()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class BlockingPublisher(Blocking["Publisher"]):
    """A `Publisher` on its own thread, for calls from any thread; a context manager.

    Leaving it waits for pending publications, or cancels them if the block raised. Open one in each
    process, after a fork: in a fork of the process that opened it every call raises LedgerError.
    """

    def __init__(
        self,
        settings: "Settings | None" = None,
        *,
        check: bool = True,
        timeout: float | None = 60.0,
    ) -> None:
        self._settings, self._check, self._timeout = settings, check, timeout

    def _make(self) -> "Publisher":
        from ledger.client.publisher import Publisher

        self._order, self._room = asyncio.Lock(), threading.BoundedSemaphore(MANY)
        return Publisher(self._settings, check=self._check, timeout=self._timeout)

    def publish(self, draft: "Draft") -> Receipt | Refused:
        """Publish one, and wait until Kafka has it. Raises PublishFailed."""
        return self.submit(draft).result()

    def submit(self, draft: "Draft") -> "Future[Receipt | Refused]":
        """Publish one without waiting for Kafka, unless too many are pending.

        Transactions with one ordering key reach the log in the order of the calls.
        """
        publisher, room = self._opened, self._room
        room.acquire()
        try:
            future = self._run(publisher.publish(draft))
        except BaseException:
            room.release()
            raise
        future.add_done_callback(lambda _: room.release())
        return future

    def publish_many(
        self, drafts: "Iterable[Draft]"
    ) -> "Iterator[tuple[Draft, Receipt | Refused]]":
        """Publish all, many at once; yields each with its outcome, in order.

        It takes `drafts` in lists of up to 500; `submit` transactions that arrive one by one.
        """
        window: deque[tuple[list[Draft], Future[list[Receipt | Refused]]]] = deque()
        for chunk in portions(drafts, count=CHUNK):
            window.append((chunk, self._run(self._publish_all(self._opened, chunk))))
            while len(window) > MANY // CHUNK or (window and window[0][1].done()):
                yield from _zipped(*window.popleft())
        while window:
            yield from _zipped(*window.popleft())

    async def _publish_all(
        self, publisher: "Publisher", drafts: "list[Draft]"
    ) -> list[Receipt | Refused]:
        async with self._order:
            sent = [await publisher.submit(draft) for draft in drafts]
        return [each if isinstance(each, Refused) else await each for each in sent]


def _zipped(
    drafts: "list[Draft]", future: "Future[list[Receipt | Refused]]"
) -> "Iterator[tuple[Draft, Receipt | Refused]]":
    return zip(drafts, future.result(), strict=True)


class BlockingBalanceReader(Blocking["BalanceReader"]):
    """A `BalanceReader` on its own thread, for calls from any thread; a context manager.

    Entering it reads everything in the topic. Open one in each process, after a fork: in a fork of
    the process that opened it every call raises LedgerError.
    """

    def __init__(
        self, settings: "Settings | None" = None, *, accounts: Iterable[str] | None = None
    ) -> None:
        self._settings, self._accounts = settings, accounts

    def _make(self) -> "BalanceReader":
        from ledger.client.balances import BalanceReader

        return BalanceReader(self._settings, accounts=self._accounts)

    def get(self, account: str, currency: str) -> "Balance | None":
        """The newest balance read so far; None for an account without entries."""
        return self._opened.get(account, currency)

    def snapshot(self) -> "dict[BalanceKey, Balance]":
        """Every balance, after everything that is in the topic at this moment was read."""
        return self._run(self._opened.snapshot()).result()

    def follow(self, *, known: bool = False) -> "Iterator[Balance]":
        """Each change from this call on; with `known`, first every balance that is known already.

        A slow caller misses changes in between, but never the newest one.
        """
        reader = self._opened
        return self._each(reader, self._run(_changes_of(reader, known=known)).result())

    def _each(self, reader: "BalanceReader", changes: "Changes") -> "Iterator[Balance]":
        waited: Future[Balance] | None = None
        try:
            while True:
                self.require_open()
                waited = self._run(reader.next_change(changes))
                yield waited.result()
        finally:
            if waited is not None:
                waited.cancel()
            # The loop may have been closed before this iterator.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(reader.end_changes, changes)

    def wait_for(
        self, predicate: "Callable[[Balance], bool]", *, seconds: float | None = None
    ) -> "Balance":
        """The first known or future balance for which `predicate` holds. Raises TimeoutError.

        The reader's thread calls `predicate`, and reads nothing meanwhile.
        """
        return self._run(self._opened.wait_for(predicate, seconds=seconds)).result()


async def _changes_of(reader: "BalanceReader", *, known: bool) -> "Changes":
    return reader.begin_changes(known=known)

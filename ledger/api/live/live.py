"""Live updates of an API process: from what the balance view changes to who is subscribed."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from ledger.api.live.frames import Frames
from ledger.api.live.index import Index
from ledger.api.live.measures import Measures
from ledger.api.live.recent import ACCOUNTS, Buffer, Entry
from ledger.api.live.session import Session
from ledger.api.live.source import Source
from ledger.api.live.subscriptions import Subscription
from ledger.api.live.tokens import Place, Tokens, topic_name
from ledger.api.signing import Signer
from ledger.api.view.kept import Change
from ledger.client.resource import cancel

SWEEP_SECONDS = 1.0
KEPT_SECONDS = 300.0
"""For which changes are remembered after the last connection is closed, for those who come back."""
CATCH_UP_SECONDS = 5.0
"""For which a client's token may be ahead of this process; then it gets a snapshot."""
LOOK_SECONDS = 0.02


class Live:
    """An async context manager. Without connections it does nothing, and costs nothing."""

    def __init__(
        self,
        source: Source,
        signer: Signer,
        measures: Measures | None = None,
        *,
        remembered: int = ACCOUNTS,
    ) -> None:
        self.source, self.index = source, Index()
        self.frames = Frames(self._before_tick)
        self.measures = measures or Measures()
        self.tokens = Tokens(signer)
        self._sessions: set[Session] = set()
        self._remembered = remembered
        self._buffer = Buffer("", (), remembered)
        self._unsubscribe: Callable[[], None] | None = None
        self._left_at = 0.0

    async def __aenter__(self) -> Self:
        self._sweeping = asyncio.create_task(self._sweep_on(), name="live connections")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        await cancel(self._sweeping)
        self._detach()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._sessions)

    def stop(self) -> None:
        """End every connection."""
        for session in list(self._sessions):
            session.end(1001, "the API process stops")

    # Connections.

    @contextmanager
    def entered(self, session: Session, kind: str) -> Iterator[None]:
        """A connection of this kind begins, and ends."""
        if self._unsubscribe is None:
            self._restart()
            self._unsubscribe = self.source.subscribe(self._changed)
        self._sessions.add(session)
        self.measures.connections.labels(kind).inc()
        try:
            yield
        finally:
            self.measures.connections.labels(kind).dec()
            self._sessions.discard(session)
            for one in session.subscriptions.values():
                self.index.remove(one)
            session.subscriptions.clear()
            self._left_at = asyncio.get_running_loop().time()

    def _detach(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    async def _sweep_on(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            if self._unsubscribe is not None and self.source.origin != self._buffer.origin:
                self._restart()
            for session in list(self._sessions):
                session.sweep(now)
            if not self._sessions and now - self._left_at > KEPT_SECONDS:
                self._detach()

    # Changes.

    def _changed(self, partition: int, end: int, changes: Sequence[Change]) -> None:
        if self.source.origin != self._buffer.origin or self._buffer.goes_back(partition, end):
            self._restart()
        if partition < len(self.source.positions()):
            self.measures.changes.inc(len(changes))
            if self.index.note(self._buffer.note(partition, end, changes)):
                self.frames.arm()

    def _before_tick(self) -> None:
        for one in self.index.touched():
            one.changed()

    def _restart(self) -> None:
        """Forget all: the source is the copy of another topic, or is read again."""
        self._buffer = Buffer(self.source.origin, self.source.positions(), self._remembered)
        for watched in self.index.lists.values():
            watched.rows.clear()
        for path in self.index.paths.values():
            path.begin()
        for one in self.index.everything():
            one.restart("rebuilt")

    @property
    def number(self) -> int:
        """Of the last change."""
        return self._buffer.recent.number

    def token(self) -> str:
        """The resume token of a client that has everything up to this moment."""
        return self.tokens.of(self._buffer.origin, self.source.positions())

    async def changed_since(self, one: Subscription, place: Place) -> list[Entry] | str:
        """What changed for a client at this place; or why it needs a snapshot.

        It may have a few that the client has already.
        """
        buffer = self._buffer
        if place.topic != topic_name(buffer.origin):
            return "unknown"
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                # Positions move without a change, too: nothing tells of that.
                while not self._has(place.positions):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
        if buffer is not self._buffer:
            return "rebuilt"
        if not buffer.recent.knows(place.positions):
            return "expired"
        if not self._has(place.positions):
            return "ahead"
        return list(one.of_recent(buffer.recent, place.positions))

    def _has(self, positions: Sequence[int]) -> bool:
        here = self.source.positions()
        return all(each >= there for each, there in zip(here, positions, strict=False))

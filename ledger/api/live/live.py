"""Live updates of an API process: from what the balance view changes to who is subscribed."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from ledger.api.live.frames import Frames
from ledger.api.live.index import Index
from ledger.api.live.measures import Measures
from ledger.api.live.recent import ACCOUNTS, Entry, Recent
from ledger.api.live.session import Session
from ledger.api.live.source import Source
from ledger.api.live.subscriptions import Subscription
from ledger.api.live.tokens import Place, place_of, token_of, topic_name
from ledger.api.problems import Problem
from ledger.api.signing import Signer
from ledger.api.view.copy import Change
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
        self._sessions: set[Session] = set()
        self._signer = signer
        self._remembered = remembered
        self._recent = Recent(())
        self._origin, self._positions = "", list[int]()
        self._token: tuple[tuple[int, ...], str] = ((), "")
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
            self.require_same()
            for session in list(self._sessions):
                session.sweep(now)
            if not self._sessions and now - self._left_at > KEPT_SECONDS:
                self._detach()

    # Changes.

    def _changed(self, partition: int, end: int, changes: Sequence[Change]) -> None:
        self.require_same()
        if partition >= len(self._positions):
            return
        if end < self._positions[partition]:
            # It is read again from an earlier position on.
            self._restart()
        self._positions[partition] = end
        self.measures.changes.inc(len(changes))
        if self.index.note(self._recent.note(partition, end, changes)):
            self.frames.arm()

    def _before_tick(self) -> None:
        for one in self.index.touched():
            one.changed()

    def require_same(self) -> None:
        """Begin again with snapshots where the source is the copy of another topic."""
        if self._unsubscribe is not None and self.source.origin != self._origin:
            self._restart()

    def _restart(self) -> None:
        self._origin = self.source.origin
        self._positions = list(self.source.positions())
        self._recent = Recent(self._positions, self._remembered)
        for watched in self.index.lists.values():
            watched.rows.clear()
        for path in self.index.paths.values():
            path.begin()
        for one in self.index.everything():
            one.restart("rebuilt")

    @property
    def number(self) -> int:
        """Of the last change."""
        return self._recent.number

    def token(self) -> str:
        """The resume token of a client that has everything up to this moment."""
        positions = tuple(self.source.positions())
        if positions != self._token[0]:
            self._token = positions, token_of(self._signer, self._origin, positions)
        return self._token[1]

    # Beginning a subscription.

    def place(self, token: str) -> Place:
        """What a resume token names. Raises Problem."""
        try:
            return place_of(self._signer, token)
        except ValueError as error:
            raise Problem(
                "TOKEN_INVALID", f"This is no resume token of this ledger. {error}", field="after"
            ) from None

    async def changed_since(self, one: Subscription, place: Place) -> list[Entry] | str:
        """What changed for a client at this place; or why it needs a snapshot.

        It may have a few that the client has already.
        """
        if place.topic != topic_name(self._origin):
            return "unknown"
        recent = self._recent
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS):
                # Positions move without a change, too: nothing tells of that.
                while not self._has(place.positions):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_SECONDS)
        if recent is not self._recent:
            return "rebuilt"
        if not recent.knows(place.positions):
            return "expired"
        if not self._has(place.positions):
            return "ahead"
        return list(one.of_recent(recent, place.positions))

    def _has(self, positions: Sequence[int]) -> bool:
        here = self.source.positions()
        return all(each >= there for each, there in zip(here, positions, strict=False))

"""One live connection, whichever protocol it has: its subscriptions, and what it is sent when.

A frame is made when the connection may have one, of what its subscriptions are then. Each message
is awaited before the next one, so a slow client gets fewer and newer values, and never a queue.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from ledger.api.live.beginning import Beginning
from ledger.api.live.encoding import changes, heartbeat, refused
from ledger.api.live.lists import TooLong
from ledger.api.live.recent import Entry
from ledger.api.live.subscriptions import ListSubscription, Subscription
from ledger.api.problems import Problem
from ledger.domain.portions import portions

if TYPE_CHECKING:
    from ledger.api.live.live import Live

PORTION = 200
"""Balances of a message, about 50 KB."""
SEND_SECONDS = 30.0
"""For which a client may leave unread, or unacknowledged, what it was sent; then it is dead."""
QUIET_SECONDS = 15.0
"""Without a message for so long it gets a heartbeat, with the token that it would resume from."""
EMPTY_SECONDS = 60.0
"""For which a connection may have no subscription."""
CHECK_SECONDS = 60.0
"""How often it is looked up whether its bearer token is still good."""
REPLIES = 100
"""Answers that may wait for a client that sends and does not read."""

UNAUTHENTICATED, TIMED_OUT, TOO_MANY = 4401, 4408, 4429
"""Codes with which a connection is closed."""


class Out(Protocol):
    """The client's end of a connection."""

    async def send(self, kind: str, text: str, token: str) -> None:
        """Send a message; returns once there is room for the next one. Raises when it is gone."""

    def abort(self) -> None:
        """Drop the connection, with what it has not read."""


class Times:
    """When what happened last, by the loop's clock; `sending`: whether a message is under way."""

    def __init__(self, now: float) -> None:
        self.sent = self.quiet_since = self.checked = self.empty_since = now
        self.sending = False


class Session:
    """A connection and its subscriptions by id; `run` sends until it ends.

    `check` raises Problem once the client's bearer token is not good any more.
    """

    def __init__(
        self, live: "Live", out: Out, check: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self._live, self._out, self._check = live, out, check
        self.subscriptions: dict[str, Subscription] = {}
        self.is_waiting, self.frame_at = False, -1.0
        self.ending: tuple[int, str] | None = None
        self.acks: asyncio.Event | None = None
        self._due, self._replies = asyncio.Event(), deque[tuple[str, str]]()
        self._times = Times(asyncio.get_running_loop().time())

    # Its subscriptions.

    def add(self, one: Subscription) -> None:
        """Subscribe; in the place of the one with the same id, if there is one."""
        before = self.subscriptions.get(one.id)
        self.subscriptions[one.id] = one
        # The new one first: what both share is kept.
        self._live.index.add(one)
        if before is not None:
            self._live.index.remove(before)
        self.ask()

    def remove(self, id_: str) -> None:
        """End a subscription."""
        if (one := self.subscriptions.pop(id_, None)) is not None:
            self._live.index.remove(one)
            self._times.empty_since = asyncio.get_running_loop().time()

    def reply(self, kind: str, text: str) -> None:
        """Send an answer, before the next frame."""
        if len(self._replies) >= REPLIES:
            self.end(TOO_MANY, "more was asked than is read")
        self._replies.append((kind, text))
        self.ask()

    def acknowledge(self) -> None:
        """The last frame was taken; after the first such message each frame waits for one."""
        if self.acks is None:
            self.acks = asyncio.Event()
        self.acks.set()

    # When it is sent something.

    def ask(self) -> None:
        """There is something to be sent."""
        self._live.frames.ask(self)

    def wake(self) -> None:
        """It may have a frame now."""
        self._due.set()

    def end(self, code: int, reason: str) -> None:
        """End the connection, at once if it waits for its client."""
        if self.ending is None:
            self.ending = code, reason
            self._live.measures.ended.labels(str(code)).inc()
        if self._times.sending and code != 1001:  # noqa: PLR2004 - what is under way may end
            self._out.abort()
        self._due.set()
        if self.acks is not None:
            self.acks.set()

    def sweep(self, now: float) -> None:
        """What is to be done now and then."""
        waits = self._times.sending or (self.acks is not None and not self.acks.is_set())
        if waits and now - self._times.sent > SEND_SECONDS:
            self.end(TIMED_OUT, "what was sent is not read")
        elif not self.subscriptions and now - self._times.empty_since > EMPTY_SECONDS:
            self.end(TIMED_OUT, "nothing is subscribed to")
        elif now - self._times.quiet_since > QUIET_SECONDS or self._has_to_begin():
            self.ask()

    def _has_to_begin(self) -> bool:
        return any(one.begin for one in self.subscriptions.values())

    async def run(self) -> None:
        """Send until it ends; raises what `Out.send` raises."""
        while self.ending is None:
            await self._due.wait()
            if self.acks is not None:
                await self.acks.wait()
            self._due.clear()
            if self.ending is None:
                self.frame_at = asyncio.get_running_loop().time()
                await self._send_frame()

    async def _send(self, kind: str, text: str, token: str = "") -> None:
        self._times.sending, self._times.sent = True, asyncio.get_running_loop().time()
        try:
            await self._out.send(kind, text, token)
        finally:
            self._times.sending = False
        self._times.quiet_since = self._times.sent

    # What it is sent.

    async def _send_frame(self) -> None:
        await self._recheck()
        if self.ending is not None:
            return
        while self._replies:
            await self._send(*self._replies.popleft())
        began = False
        for one in list(self.subscriptions.values()):
            if one.begin and self._live.source.is_ready and self.ending is None:
                await self._begin(one)
                began = True
        lists, entries = self._take()
        # All that is before the token was sent, once this frame is.
        token = "" if self._has_to_begin() else self._live.token()
        now = asyncio.get_running_loop().time()
        if lists or entries or began:
            await self._send_changes(lists, entries, token)
        elif now - self._times.quiet_since > QUIET_SECONDS:
            await self._send("heartbeat", heartbeat(token), token)

    async def _recheck(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._check is not None and now - self._times.checked > CHECK_SECONDS:
            self._times.checked = now
            try:
                await self._check()
            except Problem as problem:
                if problem.status in (401, 403):
                    self.end(UNAUTHENTICATED, problem.detail)

    def _take(self) -> tuple[Mapping[str, str], Mapping[str, list[Entry]]]:
        """By subscription what changed: of lists a JSON object, of others the entries."""
        lists, entries = dict[str, str](), dict[str, list[Entry]]()
        for one in self.subscriptions.values():
            if one.begin:
                continue
            if isinstance(one, ListSubscription):
                if (shown := one.take_rows()) is not None:
                    lists[one.id] = shown
            elif (found := one.take(self._live.number)) is None:
                one.restart("behind")
            elif found:
                entries[one.id] = found
        return lists, entries

    async def _send_changes(
        self, lists: Mapping[str, str], entries: Mapping[str, list[Entry]], token: str
    ) -> None:
        """In one message, or more where it is much; the last one has the token."""
        left = sum(map(len, entries.values()))
        each = _each(entries)
        for portion in portions(each, count=PORTION) if left > PORTION else ():
            left -= len(portion)
            if left:
                await self._send("changes", changes("", _shown(portion)))
            else:
                each = iter(portion)
        shown = {**_shown(each), **lists}
        await self._send("changes", changes(token, shown), token)
        self._live.measures.frames.inc()
        if self.acks is not None:
            self.acks.clear()

    async def _begin(self, one: Subscription) -> None:
        """Send a subscription's snapshot, or what changed since its client left."""
        beginning = Beginning(self._live, one, self._send)
        try:
            await beginning.send()
        except TooLong as error:
            self.remove(one.id)
            problem = Problem("TOO_MANY_BALANCES", str(error))
            await self._send("refused", refused(one.id, problem))


def _each(entries: Mapping[str, Iterable[Entry]]) -> Iterator[tuple[str, Entry]]:
    for id_, some in entries.items():
        for entry in some:
            yield id_, entry


def _shown(entries: Iterable[tuple[str, Entry]]) -> dict[str, str]:
    """By subscription a JSON list."""
    found = dict[str, list[str]]()
    for id_, entry in entries:
        found.setdefault(id_, []).append(entry.text)
    return {id_: f"[{','.join(texts)}]" for id_, texts in found.items()}

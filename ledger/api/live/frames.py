"""When connections get their frames: one timer for all, each at most ten times a second.

A connection that was quiet gets its frame within two ticks of a change; one that had a frame waits
for the rest of its tenth of a second. Where many are due at once, others have their turn between.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import ceil
from typing import Protocol

TICK_SECONDS = 0.01
SECONDS_BETWEEN = 0.1
"""From one frame of a connection to its next, at least."""
AT_ONCE = 32
"""Connections that are woken in one turn of the event loop."""
_SLOTS = 16
"""More than the ticks from a frame to its next."""


class Paced(Protocol):
    """What gets frames. `is_waiting`: to be woken; `frame_at`: the loop's time of its last one."""

    is_waiting: bool
    frame_at: float

    def wake(self) -> None:
        """Send a frame now."""


class Frames:
    """Wakes connections; `before` is called at each tick, and may ask for more of them."""

    def __init__(self, before: Callable[[], None]) -> None:
        self._before = before
        self._slots: list[list[Paced]] = [[] for _ in range(_SLOTS)]
        self._due: deque[Paced] = deque()
        self._waiting = 0
        self._done = 0
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, one: Paced) -> None:
        """Wake it as soon as it may have a frame."""
        if not one.is_waiting:
            one.is_waiting = True
            self.arm()
            self._put(one)

    def _put(self, one: Paced) -> None:
        # A tick is taken once it has begun, so whoever may have a frame at its begin may then.
        tick = max(self._done + 1, ceil((one.frame_at + SECONDS_BETWEEN) / TICK_SECONDS))
        self._slots[tick % _SLOTS].append(one)
        self._waiting += 1

    def arm(self) -> None:
        """Have a tick come."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._done = _now()
            self._timer = loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._before()
        loop = asyncio.get_running_loop()
        now, may = _now(), loop.time() - SECONDS_BETWEEN
        first, self._done = max(self._done + 1, now - _SLOTS + 1), now
        for tick in range(first, now + 1):
            slot = tick % _SLOTS
            due, self._slots[slot] = self._slots[slot], []
            self._waiting -= len(due)
            for one in due:
                if one.frame_at > may:
                    # It had one since it asked.
                    self._put(one)
                else:
                    self._due.append(one)
        self._wake_some()
        self._timer = loop.call_later(TICK_SECONDS, self._tick) if self._waiting else None

    def _wake_some(self) -> None:
        for _ in range(min(AT_ONCE, len(self._due))):
            one = self._due.popleft()
            one.is_waiting = False
            one.wake()
        if self._due:
            asyncio.get_running_loop().call_soon(self._wake_some)


def _now() -> int:
    """The present tick."""
    return int(asyncio.get_running_loop().time() / TICK_SECONDS)

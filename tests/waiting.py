"""Waiting in tests: for what comes, until it is clear that it does not come.

No limit here says how fast something is. PATIENCE ends what hangs, on a machine many times slower than
ours with other work beside it; a test that claims how soon something comes gives its own `seconds`.
"""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 600.0
STILL = 120.0
"""Seconds in which nothing at all moves, after which nothing will."""
POLL_SECONDS = 0.1


def never() -> str:
    """Nothing shows that it cannot come any more."""
    return ""


def until(
    reached: Callable[[], Any],
    what: object,
    seconds: float = PATIENCE,
    *,
    lost: Callable[[], str] = never,
) -> Any:
    """The first value that is true. Fails as soon as `lost` says why it cannot come any more.

    `what` is put into words only then.
    """
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        why = lost()
        assert not why, f"{why}; not reached: {what}"
        assert time.monotonic() < deadline, f"Not within {seconds:.0f} s: {what}"
        time.sleep(POLL_SECONDS)
    return found


class Limit:
    """When to stop waiting for what a stream brings: STILL after it last moved, PATIENCE in all."""

    def __init__(self, still: float = STILL, most: float = PATIENCE) -> None:
        self._still, self._end = still, time.monotonic() + most
        self.moved()

    def moved(self) -> None:
        """Something came."""
        self._last = time.monotonic()

    @property
    def left(self) -> float:
        """Seconds; 0 or less when it is over."""
        return min(self._last + self._still, self._end) - time.monotonic()

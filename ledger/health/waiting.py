"""Waiting for infrastructure that is away: for as long as it takes, and visibly."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from ledger.errors import Unavailable
from ledger.health.partitions import Asked, asking

T = TypeVar("T")
log = logging.getLogger(__name__)


async def waited_for(attempt: Callable[[], Awaitable[T]], what: str, *, endless: bool = False) -> T:
    """The result of `attempt`, tried again with growing pauses while it raises Unavailable.

    Meanwhile the health of the place that the task works for says so. `endless`: `attempt` is not
    expected to come back.
    """
    with asking(what, endless=endless) as asked:
        try:
            # Nearly always; tenacity's machinery takes 0.1 ms.
            return await attempt()
        except Unavailable as error:
            log.warning("Waiting to %s: %s Trying again.", what, error)
            asked.failed(error)
        return await _tried_again(attempt, what, asked)


async def _tried_again(attempt: Callable[[], Awaitable[T]], what: str, asked: Asked) -> T:
    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0
        log.warning("Waiting to %s: %s Trying again in %.1f s.", what, error, pause)
        if error is not None:
            asked.failed(error)

    async for retry in AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        before_sleep=say,
    ):
        with retry:
            return await attempt()
    raise AssertionError("unreachable: tried without end")

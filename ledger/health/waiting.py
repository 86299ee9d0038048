"""Waiting for infrastructure that is unavailable: for as long as it takes, and visibly."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_random_exponential

from ledger.errors import Unavailable
from ledger.health.partitions import Request, waiting_for

T = TypeVar("T")
log = logging.getLogger(__name__)


async def waited_for(attempt: Callable[[], Awaitable[T]], what: str, *, endless: bool = False) -> T:
    """The result of `attempt`, repeated with growing pauses while it raises Unavailable.

    Meanwhile the running task's partition is reported as waiting to `what`. `endless`: `attempt`
    is not expected to return.
    """
    with waiting_for(what, endless=endless) as request:
        try:
            # The usual case does without tenacity, which takes 0.1 ms.
            return await attempt()
        except Unavailable as error:
            log.warning("Waiting to %s: %s Trying again.", what, error)
            request.failed(error)
        return await _repeat(attempt, request)


async def _repeat(attempt: Callable[[], Awaitable[T]], request: Request) -> T:
    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0
        log.warning("Waiting to %s: %s Trying again in %.1f s.", request.what, error, pause)
        if error is not None:
            request.failed(error)

    async for retry in AsyncRetrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        before_sleep=report,
    ):
        with retry:
            return await attempt()
    raise AssertionError("unreachable: it is repeated without end")

"""What readers and writers of the client share: entering, leaving, and the process they are of."""

import asyncio
import os
from contextlib import AsyncExitStack
from typing import Self

from ledger.errors import LedgerError

AGAIN_SECONDS = 1.0
"""Until a task that has not ended is cancelled again."""


class OfOneProcess:
    """Something that can be used only in the process that opened it, and only while it is open.

    A fork of that process has its memory, but neither its threads nor connections of its own.
    """

    _opened_by: int | None = None

    def require_open(self) -> None:
        """Raises LedgerError before it is opened, after it is closed, and in a fork."""
        if self._opened_by == os.getpid():
            return
        if self._opened_by is None:
            raise self.closed()
        raise LedgerError(
            f"This {type(self).__name__} was opened in process {self._opened_by} and does not work "
            f"in process {os.getpid()}, which was forked from it. Open one in each process, after "
            "the fork."
        )

    def closed(self) -> LedgerError:
        """What a call raises where it is not open."""
        return LedgerError(
            f"This {type(self).__name__} is closed, or was never opened: use it within a `with` "
            "block."
        )

    @property
    def is_of_another_process(self) -> bool:
        """Whether a process opened it of which this one is a fork."""
        return self._opened_by not in (None, os.getpid())


class AsyncResource(OfOneProcess):
    """An async context manager; a subclass opens what it needs in `_enter`, and puts it on a stack.

    Entering raises LedgerError, with what to do, when Kafka or the registry cannot be used.
    """

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._enter(stack)
            self._entered = stack.pop_all()
        self._opened_by = os.getpid()
        return self

    async def _enter(self, stack: AsyncExitStack) -> None:
        raise NotImplementedError

    async def __aexit__(self, *error: object) -> None:
        if self.is_of_another_process:
            return
        self._opened_by = None
        await self._entered.__aexit__(*error)  # type: ignore[arg-type]


async def cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait for its end. Raises what ended it before."""
    while not task.done():
        # Again where it was lost: `asyncio.wait_for` (Python 3.11) and aiokafka swallow one that
        # comes together with what they wait for.
        task.cancel()
        await asyncio.wait([task], timeout=AGAIN_SECONDS)
    if not task.cancelled():
        task.result()

"""What readers and writers of the client share: entering, leaving, and ending a task."""

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Self


class AsyncResource:
    """An async context manager; a subclass opens what it needs in `_enter`, and puts it on a stack.

    Entering raises LedgerError, with what to do, when Kafka or the registry cannot be used.
    """

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._enter(stack)
            self._entered = stack.pop_all()
        return self

    async def _enter(self, stack: AsyncExitStack) -> None:
        raise NotImplementedError

    async def __aexit__(self, *error: object) -> None:
        await self._entered.aclose()


async def cancel(task: asyncio.Task[None]) -> None:
    """Cancel a task, and wait for its end. Raises what ended it before."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

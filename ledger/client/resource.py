"""The async context manager that readers and writers of the client share."""

from contextlib import AsyncExitStack
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

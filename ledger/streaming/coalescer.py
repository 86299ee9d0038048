"""One background task at a time: what comes during a run is done together in the next one."""

import asyncio
from collections.abc import Awaitable, Callable


class Coalescer:
    """Runs `work` soon after each `wake`, never twice at once.

    A wake during a run starts one more run after it, however many wakes there were: `work` takes
    whatever waits by then. The task is created in the context of whoever wakes it.

    `fault` receives an exception that `work` raises, once; the next wake starts `work` again.
    Without `fault`, for work that answers its own errors, asyncio reports the exception.
    """

    __slots__ = ("_fault", "_name", "_task", "_woken", "_work")

    def __init__(
        self,
        work: Callable[[], Awaitable[None]],
        *,
        name: str,
        fault: Callable[[Exception], None] | None = None,
    ) -> None:
        self._work, self._name, self._fault = work, name, fault
        self._woken = False
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether a run is under way, or about to start."""
        return self._task is not None and not self._task.done()

    def wake(self) -> None:
        """Run `work` soon: in a later turn of the loop, or after the run that is under way."""
        self._woken = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=self._name)

    async def idle(self) -> None:
        """Return once no run is under way; raises nothing of what `work` raised."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._woken:
            self._woken = False
            try:
                await self._work()
            except Exception as error:
                if self._fault is None:
                    raise
                self._fault(error)

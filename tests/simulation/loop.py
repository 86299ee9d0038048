"""An event loop whose time passes only when nobody has anything to do."""

import asyncio
from contextvars import ContextVar
from functools import partial
from typing import Any

PROCESS: ContextVar[Any] = ContextVar("PROCESS")
"""The simulated process that the running code belongs to."""


class Idle(Exception):
    """Everybody waits for somebody else: nothing would ever happen again."""


class Loop(asyncio.BaseEventLoop):
    """`now`: virtual seconds. What is awaited takes exactly as long as it says."""

    def __init__(self):
        super().__init__()
        self._selector, self.now = self, 0.0

    def time(self):
        return self.now

    def select(self, timeout):
        if timeout is None:
            raise Idle
        self.now += timeout
        return ()

    def run_in_executor(self, executor, func, *args):
        return self.create_task(PROCESS.get().on_thread(partial(func, *args)))

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass

    def __del__(self, _warn=None):
        """Nothing of the operating system's is open."""


def now():
    """Virtual seconds, in place of time.monotonic."""
    return asyncio.get_running_loop().time()

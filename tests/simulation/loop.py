"""An event loop whose time passes only when nobody has anything to do."""

import asyncio
from contextvars import ContextVar, copy_context
from functools import partial
from heapq import heappop, heappush
from typing import Any

PROCESS: ContextVar[Any] = ContextVar("PROCESS")
"""The simulated process that the running code belongs to."""


class Idle(Exception):
    """Everybody waits for somebody else: nothing would ever happen again."""


class Turn:
    """A callback to be called: asyncio's Handle and TimerHandle, with nothing but what is used."""

    __slots__ = ("_cancelled", "args", "callback", "context", "time")

    def __init__(self, callback, args, context, time=0.0):
        self.callback, self.args, self.time = callback, args, time
        self.context = context or copy_context()
        self._cancelled = False

    def cancel(self):
        self._cancelled = True

    def cancelled(self):
        return self._cancelled

    def when(self):
        return self.time


class Loop(asyncio.BaseEventLoop):
    """`now`: virtual seconds. What is awaited takes exactly as long as it says.

    With turns of its own: asyncio's take a third of the time that a seed does.
    """

    def __init__(self):
        super().__init__()
        self.now, self._count, self._timers = 0.0, 0, []

    def time(self):
        return self.now

    def call_soon(self, callback, *args, context=None):
        turn = Turn(callback, args, context)
        self._ready.append(turn)
        return turn

    call_soon_threadsafe = call_soon

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        turn = Turn(callback, args, context, when)
        self._count += 1
        heappush(self._timers, (when, self._count, turn))
        return turn

    def _run_once(self):
        ready, timers = self._ready, self._timers
        while not ready:
            if not timers:
                raise Idle
            when, _, turn = heappop(timers)
            if not turn._cancelled:
                self.now = max(when, self.now)
                ready.append(turn)
        while ready and not self._stopping:
            turn = ready.popleft()
            if not turn._cancelled:
                try:
                    turn.context.run(turn.callback, *turn.args)
                except Exception as error:
                    self.call_exception_handler({"exception": error})

    def run_in_executor(self, executor, func, *args):
        return self.create_task(PROCESS.get().on_thread(partial(func, *args)))

    def _asyncgen_finalizer_hook(self, agen):
        """What a dead process was reading stays as it is."""

    def __del__(self, _warn=None):
        """Nothing of the operating system's is open."""


def now():
    """Virtual seconds, in place of time.monotonic."""
    return asyncio.get_running_loop().time()

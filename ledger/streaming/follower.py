"""Following partitions in the background: what is there, then what comes."""

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka import ConsumerRecord, TopicPartition

from ledger.errors import LedgerError
from ledger.streaming.reader import Offsets, Reader


class Follower:
    """Reads on in the background and passes what comes to `take`, one list at a time."""

    def __init__(
        self, reader: Reader, take: Callable[[list[ConsumerRecord]], Awaitable[None]]
    ) -> None:
        self._reader, self._take = reader, take
        self._moved = asyncio.Condition()
        self._taken: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, starts: Offsets) -> None:
        """Begin, from these offsets."""
        self._reader.assign(starts)
        self._taken = dict(starts)
        self._task = asyncio.create_task(self._run(), name="follow")

    async def _run(self) -> None:
        try:
            while True:
                if records := await self._reader.fetch():
                    await self._take(records)
                self._taken = await self._reader.positions()
                await self._wake()
        finally:
            # Those who wait learn that this has ended.
            await self._wake()

    async def _wake(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def caught_up(self) -> None:
        """Return once `take` has had all that is there now. Raises what stopped the reading."""
        self._require_reading()
        ends = await self._reader.ends(self._taken)
        await self.wait_until(lambda: all(self._taken[tp] >= end for tp, end in ends.items()))

    async def wait_until(self, reached: Callable[[], bool]) -> None:
        """Return once `reached()`, asked after each reading. Raises what stopped the reading."""
        async with self._moved:
            while not reached():
                self._require_reading()
                await self._moved.wait()

    def _require_reading(self) -> None:
        if self._task is None or self._task.cancelled():
            raise LedgerError("It is closed, or was never started: use it within `async with`.")
        if self._task.done():
            error = self._task.exception()
            assert error is not None, "it reads for ever"
            raise error

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

"""Appends to one partition: one batch under way, and what comes meanwhile together after it."""

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from itertools import accumulate

from ledger.streaming.coalescer import Coalescer

TOGETHER_BYTES = 4 * 1024 * 1024
"""What waited for the same partition is one batch up to this size."""

Record = tuple[bytes | None, bytes | None]
"""A key and a value."""


class AppendQueue:
    """Appends to one partition that wait; `append` appends one batch of them."""

    def __init__(self, append: Callable[[list[Record]], Awaitable[int]], name: str) -> None:
        self._append = append
        self._waiting: list[tuple[list[Record], asyncio.Future[int]]] = []
        self._appending = Coalescer(self._append_waiting, name=name)

    def put(self, records: list[Record]) -> asyncio.Future[int]:
        """Append `records` soon; the future has the offset of the first."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, answer))
        self._appending.wake()
        return answer

    async def _append_waiting(self) -> None:
        while together := self._take():
            records = [record for part, _ in together for record in part]
            try:
                offset = await self._append(records)
            except Exception as error:
                for _, answer in together:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for part, answer in together:
                if not answer.done():
                    answer.set_result(offset)
                offset += len(part)

    def _take(self) -> list[tuple[list[Record], asyncio.Future[int]]]:
        """Those that fit one batch, at least one; empty when none waits."""
        count = len(self._waiting)
        if count > 1:
            sizes = accumulate(_size(records) for records, _ in self._waiting)
            count = max(bisect_right(list(sizes), TOGETHER_BYTES), 1)
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


def _size(records: list[Record]) -> int:
    return sum(len(key or b"") + len(value or b"") for key, value in records)

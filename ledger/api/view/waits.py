"""Waiting until positions are covered: no polling, and a wait costs one entry of a heap."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from heapq import heapify, heappop, heappush

COMPACTED_FROM = 1_000
"""Waits that have ended in another way are removed from a heap of so many, once they are half."""

Wait = tuple[int, int, "asyncio.Future[None]"]
"""The offset that must be covered, a number that no other wait has, and who waits."""


class Waits:
    """Who waits for one partition of the balances, by shard."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[Wait]] = {}
        self._number = 0
        self._ended: dict[int, int] = {}

    def __len__(self) -> int:
        """How many wait, those that have given up included until they are removed."""
        return sum(map(len, self._heaps.values()))

    async def until(self, ends: Callable[[], Sequence[int]], positions: Mapping[int, int]) -> None:
        """Return once each shard is covered beyond its offset. `ends()`: the positions by shard."""
        for shard, offset in positions.items():
            while not is_covered(ends(), shard, offset):
                await self._wait(shard, offset)

    async def _wait(self, shard: int, offset: int) -> None:
        future = asyncio.get_running_loop().create_future()
        self._number += 1
        heappush(self._heaps.setdefault(shard, []), (offset, self._number, future))
        try:
            await future
        finally:
            if future.cancelled():
                self._note_ended(shard)

    def _note_ended(self, shard: int) -> None:
        ended = self._ended[shard] = self._ended.get(shard, 0) + 1
        heap = self._heaps.get(shard, [])
        if len(heap) >= COMPACTED_FROM and 2 * ended > len(heap):
            heap[:] = [each for each in heap if not each[2].done()]
            heapify(heap)
            self._ended[shard] = 0

    def wake(self, ends: Sequence[int]) -> None:
        """Wake whoever waits for what is covered now."""
        for shard, heap in self._heaps.items():
            while heap and is_covered(ends, shard, heap[0][0]):
                future = heappop(heap)[2]
                if future.done():
                    self._ended[shard] -= 1
                else:
                    future.set_result(None)


def is_covered(ends: Sequence[int], shard: int, offset: int) -> bool:
    """Whether the transaction at `offset` of the shard is contained."""
    return shard < len(ends) and offset < ends[shard]

"""How much decoded work may wait in this process, by weight in bytes."""

import asyncio


class Room:
    """Shared by all shards of a stage: decoded runs take memory."""

    def __init__(self, size: int) -> None:
        self._size, self._held = size, 0
        self._free = asyncio.Event()
        self._free.set()

    def take(self, weight: int) -> None:
        """So much more waits; it may go beyond the size, for it is there already."""
        self._held += weight
        if self._held > self._size:
            self._free.clear()

    def give_back(self, weight: int) -> None:
        """So much no longer waits."""
        self._held -= weight
        if self._held <= self._size:
            self._free.set()

    async def free(self) -> None:
        """Return when there is some."""
        await self._free.wait()

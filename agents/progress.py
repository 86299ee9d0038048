"""How far each shard is compared: published by its owner, known to every stage of this process."""

import asyncio
from collections.abc import Callable
from functools import partial

from agents.runtime.runtime import Runtime
from ledger.health.waiting import waited_for
from ledger.streaming.coalescer import Coalescer
from ledger.streaming.messages import Message
from ledger.streaming.progress import compared, last_published


class Progress:
    """Positions in the transactions, by shard; they only rise.

    `gather_seconds`: between two readings of what other workers, or applications, publish.
    """

    def __init__(self, runtime: Runtime, *, gather_seconds: float = 0.0) -> None:
        self._runtime, self._topic = runtime, runtime.topics.progress.name
        self._gather_seconds = gather_seconds
        self._ends = dict.fromkeys(range(runtime.settings.shards), 0)
        self._listeners: list[Callable[[int], None]] = []
        self._unpublished: dict[int, tuple[Message, int]] = {}
        self._publishing: dict[int, Coalescer] = {}
        self._loading: dict[int, asyncio.Task[None]] = {}
        self._following: asyncio.Task[None] | None = None

    def end(self, shard: int) -> int:
        """Every transaction of the shard before it is compared."""
        return self._ends[shard]

    def ends(self) -> list[int]:
        """`end` of every shard, now."""
        return list(self._ends.values())

    def on_move(self, listener: Callable[[int], None]) -> None:
        """Call `listener` with each shard that has moved on; it must not block."""
        self._listeners.append(listener)

    def publish(self, shard: int, progress: Message, end: int) -> None:
        """The shard is compared up to `end`: publish it, then count on it.

        In this order, so that whoever comes after a crash calls no less reconciled than was
        published as such, and no balance falls back. Of several that wait only the last counts.
        """
        self._unpublished[shard] = progress, end
        if shard not in self._publishing:
            self._publishing[shard] = Coalescer(
                partial(self._publish_waiting, shard), name=f"progress {shard}",
                fault=lambda error: self._runtime.fail(error, "publishing progress"),
            )  # fmt: skip
        self._publishing[shard].wake()

    async def _publish_waiting(self, shard: int) -> None:
        progress, end = self._unpublished.pop(shard)
        await self._runtime.log.append_absolute(self._topic, shard, [progress])
        self._move(shard, end)

    def _move(self, shard: int, end: int) -> None:
        if end > self._ends[shard]:
            self._ends[shard] = end
            for listener in self._listeners:
                listener(shard)

    async def loaded(self, generation: int) -> None:
        """Return once all is known that was published before this assignment of the group.

        What a shard's last owner published must be known before its stripes are called pending.
        """
        if generation not in self._loading:
            self._loading = {generation: asyncio.create_task(self._load())}
        await asyncio.shield(self._loading[generation])

    async def _load(self) -> None:
        log, codec = self._runtime.log, self._runtime.codec
        found = await waited_for(
            lambda: compared(log, codec, self._topic, self._ends), "read the progress of shards"
        )
        for shard, mark in found.items():
            self._move(shard, mark.end)

    async def follow(self) -> None:
        """Without end: receive the progress of other workers' shards."""
        membership = self._runtime.membership
        while True:
            await membership.rebalanced()
            if self._following is not None:
                self._following.cancel()
                await asyncio.wait([self._following])
            others = sorted(self._ends.keys() - membership.shards())
            self._following = asyncio.create_task(self._follow(others))

    async def _follow(self, shards: list[int]) -> None:
        async def follow() -> None:
            following = self._runtime.log.follow_last(
                self._topic, shards, gather_seconds=self._gather_seconds
            )
            async for records in following:
                if mark := last_published(self._runtime.codec, records):
                    self._move(records[-1].partition, mark.end)

        if shards:
            await self._runtime.guarded(
                waited_for(follow, "follow the progress of other workers' shards", endless=True),
                "following progress",
            )

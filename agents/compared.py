"""How far each shard is compared: said on the progress topic, and known all over this process.

A shard's owner knows it first; of other workers' shards the topic tells.
"""

import asyncio
from collections.abc import Callable

from agents.app import LedgerApp
from agents.messages import Message
from ledger.health.waiting import waited_for
from ledger.streaming.progress import compared, last_said


class Compared:
    """Positions in the transactions, by shard; they only rise."""

    def __init__(self, app: LedgerApp) -> None:
        self._app, self._topic = app, app.names.progress.name
        self._ends = dict.fromkeys(range(app.ledger.shards), 0)
        self._listeners: list[Callable[[int], None]] = []
        self._unsaid: dict[int, tuple[Message, int]] = {}
        self._saying: dict[int, asyncio.Task[None]] = {}
        self._loading: dict[int, asyncio.Task[None]] = {}
        self._following: asyncio.Task[None] | None = None

    def end(self, shard: int) -> int:
        """Every transaction of the shard before it is compared."""
        return self._ends[shard]

    def on_move(self, listener: Callable[[int], None]) -> None:
        """Call `listener` with each shard that has moved on; it must not block."""
        self._listeners.append(listener)

    def say(self, shard: int, progress: Message, end: int) -> None:
        """The shard is compared up to `end`: publish it, then count on it.

        In this order, so that whoever comes after a crash calls no less reconciled than was
        published as such, and no balance falls back. Of several that wait only the last counts.
        """
        self._unsaid[shard] = progress, end
        if shard not in self._saying or self._saying[shard].done():
            saying = self._app.guarded(self._say_on(shard), "publishing progress")
            self._saying[shard] = asyncio.ensure_future(saying)

    async def _say_on(self, shard: int) -> None:
        while shard in self._unsaid:
            progress, end = self._unsaid.pop(shard)
            await self._app.log_.append_absolute(self._topic, shard, [progress])
            self._move(shard, end)

    def _move(self, shard: int, end: int) -> None:
        if end > self._ends[shard]:
            self._ends[shard] = end
            for listener in self._listeners:
                listener(shard)

    async def loaded(self, generation: int) -> None:
        """Return once all is known that was said before this assignment of the group.

        What a shard's last owner said must be known before anybody calls its stripes pending.
        """
        if generation not in self._loading:
            self._loading = {generation: asyncio.create_task(self._load())}
        await asyncio.shield(self._loading[generation])

    async def _load(self) -> None:
        log_, codec = self._app.log_, self._app.codec
        found = await waited_for(
            lambda: compared(log_, codec, self._topic, self._ends), "read the progress of shards"
        )
        for shard, mark in found.items():
            self._move(shard, mark.end)

    async def follow(self) -> None:
        """Without end: what is said of the shards that are other workers'."""
        app = self._app
        while True:
            await app.rebalanced.wait()
            app.rebalanced.clear()
            if self._following is not None:
                self._following.cancel()
                await asyncio.wait([self._following])
            others = sorted(self._ends.keys() - app.shards())
            self._following = asyncio.create_task(self._follow(others))

    async def _follow(self, shards: list[int]) -> None:
        async def follow() -> None:
            async for records in self._app.log_.follow_last(self._topic, shards):
                if mark := last_said(self._app.codec, records):
                    self._move(records[-1].partition, mark.end)

        if shards:
            await self._app.guarded(
                waited_for(follow, "follow the progress of other workers' shards", endless=True),
                "following progress",
            )


def attach(app: LedgerApp) -> None:
    """Give `app` the positions, and the task that follows other workers'."""
    app.compared = Compared(app)

    @app.task
    async def follow_progress() -> None:
        await app.guarded(app.compared.follow(), "following progress")

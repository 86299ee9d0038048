"""Balances: publishes what every app may read, summed over the stripes of an account."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence

from faust.types import TP

from agents.progress import Progress
from agents.runtime.runs import Run
from agents.runtime.runtime import Runtime
from agents.summing import BalancesPart
from ledger.domain.covered import Compared
from ledger.domain.fold import Row
from ledger.domain.run import Stripe
from ledger.health.waiting import waited_for

READ_SECONDS = 1.0
"""How often the stripes topic is read where all of it was received from this process."""
COVERAGE_SECONDS = 0.02
"""Between two records of coverage of a partition."""
COVERED_EACH = 10.0
"""Seconds after which coverage is published again, and the topic is looked at: it may have been
made again, and a worker that was replaced may have written older records last, which compaction
keeps."""


class Balances:
    """The stage: sums and publishes the accounts that this process owns."""

    name = "balances"

    def __init__(self, runtime: Runtime, progress: Progress) -> None:
        self._runtime, self._progress = runtime, progress
        self.topic = runtime.topics.stripes
        self._parts: dict[int, BalancesPart] = {}
        self._has_all_shards = False
        self._uncovered = asyncio.Event()
        progress.on_move(self._moved)

    async def open(self, partition: int) -> int:
        """See Stage."""
        shards = self._runtime.membership.shards()
        self._has_all_shards = len(shards) == self._runtime.settings.shards
        if partition not in self._parts:
            self._parts[partition] = BalancesPart(self._runtime, partition, self._progress)
        return await self._parts[partition].open()

    async def take(self, run: Run) -> int:
        """See Stage."""
        part = self._parts[run.tp.partition]
        position = await part.take(run)
        if self._has_all_shards and part.goes_on_received():
            # Until `read_on` looks again: what comes was received from this process.
            self._runtime.membership.pause(run.tp, self)
        return position

    def clear(self) -> None:
        """See Stage: what is published is in the topic."""

    def receive(self, partition: int, shard: int, first: int, rows: Mapping[Stripe, Row]) -> None:
        """Take rows of this process, appended at offset `first`, ahead of reading them."""
        part = self._parts.get(partition)
        if part is not None:
            part.receive(shard, first, rows)

    async def read_on(self) -> None:
        """Without end: go on past what was received, in the log too.

        And read what somebody else may have appended: a worker that was replaced.
        """
        membership = self._runtime.membership
        while True:
            await asyncio.sleep(READ_SECONDS)
            for part in list(self._open_parts()):
                if self._has_all_shards and (position := await part.skip_received()):
                    await membership.skip(part.tp, position)
                await part.write_at_rest()
            for part in self._open_parts():
                membership.resume(part.tp, self)
            # Of what was opened since, and of what was read on.
            self._uncovered.set()

    async def note_late(self) -> None:
        """Without end: publish as pending what has waited longer than usual.

        And as reconciled what a shard compared while a part was being opened.
        """
        pause = max(self._runtime.settings.pending_after_ms / 2000, 0.01)
        while True:
            await asyncio.sleep(pause)
            for part in self._open_parts():
                part.note_late(time.monotonic())

    async def publish_coverage(self) -> None:
        """Without end: publish how much of each shard the balances contain."""
        membership = self._runtime.membership
        looked = 0.0
        while True:
            await self._uncovered.wait()
            self._uncovered.clear()
            # In this order: what is compared by then is in the stripes topic before its end.
            compared = Compared(self._progress.ends(), membership.shards())
            parts = list(self._open_parts())
            again = time.monotonic() - looked > COVERED_EACH
            looked = time.monotonic() if again else looked
            tps = [part.public_tp for part in parts if again]
            if len(compared.own) < len(compared.ends) or any(each.has_hole for each in parts):
                tps += [part.tp for part in parts]
            ends = await self._ends(tps) if tps else {}
            public_id = await self._public_id() if again else None
            await asyncio.gather(*(part.cover(compared, ends, public_id) for part in parts))
            await asyncio.sleep(COVERAGE_SECONDS)

    async def _ends(self, tps: Sequence[TP]) -> dict[TP, int]:
        return await waited_for(lambda: self._runtime.log.ends(tps), "look up where topics end")

    async def _public_id(self) -> str:
        topic = self._runtime.topics.balances.name
        return await waited_for(lambda: self._runtime.log.topic_id(topic), f"look at {topic}")

    def _open_parts(self) -> Iterator["BalancesPart"]:
        # Of a partition that was lost its new owner publishes.
        return (part for part in self._parts.values() if part.is_open())

    def _moved(self, shard: int) -> None:
        """The shard is compared further than before."""
        self._uncovered.set()
        for part in self._open_parts():
            part.wake_for(shard)

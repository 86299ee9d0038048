"""Reconciliation: folds decisions into stripes and compares them with what was posted."""

import asyncio

from agents.comparing import Comparing, ShardState
from agents.folding import Folding
from agents.progress import Progress
from agents.publisher import ShardPublisher, StripeReceiver
from agents.runtime.room import Room
from agents.runtime.runs import Run
from agents.runtime.runtime import Runtime
from ledger.domain.compare import Comparison
from ledger.domain.fold import Rows, ScalesMixed
from ledger.domain.run import Stripe
from ledger.domain.valid_run import ValidRun
from ledger.errors import InvariantBroken
from ledger.health.partitions import waiting_for
from ledger.health.waiting import waited_for
from ledger.streaming.decisions import require_known, valid_runs

OFFERED_BYTES = 8 * 1024 * 1024
"""Offered by intake and not folded yet; a byte here is about ten in memory."""
SCANNED_BEYOND = 250_000
"""Transactions decided and not compared, beyond which an opening shard looks at every row."""


class Reconciliation:
    """The stage: folds and compares the shards that this process owns."""

    name = "reconciliation"

    def __init__(self, runtime: Runtime, progress: Progress, receiver: StripeReceiver) -> None:
        self._runtime, self._progress, self._receiver = runtime, progress, receiver
        self.topic = runtime.topics.posted
        self._shards: dict[int, ReconciliationShard] = {}
        self._room = Room(OFFERED_BYTES)

    async def open(self, shard: int) -> int:
        """See Stage."""
        if shard not in self._shards:
            publisher = ShardPublisher(self._runtime, shard, self._receiver)
            self._shards[shard] = ReconciliationShard(
                self._runtime, shard, self._progress, publisher, self._room
            )
        return await self._shards[shard].open()

    async def take(self, run: Run) -> int:
        """See Stage."""
        return await self._shards[run.tp.partition].take(run)

    def clear(self) -> None:
        """See Stage."""
        for shard in self._shards.values():
            shard.clear()

    async def has_room(self, shard: int) -> None:
        """Return when more of the shard may be offered."""
        if shard in self._shards:
            await self._shards[shard].has_room()

    def offer(self, shard: int, run: ValidRun) -> None:
        """Fold a run of the shard soon; before it is open, it is read from the log later."""
        if shard in self._shards:
            self._shards[shard].offer(run)


class ReconciliationShard:
    """One shard: how it is opened, and what it takes from its two sides."""

    def __init__(
        self,
        runtime: Runtime,
        shard: int,
        progress: Progress,
        publisher: ShardPublisher,
        room: Room,
    ) -> None:
        self._runtime, self._shard = runtime, shard
        self._progress, self._publisher = progress, publisher
        self.state = ShardState(runtime, shard)
        self._comparing = Comparing(runtime, self.state, progress, publisher)
        self.folding = Folding(runtime, self.state, self._comparing, publisher, room)
        self._opened = asyncio.Event()

    async def open(self) -> int:
        """Restore the table and catch up with the decision log; where to read `posted` from."""
        state = self.state
        async with state.lock:
            state.is_stopped = False
            self.folding.open()
            self._opened.clear()
            try:
                await self._open()
            except BaseException as error:
                # A later void can cure mixed scales: `offer` sees it and opens the shard again.
                state.is_stopped = isinstance(error, ScalesMixed)
                self.clear()
                raise
            finally:
                self._opened.set()
            return state.comparison.position

    async def _open(self) -> None:
        shard, state, membership = self._shard, self.state, self._runtime.membership
        if shard not in membership.shards():
            raise InvariantBroken(
                f"Shard {shard} is decided by another worker than the one that compares it; the "
                "assignor should keep them together. Restart the workers."
            )
        await self._progress.loaded(membership.generation)
        state.mark = await waited_for(state.table.open, f"restore the stripes of shard {shard}")
        await waited_for(self._require_known, f"look for the decisions of shard {shard}")
        await waited_for(self._republish_uncompared, f"read what shard {shard} has not compared")
        await waited_for(self.folding.catch_up, f"fold the decisions of shard {shard}")
        state.comparison.caught_up()

    async def _require_known(self) -> None:
        runtime, topic = self._runtime, self._runtime.topics.decisions.name
        stream = self.state.mark.stream
        await require_known(runtime.log, runtime.codec, topic, self._shard, stream)

    async def _republish_uncompared(self) -> None:
        """Publish again the rows that are not compared, and compare from them on.

        A predecessor may have ended between writing rows and publishing them.
        """
        state = self.state
        rows = await self._uncompared()
        await self._publisher.stripes(rows, state.table.encode(rows))
        state.comparison = Comparison(state.mark, rows)
        self._comparing.publish_progress()

    async def _uncompared(self) -> Rows:
        """The rows beyond what was compared: those that the runs since then touch.

        Where these are many, as after a long time without the database, all rows are looked at.
        """
        runtime, state = self._runtime, self.state
        stream, compared = state.mark.stream, state.mark.compared
        end = compared.end
        if stream.end - end > SCANNED_BEYOND:
            held = state.table.scan()
        else:
            touched = dict[Stripe, None]()
            topic, until = runtime.topics.decisions.name, stream.decisions_offset
            start = compared.decisions_offset
            async for records in runtime.log.read(topic, self._shard, start, until):
                for run in valid_runs(runtime.codec, records, compared):
                    touched |= dict.fromkeys(run.stripes())
                    compared = run.after
            held = state.table.held(touched)
        return {stripe: row for stripe, row in held if row.live.offset >= end}

    def clear(self) -> None:
        """Take no more until it is opened again."""
        self.folding.clear()
        self._comparing.clear()

    async def take(self, run: Run) -> int:
        """Compare what was posted; returns the position up to which `posted` was read."""
        return await self._comparing.take(run)

    async def has_room(self) -> None:
        """Return when more may be offered."""
        if self.folding.accepts_offers:
            with waiting_for("have room in reconciliation"):
                # A table that takes long to restore must not use up the room of the others.
                await self._opened.wait()
                await self.folding.has_room()

    def offer(self, run: ValidRun) -> None:
        """Fold `run` soon."""
        if self.state.is_stopped and run.decision.voids:
            # What stopped it may be void now: opened again, it looks ahead.
            self._runtime.membership.reopen(self.state.tp)
        self.folding.offer(run)

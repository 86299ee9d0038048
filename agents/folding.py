"""Folding: what decided runs make of a shard's stripes, with its effects."""

import asyncio
import logging
from collections.abc import Iterable, Sequence

from agents.comparing import Comparing, ShardState
from agents.publisher import ShardPublisher
from agents.runtime.room import Room
from agents.runtime.runtime import Runtime
from ledger.domain.decide import is_sparse
from ledger.domain.fold import Folded, ScalesMixed, fold
from ledger.domain.portions import portions
from ledger.domain.valid_run import ValidRun, weight_of
from ledger.errors import InvariantBroken
from ledger.health.partitions import current_partition, waiting_for
from ledger.health.waiting import waited_for
from ledger.streaming.coalescer import Coalescer
from ledger.streaming.decisions import valid_runs, voids_ahead
from ledger.streaming.table import Overtaken

FOLD_BYTES = 8 * 1024 * 1024
"""Folded in one write: the rows must fit one record batch of the changelog."""

log = logging.getLogger(__name__)


class Folding:
    """One shard's folds: of what intake offers, and of what the decision log has beyond.

    Between `open` and `clear` it takes what is offered; what is decided before and after that is
    read from the log.
    """

    def __init__(
        self,
        runtime: Runtime,
        state: ShardState,
        comparing: Comparing,
        publisher: ShardPublisher,
        room: Room,
    ) -> None:
        self._runtime, self._state, self._comparing = runtime, state, comparing
        self._publisher, self._room = publisher, room
        self._offered: list[ValidRun] = []
        self._folding = Coalescer(self._fold_offered, name=f"fold {state.shard}")
        self._is_open = False

    def open(self) -> None:
        """From here on what is offered waits: what came before is in the log."""
        self._is_open = True

    def clear(self) -> None:
        """Take no more: what is decided from here on is read from the log at the next opening."""
        self._is_open = False
        self._give_back(self._take_offered())

    @property
    def accepts_offers(self) -> bool:
        """Whether what is offered is taken."""
        return self._is_open and not self._state.is_stopped

    def offer(self, run: ValidRun) -> None:
        """Fold `run` soon."""
        if self.accepts_offers:
            self._offered.append(run)
            self._room.take(run.weight)
            self._folding.wake()

    async def has_room(self) -> None:
        """Return when more may be offered."""
        await self._room.free()
        # What is decided meanwhile would only wait, in smaller runs than it need be.
        await self._folding.idle()

    def _take_offered(self) -> list[ValidRun]:
        runs, self._offered = self._offered, []
        return runs

    def _give_back(self, runs: Iterable[ValidRun]) -> None:
        self._room.give_back(sum(run.weight for run in runs))

    async def _fold_offered(self) -> None:
        # The task is of whoever has offered; what it waits for is this partition's.
        state, place = self._state, self._runtime.health.at(self._state.tp)
        current_partition.set(place)
        try:
            async with state.lock:
                runs = self._take_offered()
                try:
                    with waiting_for("fold decisions"):
                        await self._fold_in_order(runs)
                finally:
                    self._give_back(runs)
                await self._comparing.compare_posted()
        except InvariantBroken as error:
            state.is_stopped = True
            self._give_back(self._take_offered())
            place.stop(str(error))
            log.critical("Shard %s is not folded or compared any more: %s", state.shard, error)
        except Exception as error:
            if isinstance(error, Overtaken) and not self._is_open:
                # Others had it in a rebalance while this waited to be written: whoever opens it
                # next, this worker too, starts from what is there.
                log.warning("Shard %s: what was folded before a rebalance is dropped", state.shard)
                return
            self._runtime.fail(error, f"folding shard {state.shard}")

    async def _fold_in_order(self, runs: Sequence[ValidRun]) -> None:
        stream = self._state.mark.stream
        runs = [run for run in runs if run.decisions_offset >= stream.decisions_offset]
        if runs and runs[0].before != stream:
            # One before it was decided by another owner, or while this was opened.
            await waited_for(self.catch_up, f"fold shard {self._state.shard} from the log")
        else:
            await self._fold_all(runs)

    async def catch_up(self) -> None:
        """Fold what the decision log has beyond the table; the caller holds the lock."""
        state, runtime = self._state, self._runtime
        topic, start = runtime.topics.decisions.name, state.mark.stream.decisions_offset
        async for records in runtime.log.read(topic, state.shard, start):
            await self._fold_all(valid_runs(runtime.codec, records, state.mark.stream))

    async def _fold_all(self, runs: Iterable[ValidRun]) -> None:
        for portion in portions(runs, size=FOLD_BYTES, weight=weight_of):
            await self._fold(portion)

    async def _fold(self, runs: Sequence[ValidRun]) -> None:
        """Fold a portion of runs, with its effects in their order."""
        state = self._state
        # 1 Step: what the runs make of the rows.
        folded = await self._folded(runs)
        values = state.table.encode(folded.rows)
        mark = state.mark._replace(stream=runs[-1].after)
        # 2 Publish what was refused.
        await self._publisher.refusals(runs)
        # 3 Changelog and then this disk; beside it publish the stripes. A row is the same whoever
        #   folds these decisions, however often.
        await asyncio.gather(
            state.table.write(values, mark), self._publisher.stripes(folded.rows, values)
        )
        state.mark = mark
        # 4 Keep the rows decoded, unless later runs would hardly look for them.
        if any(is_sparse(run.content) for run in runs):
            state.table.forget()
        else:
            state.table.remember(folded.rows)
        # 5 Compare, where the database has posted that far already.
        for run, totals in zip(runs, folded.totals, strict=True):
            await self._comparing.move(state.comparison.add_run(run.after, totals))

    async def _folded(self, runs: Sequence[ValidRun]) -> Folded:
        state, runtime = self._state, self._runtime
        compared = state.mark.compared.end
        try:
            return fold(runs, state.table.rows, compared)
        except ScalesMixed:
            topic = runtime.topics.decisions.name
            ahead, _ = await voids_ahead(
                runtime.log, runtime.codec, topic, state.shard, state.mark.stream
            )
            void = [voided for _, voided in ahead.values()]
            return fold(runs, state.table.rows, compared, void)

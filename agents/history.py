"""History: folds what is reconciled into the read tables of the general ledger, exactly once."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from faust.types import TP

from agents.historian import FOLD_BYTES, Historian
from agents.progress import Progress
from agents.runtime.health import Behind
from agents.runtime.lanes import Gap
from agents.runtime.runs import Run
from agents.runtime.runtime import Runtime
from ledger.domain.portions import portions
from ledger.domain.run import Watermark
from ledger.domain.valid_run import ValidRun, weight_of
from ledger.errors import InvariantBroken, Unavailable
from ledger.gl.history.writing import HistoryFold, HistoryWriter
from ledger.gl.journal import JournalUnavailable, Superseded
from ledger.health.partitions import waiting_for
from ledger.health.waiting import waited_for
from ledger.streaming.decisions import require_known, valid_runs
from ledger.streaming.transactions import TransactionReader

LOOK_SECONDS = 2.0
"""Between two looks at where the database stands, so that history that was dropped, or restored
from a backup, is noticed though nothing is decided."""
TIDY_SECONDS = 1.0
"""Between two looks at what is to be counted in totals and made into blocks."""
REFUSED_SECONDS = 30.0
"""Until that is tried again where the database refuses it; readers add up lines meanwhile."""
PRODUCER = "producer"

log = logging.getLogger(__name__)


class HistoryStage:
    """The stage: folds the shards that this process owns, as far as they are reconciled."""

    name = "history"

    def __init__(self, runtime: Runtime, progress: Progress, writer: HistoryWriter) -> None:
        self._runtime, self._progress = runtime, progress
        self._historian = Historian(writer)
        self._reader = TransactionReader.of(runtime.settings, runtime.codec.ids["Transaction"])
        self.topic = runtime.topics.decisions
        self._shards: dict[int, HistoryShard] = {}
        progress.on_move(self._moved)

    async def open(self, shard: int) -> int:
        """See Stage."""
        if shard not in self._shards:
            self._shards[shard] = HistoryShard(
                self._runtime, shard, self._progress, self._historian, self._reader
            )
        return await self._shards[shard].open()

    async def take(self, run: Run) -> int:
        """See Stage."""
        return await self._shards[run.tp.partition].take(run)

    def clear(self) -> None:
        """See Stage: what is folded is in the database."""

    async def learn_schemas(self) -> None:
        """Once: look up the versions of the transactions' schema, before a record needs them."""
        await self._reader.learn()

    def behind(self, shard: int) -> Behind:
        """How far the shard's history is behind what is reconciled."""
        state = self._shards.get(shard)
        return state.behind() if state else Behind(0, 0.0)

    def _moved(self, shard: int) -> None:
        if shard in self._shards:
            self._shards[shard].reconciliation_moved()

    async def look_on(self) -> None:
        """Without end: look at where the database stands."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            known = {shard: state.idle_at() for shard, state in self._shards.items()}
            found = await waited_for(self._positions, "ask history's database")
            for shard, before in known.items():
                self._shards[shard].note_position(before, found.get(shard, Watermark()))

    async def _positions(self) -> Mapping[int, Watermark]:
        try:
            return await self._historian.positions()
        except InvariantBroken as error:
            # What it means for a shard its folds find out.
            raise JournalUnavailable(str(error)) from error

    async def tidy_on(self) -> None:
        """Without end: count lines in totals and make blocks, behind what is folded."""
        while True:
            await asyncio.sleep(TIDY_SECONDS)
            try:
                while await self._historian.tidy(self._owned()):
                    pass
            except Unavailable as error:
                # What it means for a shard its folds show; a long count is no answer that lacks.
                log.info("History's totals and blocks wait: %s", error)
            except InvariantBroken as error:
                log.error("History's totals and blocks are not made: %s", error)
                await asyncio.sleep(REFUSED_SECONDS)

    def _owned(self) -> list[int]:
        topic, membership = self.topic.name, self._runtime.membership
        return [shard for shard in self._shards if membership.is_open(TP(topic, shard))]


class HistoryShard:
    """One shard's history. All of its places are positions in the decision log.

    `_watermark`: up to where the database has folded. `_read`: up to where decisions were read.
    `_reconciled` is set when the shard's progress moves, then to `_reconciled_end`.
    `_is_refused`: the database did not say where it stands, and may be mended. `_was_level_at`:
    when history last had all that is reconciled, seconds since 1970.
    """

    def __init__(
        self,
        runtime: Runtime,
        shard: int,
        progress: Progress,
        historian: Historian,
        reader: TransactionReader,
    ) -> None:
        self._runtime, self._shard, self._progress = runtime, shard, progress
        self._historian, self._reader = historian, reader
        self._watermark = Watermark()
        self._read = 0
        self._lock = asyncio.Lock()
        self._is_refused = False
        self._reconciled = asyncio.Event()
        self._reconciled_end = 0
        self._was_level_at = 0.0

    def reconciliation_moved(self) -> None:
        """More of the shard is reconciled."""
        if self._watermark.end >= self._reconciled_end:
            self._was_level_at = time.time()
        self._reconciled_end = self._progress.end(self._shard)
        self._reconciled.set()

    def behind(self) -> Behind:
        """How far it is behind what is reconciled, and for how long."""
        mark, end = self._watermark, self._progress.end(self._shard)
        if mark.end >= end:
            return Behind(0, 0.0)
        since = max(mark.recorded_until / 1e6, self._was_level_at)
        return Behind(end - mark.end, max(time.time() - since, 0.0))

    async def open(self) -> int:
        """Where the database has folded to, which is where to read decisions from."""
        async with self._lock:
            self._is_refused = True
            found = await waited_for(
                self._historian.positions, f"read where history of shard {self._shard} stands"
            )
            self._is_refused = False
            self._watermark = found.get(self._shard, Watermark())
            await waited_for(self._require_known, f"look for shard {self._shard}'s decisions")
            self._read = self._watermark.decisions_offset
            return self._read

    async def _require_known(self) -> None:
        runtime, topic = self._runtime, self._runtime.topics.decisions.name
        await require_known(runtime.log, runtime.codec, topic, self._shard, self._watermark)

    def idle_at(self) -> Watermark | None:
        """How far it is folded; None while a fold is under way, which looks for itself."""
        return None if self._lock.locked() else self._watermark

    def note_position(self, known: Watermark | None, found: Watermark) -> None:
        """Notice a database that has another state than the one in which this shard left it.

        `found`: the position that it has, where this shard left it at `known`. The shard is opened
        again then, and folds from where the database stands; also where it could not be opened.
        """
        if known is None or known != self.idle_at():
            return
        tp = TP(self._runtime.topics.decisions.name, self._shard)
        if self._is_refused:
            # Its tables were not what they must be, and were put right since.
            self._runtime.membership.reopen(tp)
        elif found != known and self._runtime.membership.reopen(tp):
            log.warning(
                "Shard %s: history is at decision offset %s and was left at %s: it was dropped or "
                "restored to another state. Folding goes on from there.",
                self._shard, found.decisions_offset, known.decisions_offset,
            )  # fmt: skip

    async def take(self, run: Run) -> int:
        """Fold the run's decisions, each as soon as it is reconciled."""
        async with self._lock:
            self._require_next(run.start)
            reached = self._watermark
            waiting = list(valid_runs(self._runtime.codec, run.records, reached))
        while waiting:
            # 1 Wait until it is reconciled: history is never ahead of what was compared.
            ready = await self._ready(waiting)
            waiting = waiting[len(ready) :]
            async with self._lock:
                for part in portions(ready, size=FOLD_BYTES, weight=weight_of):
                    self._require_at(reached)
                    reached = await self._fold(part)
        async with self._lock:
            self._require_at(reached)
            self._read = max(run.end, self._read)
            return self._read

    def _require_next(self, position: int) -> None:
        if position > self._read:
            raise Gap(self._read)

    def _require_at(self, reached: Watermark) -> None:
        """Raises Gap where the shard was opened meanwhile, and is somewhere else."""
        if self._watermark != reached:
            raise Gap(self._read)

    async def _ready(self, runs: Sequence[ValidRun]) -> list[ValidRun]:
        """The first of the runs, those that are reconciled; waits until there are some."""
        with waiting_for(f"see shard {self._shard} reconciled"):
            while True:
                self._reconciled.clear()
                end = self._progress.end(self._shard)
                if ready := [run for run in runs if run.after.end <= end]:
                    return ready
                await self._reconciled.wait()

    async def _fold(self, runs: Sequence[ValidRun]) -> Watermark:
        """Fold a portion of runs, with its effects in their order."""
        after = runs[-1].after
        # 2 Read who produced what was refused: the only text that the run does not have.
        producers = await waited_for(lambda: self._producers(runs), "look up schemas")
        fold = HistoryFold(self._shard, self._watermark, runs, producers)
        weight = sum(run.weight for run in runs)
        # 3 Commit in the database: lines, refusals and position in one transaction.
        self._watermark = await waited_for(
            lambda: self._fold_once(fold, weight), f"fold history of shard {self._shard}"
        )
        # 4 Go on; from the database's position, where another worker has folded.
        self._read = self._watermark.decisions_offset
        self._require_at(after)
        return after

    async def _fold_once(self, fold: HistoryFold, weight: int) -> Watermark:
        """Fold; where the outcome is unknown, or another worker folded, ask the database."""
        try:
            await self._historian.fold(fold, weight)
        except (JournalUnavailable, Superseded) as error:
            found = (await self._historian.positions()).get(self._shard, Watermark())
            if found == fold.before:
                raise JournalUnavailable(f"Nothing was folded: {error}") from error
            return found
        return fold.runs[-1].after

    async def _producers(self, runs: Sequence[ValidRun]) -> dict[int, str]:
        refused = [each for run in runs for each in run.outcomes.refused if each.value]
        if not refused:
            return {}
        await self._reader.prepare([each.value for each in refused])
        found = {each.offset: self._reader.decode(each.value) for each in refused}
        return {
            offset: str(draft["metadata"].get(PRODUCER, ""))
            for offset, draft in found.items()
            if isinstance(draft, dict)
        }

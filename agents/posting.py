"""Posting: posts decided runs to the general ledger and publishes the totals that it has then."""

import asyncio
import logging
from collections.abc import Sequence
from operator import attrgetter

from faust.types import TP

from agents.poster import POST_BYTES, Poster
from agents.runtime.lanes import Gap
from agents.runtime.runs import Run
from agents.runtime.runtime import Runtime
from ledger.domain.portions import portions
from ledger.domain.run import Voided, Watermark
from ledger.domain.valid_run import ValidRun, weight_of
from ledger.errors import InvariantBroken, Unavailable
from ledger.gl.books import Snapshot
from ledger.gl.journal import (
    Journal,
    JournalUnavailable,
    NotPostable,
    Posting,
    PostingRun,
    Superseded,
)
from ledger.health.waiting import waited_for
from ledger.streaming.decisions import (
    require_known,
    valid_runs,
    voids_ahead,
)
from ledger.streaming.messages import posted_parts
from ledger.streaming.progress import compared

LOOK_SECONDS = 2.0
"""Between two looks at where the database stands, so that one that hangs, or was restored from a
backup, is noticed though nothing is decided. A restore need not cut connections."""

log = logging.getLogger(__name__)


class PostingStage:
    """The stage: posts the shards that this process owns."""

    name = "posting"

    def __init__(self, runtime: Runtime, journal: Journal) -> None:
        self._runtime, self._poster = runtime, Poster(journal)
        self.topic = runtime.topics.decisions
        self._shards: dict[int, PostingShard] = {}

    async def open(self, shard: int) -> int:
        """See Stage."""
        if shard not in self._shards:
            self._shards[shard] = PostingShard(self._runtime, shard, self._poster)
        return await self._shards[shard].open()

    async def take(self, run: Run) -> int:
        """See Stage."""
        return await self._shards[run.tp.partition].take(run)

    def clear(self) -> None:
        """See Stage: what is posted is in the database."""

    async def look_on(self) -> None:
        """Without end: look at where the database stands, and for voids that free a shard."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            known = {shard: state.idle_at() for shard, state in self._shards.items()}
            found = await self._poster.look()
            for shard, before in known.items():
                self._shards[shard].note_position(before, found.get(shard, Watermark()))
                await self._shards[shard].look_for_voids()


class PostingShard:
    """One shard's postings. All of its places are positions in the decision log.

    `_watermark`: up to where the database has posted. `_read`: up to where decisions were read.
    `_published`: up to where totals were published. `_silent_until`: before it nothing is
    published, for a void is still ahead. `_looked`: up to where voids were looked for, and `_voids`
    what was found. `_is_stuck`: a decision could not be posted. `_must_reopen`: a void may free it.
    """

    def __init__(self, runtime: Runtime, shard: int, poster: Poster) -> None:
        self._runtime, self._shard, self._poster = runtime, shard, poster
        self._watermark = Watermark()
        self._read = 0
        self._lock = asyncio.Lock()
        self._published = Watermark()
        self._silent_until = 0
        self._is_stuck = self._must_reopen = False
        self._voids: dict[int, tuple[int, Voided]] = {}
        self._looked = Watermark()

    async def open(self) -> int:
        """Publish again what was posted and perhaps not published; where to read decisions from."""
        async with self._lock:
            known = await waited_for(self._compared, f"read shard {self._shard}'s progress")
            snapshot = await self._snapshot(known.end)
            self._watermark = snapshot.watermark
            await self._require_known(snapshot.watermark)
            self._silent_until = await waited_for(
                self._left_out_until, f"read what shard {self._shard} left out"
            )
            # A restored database posts again what was compared before, and that is published again.
            self._published = min(known, snapshot.watermark, key=attrgetter("decisions_offset"))
            self._is_stuck = self._must_reopen = False
            self._voids, self._looked = {}, snapshot.watermark
            if snapshot.watermark.decisions_offset > known.decisions_offset:
                await self._publish(snapshot)
            self._read = self._watermark.decisions_offset
            return self._read

    def idle_at(self) -> Watermark | None:
        """How far it is posted; None while a posting is under way, which looks for itself."""
        return None if self._lock.locked() else self._watermark

    def note_position(self, known: Watermark | None, found: Watermark) -> None:
        """Notice a database that was restored to another state, though nothing is decided.

        `found`: the position that it has, where this shard left it at `known`. The shard is opened
        again then, and posts from where the database stands; also where it could not be opened.
        """
        if known is None or known != self.idle_at():
            return
        tp = TP(self._runtime.topics.decisions.name, self._shard)
        if found != known and self._runtime.membership.reopen(tp):
            log.warning(
                "Shard %s: the general ledger is at decision offset %s and was left at %s: it was "
                "restored to another state. Posting goes on from there.",
                self._shard,
                found.decisions_offset,
                known.decisions_offset,
            )

    async def _require_known(self, posted: Watermark) -> None:
        await waited_for(
            lambda: require_known(
                self._runtime.log,
                self._runtime.codec,
                self._runtime.topics.decisions.name,
                self._shard,
                posted,
            ),
            f"look for what is posted in shard {self._shard}'s decisions",
        )

    async def take(self, run: Run) -> int:
        """Post the run's decisions and publish the totals after them."""
        async with self._lock:
            if run.start > self._read:
                raise Gap(self._read)
            runs = valid_runs(self._runtime.codec, run.records, self._watermark)
            for part in portions(runs, size=POST_BYTES, weight=weight_of):
                await self._post_or_leave_out(part)
            self._read = max(run.end, self._read)
            return self._read

    async def _post_or_leave_out(self, runs: Sequence[ValidRun]) -> None:
        while True:
            try:
                await self._post(runs)
            except NotPostable:
                if not await self._look_ahead_for_voids():
                    self._is_stuck = True
                    raise
            else:
                return

    async def look_for_voids(self) -> None:
        """Open the shard again where a decision that it could not post was voided since."""
        tp = TP(self._runtime.topics.decisions.name, self._shard)
        if self._is_stuck and not self._lock.locked() and self._runtime.membership.is_assigned(tp):
            try:
                self._must_reopen |= await self._look_ahead_for_voids()
            except (Unavailable, InvariantBroken) as error:
                log.info("Voids of shard %s could not be looked for: %s", self._shard, error)
                return
            if self._must_reopen and self._runtime.membership.reopen(tp):
                log.warning("Shard %s: what could not be posted may be void: it goes on",
                            self._shard)  # fmt: skip

    async def _look_ahead_for_voids(self) -> bool:
        """Read what the log ahead voids; returns whether any of it is new."""
        log_, topic = self._runtime.log, self._runtime.topics.decisions.name
        # What was looked through is not again: a shard that is stuck for long has much before it.
        start = max(self._looked, self._watermark, key=attrgetter("decisions_offset"))
        ahead, self._looked = await waited_for(
            lambda: voids_ahead(log_, self._runtime.codec, topic, self._shard, start),
            f"look for voids in shard {self._shard}'s decisions",
        )
        is_new = not ahead.keys() <= self._voids.keys()
        self._voids |= ahead
        return is_new

    async def _left_out_until(self) -> int:
        """The decision offset after the last run that takes back what the database lacks."""
        voids = await self._poster.voids(self._shard)
        return max((each.decisions_offset + 1 for each in voids), default=0)

    def _posting_run(self, run: ValidRun) -> PostingRun:
        decision = run.decision
        left_out = [
            void for offset, void in self._voids.items() if decision.start <= offset < decision.end
        ]
        voided = run.voided if decision.voids else ()
        return PostingRun(decision, run.decisions_offset, run.content, voided, left_out)

    async def _post(self, runs: Sequence[ValidRun]) -> None:
        """Post a portion of runs, with its effects in their order."""
        before, after = self._watermark, runs[-1].after
        # 1 Step: what is left out, because it is void further on in the log.
        postings = [self._posting_run(run) for run in runs]
        left_out = [at + 1 for run in postings for at, _ in run.left_out]
        posting, weight = Posting(self._shard, before, postings), sum(run.weight for run in runs)
        # 2 Commit in the database: entries, stripes and position in one transaction.
        snapshot = await waited_for(
            lambda: self._post_once(posting, weight, after), f"post to shard {self._shard}"
        )
        self._silent_until = max([self._silent_until, *left_out])
        was_silent = self._published.decisions_offset != before.decisions_offset
        self._watermark = snapshot.watermark
        # After a silence, of everything since: one posting's totals are of its own stripes.
        if was_silent and self._watermark.decisions_offset >= self._silent_until:
            snapshot = await self._snapshot(self._published.end)
        # 3 Publish the totals that the database has now.
        await self._publish(snapshot)
        # 4 Go on; from the database's position, where another worker has posted.
        if self._watermark != after:
            self._read = self._watermark.decisions_offset
            raise Gap(self._read)

    async def _post_once(self, posting: Posting, weight: int, after: Watermark) -> Snapshot:
        """Post; where the outcome is unknown, or another worker posted, ask the database."""
        try:
            return Snapshot(after, await self._poster.post(posting, weight))
        except (JournalUnavailable, Superseded) as error:
            snapshot = await self._poster.snapshot(self._shard, posting.before.end)
            # Another may have posted it, and left out other things.
            until = await self._left_out_until()
            self._silent_until = max(self._silent_until, until)
            if snapshot.watermark == posting.before:
                raise JournalUnavailable(f"Nothing was posted: {error}") from error
            return snapshot

    async def _snapshot(self, since: int) -> Snapshot:
        return await waited_for(
            lambda: self._poster.snapshot(self._shard, since),
            f"read shard {self._shard} of the general ledger",
        )

    async def _compared(self) -> Watermark:
        """How far the shard is compared, as published on the progress topic."""
        topic = self._runtime.topics.progress.name
        found = await compared(self._runtime.log, self._runtime.codec, topic, [self._shard])
        return found.get(self._shard, Watermark())

    async def _publish(self, snapshot: Snapshot) -> None:
        """The database's totals of everything posted since this was last published.

        Nothing between a run of which something was left out and the run that voids that: there
        reconciliation has counted it.
        """
        watermark, totals = snapshot
        if watermark.decisions_offset < self._silent_until:
            return
        parts = posted_parts(
            self._runtime.codec, self._shard, self._published.decisions_offset, watermark, totals
        )
        for part in parts:
            await self._runtime.log.append_absolute(
                self._runtime.topics.posted.name, self._shard, [part]
            )
        self._published = watermark

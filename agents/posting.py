"""Posting: puts decided runs into the general ledger and says what the ledger makes of them."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TypeVar

from faust.types import TP

from agents.runtime.lanes import Gap
from agents.runtime.runs import Run
from agents.runtime.runtime import Runtime
from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Voided, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.errors import InvariantBroken, Unavailable
from ledger.gl.journal import (
    Journal,
    JournalUnavailable,
    NotPostable,
    PostedVoid,
    Posting,
    PostingRun,
    Prepared,
    Snapshot,
    Superseded,
)
from ledger.health.waiting import waited_for
from ledger.streaming.decisions import (
    portions,
    require_known,
    valid_runs,
    voids_ahead,
)
from ledger.streaming.messages import posted_parts
from ledger.streaming.progress import compared

T = TypeVar("T")
POST_BYTES = 8 * 1024 * 1024
"""Posted in one database transaction and said in one message, when there is much to catch up."""
LOOKED_EACH = 2.0
"""Seconds between two looks at where the database stands, so that one that hangs, or was put back
from a backup, is noticed though nothing is decided. A restore need not cut connections: a lost one
would not do."""

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
            await asyncio.sleep(LOOKED_EACH)
            known = {shard: state.rests_at() for shard, state in self._shards.items()}
            found = await self._poster.look()
            for shard, before in known.items():
                self._shards[shard].look(before, found.get(shard, Watermark()))
                await self._shards[shard].look_for_voids()


@dataclass(slots=True)
class _Waiting:
    """A posting that is to be made; `weight` in bytes."""

    prepared: Prepared
    weight: int
    answer: asyncio.Future[Mapping[Stripe, Totals]]


class Poster:
    """The journal of this process, on a thread of its own.

    What comes while a database transaction is under way is prepared meanwhile, and goes into the
    next one together: a commit costs the same whatever is in it.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        # The journal is made for one thread; a database that hangs must not hold up the loop.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")
        self._waiting: deque[_Waiting] = deque()
        self._alone: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    async def post(self, posting: Posting, weight: int) -> Mapping[Stripe, Totals]:
        """As Journal.post. What fails in company is tried alone the next time."""
        prepared = self._journal.prepare(posting)
        answer: asyncio.Future[Mapping[Stripe, Totals]] = asyncio.Future()
        self._waiting.append(_Waiting(prepared, weight, answer))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._post_waiting(), name="post")
        return await answer

    async def snapshot(self, shard: int, since: int) -> Snapshot:
        """As Journal.snapshot."""
        return await self._call(lambda: self._journal.snapshot(shard, since))

    async def voids(self, shard: int) -> Sequence[PostedVoid]:
        """As Journal.voids."""
        return await self._call(lambda: self._journal.voids(shard))

    async def look(self) -> Mapping[int, Watermark]:
        """As Journal.watermarks; waits, visibly, for a database that does not answer."""
        return await waited_for(self._watermarks, "ask the general ledger's database")

    async def _watermarks(self) -> Mapping[int, Watermark]:
        try:
            return await self._call(self._journal.watermarks)
        except InvariantBroken as error:
            # What it means for a shard its postings find out.
            raise JournalUnavailable(str(error)) from error

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _post_waiting(self) -> None:
        while self._waiting:
            together = self._take()
            postings = [each.prepared for each in together]
            shards = {each.posting.shard for each in postings}
            try:
                found = await self._call(partial(self._journal.post_all, postings))
            except Exception as error:
                # Whose fault it was shows when each is alone.
                self._alone |= shards
                for each in together:
                    if not each.answer.done():
                        each.answer.set_exception(
                            JournalUnavailable(f"Not posted together with others: {error}")
                            if len(together) > 1
                            else error
                        )
                continue
            self._alone -= shards
            for each, totals in zip(together, found, strict=True):
                if not each.answer.done():
                    each.answer.set_result(totals)

    def _take(self) -> list[_Waiting]:
        """Those that go together next: at least one, of POST_BYTES at most."""
        waiting = self._waiting
        together = [waiting.popleft()]
        size = together[0].weight
        while (
            waiting
            and not {together[0].prepared.posting.shard, waiting[0].prepared.posting.shard}
            & self._alone
            and size + waiting[0].weight <= POST_BYTES
        ):
            size += waiting[0].weight
            together.append(waiting.popleft())
        return together


class PostingShard:
    """One shard's postings; the database says how far they are."""

    def __init__(self, runtime: Runtime, shard: int, poster: Poster) -> None:
        self._runtime, self._shard, self._poster = runtime, shard, poster
        self._watermark = Watermark()
        self._read = 0
        self._lock = asyncio.Lock()
        self._said = Watermark()
        self._silent_until = 0
        self._is_stuck = self._may_go_on = False
        self._voids: dict[int, tuple[int, Voided]] = {}
        self._looked = Watermark()

    async def open(self) -> int:
        """Say again what was posted and perhaps not said; returns where to go on."""
        async with self._lock:
            known = await waited_for(self._compared, f"read shard {self._shard}'s progress")
            snapshot = await self._snapshot(known.end)
            self._watermark = snapshot.watermark
            await self._require_known(snapshot.watermark)
            self._silent_until = await waited_for(
                self._left_out_until, f"read what shard {self._shard} left out"
            )
            # A database that was put back says again what was compared before.
            self._said = min(known, snapshot.watermark, key=attrgetter("decisions_offset"))
            self._is_stuck = self._may_go_on = False
            self._voids, self._looked = {}, snapshot.watermark
            if snapshot.watermark.decisions_offset > known.decisions_offset:
                await self._say(snapshot)
            self._read = self._watermark.decisions_offset
            return self._read

    def rests_at(self) -> Watermark | None:
        """How far it is posted; None while a posting is under way, which looks for itself."""
        return None if self._lock.locked() else self._watermark

    def look(self, known: Watermark | None, found: Watermark) -> None:
        """Notice a database that was put back to another state, though nothing is decided.

        `found` in it, after it had rested at `known`. It is opened again then, and posts from where
        the database stands; also where it could not be opened.
        """
        if known is None or known != self.rests_at():
            return
        tp = TP(self._runtime.topics.decisions.name, self._shard)
        if found != known and self._runtime.membership.reopen(tp):
            log.warning(
                "Shard %s: the general ledger is at decision offset %s and was left at %s: it was "
                "put back to another state. Posting goes on from there.",
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
        """Post the run's decisions and say what came of it."""
        async with self._lock:
            if run.start > self._read:
                raise Gap(self._read)
            runs = valid_runs(self._runtime.codec, run.records, self._watermark)
            for part in portions(runs, POST_BYTES):
                await self._post_or_leave_out(part)
            self._read = max(run.end, self._read)
            return self._read

    async def _post_or_leave_out(self, runs: Sequence[ValidRun]) -> None:
        while True:
            try:
                await self._post(runs)
            except NotPostable:
                if not await self._found_voids():
                    self._is_stuck = True
                    raise
            else:
                return

    async def look_for_voids(self) -> None:
        """Open the shard again where a decision that it could not post was voided since."""
        tp = TP(self._runtime.topics.decisions.name, self._shard)
        if self._is_stuck and not self._lock.locked() and self._runtime.membership.is_assigned(tp):
            try:
                self._may_go_on |= await self._found_voids()
            except (Unavailable, InvariantBroken) as error:
                log.info("Voids of shard %s could not be looked for: %s", self._shard, error)
                return
            if self._may_go_on and self._runtime.membership.reopen(tp):
                log.warning("Shard %s: what could not be posted may be void: it goes on",
                            self._shard)  # fmt: skip

    async def _found_voids(self) -> bool:
        """Whether the log ahead voids something that is not known to be void yet."""
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
        before, after = self._watermark, runs[-1].after
        postings = [self._posting_run(run) for run in runs]
        left_out = [at + 1 for run in postings for at, _ in run.left_out]
        posting, weight = Posting(self._shard, before, postings), sum(run.weight for run in runs)
        snapshot = await waited_for(
            lambda: self._try(posting, weight, after), f"post to shard {self._shard}"
        )
        self._silent_until = max([self._silent_until, *left_out])
        was_silent = self._said.decisions_offset != before.decisions_offset
        self._watermark = snapshot.watermark
        if was_silent and self._watermark.decisions_offset >= self._silent_until:
            snapshot = await self._snapshot(self._said.end)
        await self._say(snapshot)
        if self._watermark != after:
            self._read = self._watermark.decisions_offset
            raise Gap(self._read)

    async def _try(self, posting: Posting, weight: int, after: Watermark) -> Snapshot:
        """Post; when it is not known what became of that, or another did, ask the database."""
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
        """How far reconciliation has compared, by what it published."""
        topic = self._runtime.topics.progress.name
        found = await compared(self._runtime.log, self._runtime.codec, topic, [self._shard])
        return found.get(self._shard, Watermark())

    async def _say(self, snapshot: Snapshot) -> None:
        """What the general ledger makes of everything since it last said so.

        Nothing between a run of which something was left out and the run that voids that: there
        reconciliation has counted it.
        """
        watermark, totals = snapshot
        if watermark.decisions_offset < self._silent_until:
            return
        parts = posted_parts(
            self._runtime.codec, self._shard, self._said.decisions_offset, watermark, totals
        )
        for part in parts:
            await self._runtime.log.append_absolute(
                self._runtime.topics.posted.name, self._shard, [part]
            )
        self._said = watermark

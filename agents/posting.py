"""Posting: puts decided runs into the general ledger and says what the ledger makes of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from agents.app import LedgerApp, take_runs
from agents.lanes import Gap
from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.journal import Journal, JournalUnavailable, PostingRun, Snapshot, Superseded
from ledger.streaming.decisions import ValidRun, portions, valid_runs
from ledger.streaming.delivery import Run
from ledger.streaming.waiting import waited_for

T = TypeVar("T")
POST_BYTES = 8 * 1024 * 1024
"""Posted in one database transaction and said in one message, when there is much to catch up."""


def attach(app: LedgerApp, journal: Journal) -> None:
    """Give `app` the posting agent."""
    # The journal is made for one thread; a database that hangs must not hold up the loop.
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    def call(work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(thread, work)

    shards: dict[int, PostingShard] = {}

    async def opened(shard: int) -> int:
        if shard not in shards:
            shards[shard] = PostingShard(app, shard, journal, call)
        return await shards[shard].open()

    async def take(run: Run) -> int:
        return await shards[run.tp.partition].take(run)

    take_runs(app, app.names.decisions, name="posting", opened=opened, take=take)


class PostingShard:
    """One shard's postings; the database says how far they are."""

    def __init__(
        self, app: LedgerApp, shard: int, journal: Journal, call: Callable[[Any], Awaitable[Any]]
    ) -> None:
        self._app, self._shard, self._journal, self._call = app, shard, journal, call
        self._watermark = Watermark()
        self._read = 0
        self._lock = asyncio.Lock()

    async def open(self) -> int:
        """Say again what was posted and perhaps not said; returns where to go on."""
        async with self._lock:
            compared = await waited_for(self._compared, f"read shard {self._shard}'s progress")
            snapshot = await self._snapshot(compared.end)
            if snapshot.watermark.decisions_offset > compared.decisions_offset:
                await self._say(compared.decisions_offset, snapshot)
            self._watermark = snapshot.watermark
            self._read = self._watermark.decisions_offset
            return self._read

    async def take(self, run: Run) -> int:
        """Post the run's decisions and say what came of it."""
        async with self._lock:
            if run.start > self._read:
                raise Gap(self._read)
            runs = valid_runs(self._app.codec, run.records, self._watermark)
            for part in portions(runs, POST_BYTES):
                await self._post(part)
            self._read = max(run.end, self._read)
            return self._read

    async def _post(self, runs: Sequence[ValidRun]) -> None:
        before, after = self._watermark, runs[-1].after
        postings = [PostingRun(run.decision, run.decisions_offset, run.content) for run in runs]
        snapshot = await waited_for(
            lambda: self._try(before, postings, after), f"post to shard {self._shard}"
        )
        await self._say(before.decisions_offset, snapshot)
        self._watermark = snapshot.watermark
        if self._watermark != after:
            self._read = self._watermark.decisions_offset
            raise Gap(self._read)

    async def _try(
        self, before: Watermark, postings: Sequence[PostingRun], after: Watermark
    ) -> Snapshot:
        """Post; when it is not known what became of that, or another did, ask the database."""
        try:
            totals = await self._call(lambda: self._journal.post(self._shard, before, postings))
            return Snapshot(after, totals)
        except (JournalUnavailable, Superseded) as error:
            snapshot: Snapshot = await self._call(
                lambda: self._journal.snapshot(self._shard, before.end)
            )
            if snapshot.watermark == before:
                raise JournalUnavailable(f"Nothing was posted: {error}") from error
            return snapshot

    async def _snapshot(self, since: int) -> Snapshot:
        snapshot: Snapshot = await waited_for(
            lambda: self._call(lambda: self._journal.snapshot(self._shard, since)),
            f"read shard {self._shard} of the general ledger",
        )
        return snapshot

    async def _compared(self) -> Watermark:
        """How far reconciliation has compared, by what it published."""
        record = await self._app.log_.last(self._app.names.progress.name, self._shard)
        if record is None:
            return Watermark()
        row = self._app.codec.decode("Progress", record.value or b"")
        return Watermark(row["decisions_offset"], row["end"], row["digest"], row["recorded_until"])

    async def _say(self, after: int, snapshot: Snapshot) -> None:
        watermark, totals = snapshot
        row = {
            "shard": self._shard,
            "after": after,
            "decisions_offset": watermark.decisions_offset,
            "end": watermark.end,
            "digest": watermark.digest,
        } | _columns(totals)
        value = self._app.codec.encode("Posted", row)
        await self._app.log_.append_absolute(
            self._app.names.posted.name, self._shard, [(None, value)]
        )


def _columns(totals: dict[Stripe, Totals]) -> dict[str, list[Any]]:
    return {
        "accounts": [stripe.account for stripe in totals],
        "currencies": [stripe.currency for stripe in totals],
        "debits": [str(each.debits) for each in totals.values()],
        "credits": [str(each.credits) for each in totals.values()],
        "entries": [each.entries for each in totals.values()],
        "offsets": [each.offset for each in totals.values()],
    }

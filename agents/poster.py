"""The journal of a process, on a thread of its own: what waits is posted together."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.errors import InvariantBroken
from ledger.gl.books import Snapshot
from ledger.gl.journal import Journal, JournalUnavailable, Posting, Prepared
from ledger.gl.rows import PostedVoid
from ledger.health.waiting import waited_for
from ledger.streaming.coalescer import Coalescer

T = TypeVar("T")
POST_BYTES = 8 * 1024 * 1024
"""Posted in one database transaction, when there is much to catch up."""


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
        self._posting = Coalescer(self._post_waiting, name="post")

    async def post(self, posting: Posting, weight: int) -> Mapping[Stripe, Totals]:
        """As Journal.post. If a combined posting fails, each of its shards is tried alone next."""
        prepared = self._journal.prepare(posting)
        answer: asyncio.Future[Mapping[Stripe, Totals]] = asyncio.Future()
        self._waiting.append(_Waiting(prepared, weight, answer))
        self._posting.wake()
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
                # Whose fault it was shows when each is tried alone.
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

"""History's database, on a thread of its own: what waits of any shard is folded together."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from ledger.domain.run import Watermark
from ledger.gl.history.writing import HistoryFold, HistoryWriter
from ledger.gl.journal import JournalUnavailable
from ledger.streaming.coalescer import Coalescer

T = TypeVar("T")
FOLD_BYTES = 8 * 1024 * 1024
"""Folded in one database transaction, when there is much to catch up."""
FOLD_EACH_SECONDS = 0.2
"""From one database transaction to the next: nobody waits for history as for a balance, and few
large ones cost a fraction of many small ones."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    """A fold that is to be made; `weight` in bytes."""

    fold: HistoryFold
    weight: int
    answer: asyncio.Future[None] = field(default_factory=asyncio.Future)


class Historian:
    """The writer of history in this process, on a thread of its own; tidying has another."""

    def __init__(self, writer: HistoryWriter) -> None:
        self._writer = writer
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history")
        self._aside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="history's totals")
        self._waiting: deque[_Waiting] = deque()
        self._alone: set[int] = set()
        self._folding = Coalescer(self._fold_waiting, name="fold history")
        self._folded_at = 0.0

    async def fold(self, fold: HistoryFold, weight: int) -> None:
        """As HistoryWriter.fold. If folds of several shards fail, each is tried alone next."""
        waiting = _Waiting(fold, weight)
        self._waiting.append(waiting)
        self._folding.wake()
        await waiting.answer

    async def positions(self) -> Mapping[int, Watermark]:
        """As HistoryWriter.positions."""
        return await self._call(self._writer.positions)

    async def tidy(self, shards: Sequence[int]) -> bool:
        """As HistoryWriter.tidy; it is idle where nothing was folded for some seconds."""
        idle = asyncio.get_running_loop().time() - self._folded_at > 10 * FOLD_EACH_SECONDS
        tidy = partial(self._writer.tidy, shards, idle=idle)
        return await asyncio.get_running_loop().run_in_executor(self._aside, tidy)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _fold_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            await asyncio.sleep(self._folded_at + FOLD_EACH_SECONDS - loop.time())
            self._folded_at = loop.time()
            together = self._take()
            folds = [each.fold for each in together]
            shards = {each.shard for each in folds}
            try:
                await self._call(partial(self._writer.fold, folds))
            except Exception as error:
                # Whose fault it was shows when each is tried alone.
                self._alone |= shards
                found = error if len(together) == 1 else JournalUnavailable(
                    f"Not folded together with others: {error}"
                )  # fmt: skip
                for each in together:
                    if not each.answer.done():
                        each.answer.set_exception(found)
                continue
            self._alone -= shards
            for each in together:
                if not each.answer.done():
                    each.answer.set_result(None)

    def _take(self) -> list[_Waiting]:
        """Those that go together next, each of another shard: at least one, of FOLD_BYTES at most.

        A shard whose last attempt failed goes alone.
        """
        waiting = self._waiting
        together = [waiting.popleft()]
        shards, size = {together[0].fold.shard}, together[0].weight
        while (
            waiting
            and not {*shards, waiting[0].fold.shard} & self._alone
            and waiting[0].fold.shard not in shards
            and size + waiting[0].weight <= FOLD_BYTES
        ):
            size += waiting[0].weight
            shards.add(waiting[0].fold.shard)
            together.append(waiting.popleft())
        return together

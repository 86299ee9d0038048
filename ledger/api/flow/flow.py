"""Follows the ledger from where it is: what becomes of transactions, for whoever waits for one.

Started where each shard is compared, so whatever is published afterwards is seen to be decided. It
reads four topics as they grow, decodes a run only if somebody waits for a transaction of it, and
keeps the newest runs as they are in the log. Kafka's absence is waited for.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NamedTuple, Self

from ledger.api.flow.fate import UNDECIDED, Fate, Level, Reached
from ledger.api.flow.runs import HeldRun, RecentRuns
from ledger.api.flow.shard import ShardFlow
from ledger.api.flow.topics import FlowTopics
from ledger.api.positions import Position
from ledger.client.outcomes import Outcome
from ledger.client.resource import cancel
from ledger.domain.run import Content, Outcomes, Refusal
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings

PUBLISHED = 50_000
"""Ids published by this process that are kept with their positions: 10 MB."""
SEARCHED_BYTES = 512 * 1024
"""Of runs searched for an id before others have their turn: 1 ms at most."""
AGAIN_SECONDS = 1.0
"""Between two attempts to follow."""

log = logging.getLogger(__name__)


class ShardReached(NamedTuple):
    """How far a shard is, by what its topics have said."""

    decided: Reached
    posted: Reached
    compared: Reached


class Flow:
    """Open it as an async context manager, for the life of the process, on one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._recent = RecentRuns()
        self._published: OrderedDict[str, Position] = OrderedDict()
        self._asked: dict[str, set[asyncio.Future[Position | None]]] = {}
        self._topics: FlowTopics | None = None
        self._opened = asyncio.Event()
        self._why: str | None = "it has not started yet"

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="flow")
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel(self._task)

    def problem(self) -> str | None:
        """Why it does not follow, or lacks what there was when it began; None if it follows."""
        return self._why

    # What is asked.

    async def wait(
        self,
        position: Position,
        level: Level,
        timeout: float,  # noqa: ASYNC109 - past it there is an answer too
    ) -> Fate:
        """Wait, `timeout` seconds at most, until it is decided, posted or reconciled, or refused.

        Returns what became of it by then.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._opened.wait()
                shard = self.shard(position.shard)
                waiter = shard.begin(position.offset, level)
                try:
                    await waiter.done
                finally:
                    shard.end(waiter)
        except TimeoutError:
            return self.fate(position)
        return shard.fate(waiter)

    def release(self) -> None:
        """Let all who wait go on with what is known by now: the process stops."""
        for shard in self._topics.shards if self._topics else ():
            shard.release()

    def fate(self, position: Position) -> Fate:
        """What is known to have become of it by now."""
        if self._topics is None:
            return Fate(position.shard, position.offset, UNDECIDED)
        shard = self.shard(position.shard)
        waiter = shard.begin(position.offset, Level.RECONCILED)
        shard.end(waiter)
        return shard.fate(waiter)

    def published(self, transaction_id: str, position: Position) -> None:
        """Remember where this process has just published an id."""
        self._published[transaction_id] = Position(position.shard, position.offset)
        self._published.move_to_end(transaction_id)
        if len(self._published) > PUBLISHED:
            self._published.popitem(last=False)

    async def find(
        self,
        transaction_id: str,
        timeout: float = 0,  # noqa: ASYNC109 - past it there is an answer too
    ) -> Position | None:
        """Where an id was published by this process, or accepted lately; with a wait for it.

        The wait ends with None where it is refused. None says nothing of ids that were accepted
        before the runs that are kept.
        """
        known = self._published.get(transaction_id)
        if known is not None and self.fate(known).outcome is not Outcome.REFUSED:
            return known
        # Before the search: of a run that comes during it the search knows nothing.
        future: asyncio.Future[Position | None] = asyncio.get_running_loop().create_future()
        asked = self._asked.setdefault(transaction_id, set())
        asked.add(future)
        try:
            found = await self.accepted(transaction_id)
            if found is not None or timeout <= 0:
                return found
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            return None
        finally:
            asked.discard(future)
            if not asked:
                self._asked.pop(transaction_id, None)

    async def accepted(self, transaction_id: str) -> Position | None:
        """Where an id was accepted, in the runs that are kept."""
        encoded = transaction_id.encode("utf-8", "surrogatepass")
        async for shard, run in self.runs_with(encoded):
            offset = run.offset_of(transaction_id)
            if offset is not None:
                return Position(shard, offset)
        return None

    async def refusal(self, transaction_id: str) -> tuple[int, Refusal] | None:
        """The newest refusal of an id, with its shard, in the runs that are kept."""
        encoded = transaction_id.encode("utf-8", "surrogatepass")
        async for shard, run in self._runs(lambda each: encoded in each.outcomes):
            if (found := run.refusal_of(transaction_id)) is not None:
                return shard, found
        return None

    async def is_refused_here(
        self,
        transaction_id: str,
        timeout: float,  # noqa: ASYNC109 - past it there is an answer too
    ) -> bool:
        """Whether what this process published last under an id is refused, once it is decided."""
        position = self._published.get(transaction_id)
        if position is None:
            return False
        fate = await self.wait(position, Level.DECIDED, timeout)
        return fate.outcome is Outcome.REFUSED

    async def runs_with(self, text: bytes) -> AsyncIterator[tuple[int, HeldRun]]:
        """The runs that are kept with `text` in their content, the newest first, with the shard."""
        async for found in self._runs(lambda each: text in each.content):
            yield found

    async def _runs(
        self, is_wanted: Callable[[HeldRun], bool]
    ) -> AsyncIterator[tuple[int, HeldRun]]:
        searched = 0
        for shard, run in self._recent.newest_first():
            if is_wanted(run):
                yield shard, run
            searched += run.weight
            if searched > SEARCHED_BYTES:
                searched = 0
                await asyncio.sleep(0)

    def known_from(self, shard: int) -> int:
        """The position from which on the shard's runs are kept."""
        return self._recent.first(shard, self.shard(shard).decided.end)

    def run_of(self, position: Position) -> HeldRun | None:
        """The run that decided a transaction, if it is kept."""
        return self._recent.at(position.shard, position.offset)

    def reached(self) -> Mapping[int, ShardReached]:
        """By shard how far it is; empty before the first start."""
        if self._topics is None:
            return {}
        return {
            each.shard: ShardReached(
                Reached(each.decided.end, each.decided_at), each.posted.last, each.compared.last
            )
            for each in self._topics.shards
        }

    @property
    def waiting(self) -> int:
        """How many wait for a transaction."""
        return sum(each.waiting for each in self._topics.shards) if self._topics else 0

    def shard(self, shard: int) -> ShardFlow:
        """One shard. Raises Unavailable before it is followed, LedgerError where there is none."""
        if self._topics is None:
            raise Unavailable(f"The ledger is not followed: {self._why}")
        if not 0 <= shard < len(self._topics.shards):
            raise LedgerError(f"There is no shard {shard}: the position is another ledger's.")
        return self._topics.shards[shard]

    # What is followed.

    async def _run(self) -> None:
        while True:
            try:
                if self._topics is None:
                    self._topics = await self._begin()
                    self._opened.set()
                await self._topics.follow(self._caught_up)
            except* Unavailable as group:
                self._stopped(group)
            except* Exception as group:
                # Such as a topic that was cut or made anew: go on from where the ledger is now.
                self._stopped(group)
                self._forget()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _begin(self) -> FlowTopics:
        return await FlowTopics.begin(self._settings, self._recent, self._take_run)

    def _caught_up(self) -> None:
        self._why = None

    def _stopped(self, group: BaseExceptionGroup[Exception]) -> None:
        self._why = str(group.exceptions[0]) or type(group.exceptions[0]).__name__
        foreseen = isinstance(group.exceptions[0], LedgerError)
        log.warning("The flow stopped and starts again: %s", self._why,
                    exc_info=None if foreseen else group)  # fmt: skip

    def _forget(self) -> None:
        self._topics = None
        self._opened.clear()
        self._recent = RecentRuns()

    def _take_run(self, shard: int, run: HeldRun) -> None:
        """Whoever waits for an id that was accepted, or refused, goes on."""
        if not self._asked:
            return
        content = Content.decode(run.content)
        for name, offset in zip(content.transaction_ids, content.offsets, strict=True):
            for future in self._asked.get(name, ()):
                if not future.done():
                    future.set_result(Position(shard, offset))
        for refused in Outcomes.decode(run.outcomes).refused:
            for future in self._asked.get(refused.transaction_id or "", ()):
                if not future.done():
                    future.set_result(None)

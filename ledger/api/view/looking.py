"""Looks up where `ledger.balances` ends, and whether it is still the topic that the copy is of.

The ends let coverage count, and tell how old the copy is.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from aiokafka import TopicPartition

from ledger.api.view.copy import BalanceCopy
from ledger.api.view.reached import Reached
from ledger.clock import now
from ledger.errors import LedgerError, Unavailable
from ledger.streaming.log import Log
from ledger.streaming.topic_ids import topic_id
from ledger.streaming.topic_look import TopicAdmin

PAUSE_SECONDS = 0.005
"""Between two lookups: claims of coverage that come meanwhile are looked up together."""
LEISURE_SECONDS = 0.05
"""The same while nobody waits for what a claim will say."""
BEAT_SECONDS = 1.0
"""How often ends are looked up where no coverage asks for it."""
NOTED_EACH = 5.0
"""Seconds after which coverage and age are written, which a crash may forget."""
SHORT_SECONDS = 5.0
"""For which a partition must end before what was read of it; only then it counts as cut."""
STUCK_SECONDS = 10.0
"""Without progress for so long, though records are left, the readers are made anew."""


class CopyLost(LedgerError):
    """The copy must be read again: the topic is another one, or lacks what was to be read next."""


class Looking:
    """Looks without end, for the copy of the topic `balances`."""

    def __init__(self, balances: str, copy: BalanceCopy, reached: Reached) -> None:
        self._balances, self._copy, self._reached = balances, copy, reached
        self._wanted = asyncio.Event()
        self._damage: Exception | None = None
        self._noted_at = 0.0

    def wake(self) -> None:
        """A claim of coverage waits for a lookup."""
        self._wanted.set()

    def note_damage(self, error: Exception) -> None:
        """A reader of the copy has found it damaged."""
        self._damage = error
        self._wanted.set()
        self._reached.hurried.set()

    async def run(self, admin: TopicAdmin, lookup: Log) -> None:
        """Look up ends for coverage, and once a second for the age of the copy."""
        beat, moved, positions = 0.0, time.monotonic(), self._positions()
        while True:
            await self._wait_until(beat + BEAT_SECONDS)
            if self._damage is not None:
                damage, self._damage = self._damage, None
                raise damage
            is_beat = time.monotonic() >= beat + BEAT_SECONDS
            moment, asked_at = now(), self._positions()
            self._reached.ask()
            try:
                ends = await self._ends(admin, lookup, is_beat=is_beat)
            except Unavailable as error:
                self._reached.fail(str(error))
                await asyncio.sleep(BEAT_SECONDS)
            else:
                self._note_ends(ends, asked_at, moment if is_beat else None)
            if is_beat:
                beat = time.monotonic()
                self._note()
            if positions != (positions := self._positions()) or not self._reached.state()[3]:
                moved = time.monotonic()
            elif time.monotonic() - moved > STUCK_SECONDS:
                raise Unavailable(f"Nothing has come of {self._balances} for {STUCK_SECONDS:.0f} s")
            await self._pause()

    async def _pause(self) -> None:
        await asyncio.sleep(PAUSE_SECONDS)
        self._reached.hurried.clear()
        if self._damage is None and not self._reached.is_waited_for:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEISURE_SECONDS):
                    await self._reached.hurried.wait()

    async def _ends(
        self, admin: TopicAdmin, lookup: Log, *, is_beat: bool
    ) -> dict[tuple[str, int], int]:
        """Where the partitions end. At a beat they are those of the topic that the copy is of."""
        tps = [(self._balances, each) for each in range(len(self._reached.parts))]
        if not is_beat:
            return await lookup.ends(tps)
        # Before: a topic that is gone is told at once, and not when the lookup has timed out.
        await self._require_same(admin)
        ends = await lookup.ends(tps)
        await self._require_same(admin)
        return ends

    async def _wait_until(self, moment: float) -> None:
        """Until a claim of coverage waits for a lookup, or a time."""
        if not self._reached.needs_ends:
            self._wanted.clear()
            try:
                async with asyncio.timeout(max(moment - time.monotonic(), 0)):
                    await self._wanted.wait()
            except TimeoutError:
                return

    def _positions(self) -> list[int]:
        return [part.position for part in self._reached.parts]

    async def _require_same(self, admin: TopicAdmin) -> None:
        origin = await topic_id(admin, self._balances) or self._balances
        if origin != self._copy.origin:
            raise CopyLost(f"{self._balances} was deleted and made again.")

    def _note_ends(
        self, ends: Mapping[tuple[str, int], int], asked_at: Sequence[int], moment: int | None
    ) -> None:
        """`asked_at`: positions when the ends were asked for; reading has gone on meanwhile."""
        for number in range(len(self._reached.parts)):
            end = ends.get((self._balances, number))
            if end is None:
                self._reached.fail(f"Kafka has no {self._balances}[{number}]: it was deleted.")
                return
            if end < asked_at[number]:
                tp = TopicPartition(self._balances, number)
                # Whether it was cut is decided where following begins again.
                raise Unavailable(cut(tp, asked_at[number], 0, end))
        self._reached.note_ends([ends[self._balances, each] for each in range(len(ends))], moment)

    def _note(self) -> None:
        """Now and then, what a restart begins with."""
        if time.monotonic() - self._noted_at > NOTED_EACH:
            self._noted_at = time.monotonic()
            self.note()

    def note(self) -> None:
        """Write coverage and age into the copy."""
        self._copy.note_coverage(self._reached.unnoted())
        if self._reached.as_of is not None:
            self._copy.as_of = self._reached.as_of


def cut(tp: TopicPartition, position: int, first: int, end: int) -> str:
    """Why a partition that holds [first, end) cannot be read on from `position`."""
    where = f"{tp.topic}[{tp.partition}]"
    if position > end:
        return f"{where} ends at {end}, and {position} had been read: it was cut or made again."
    return f"{where} begins at {first}, and {position} was to be read next: it was cut."

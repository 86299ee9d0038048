"""Reads `ledger.balances` and `ledger.coverage` into the copy, and goes on whatever happens.

Nothing here ends with Kafka or the registry: the copy answers meanwhile, and `Reached` says why
nothing comes.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from ledger.api.view.copy import BalanceCopy, Change, Place
from ledger.api.view.coverage import Claim
from ledger.api.view.reached import Reached
from ledger.api.view.taking import BALANCE, COVERAGE, Decoding, Foreign
from ledger.client.partitions import ledger_partitions
from ledger.client.records import Records
from ledger.clock import now
from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming.log import FOLLOW_WAIT_MS, Log
from ledger.streaming.reader import Reader
from ledger.streaming.store import is_damage, is_disk_trouble
from ledger.streaming.topic_ids import topic_id
from ledger.streaming.topic_look import TopicAdmin
from ledger.streaming.topics import topics

SLICE = 200
"""Records taken in one turn of the event loop, about 3 ms."""
GATHER_SECONDS = 0.005
"""Between two fetches, and between two lookups of ends: what comes meanwhile is taken together."""
BEAT_SECONDS = 1.0
"""How often ends are looked up where no coverage asks for it."""
NOTED_EACH = 5.0
"""Seconds after which coverage and age are written, which a crash may forget."""
STUCK_SECONDS = 10.0
"""Without progress for so long, though records are left, the readers are made anew."""
AGAIN_SECONDS = (0.2, 5.0)
"""The first pause after a failure, and the longest one."""

Changed = Callable[[int, int, Sequence[Change]], None]
"""Gets a partition, the offset up to which it is read with it, and what changed."""
log = logging.getLogger(__name__)


class TopicLost(LedgerError):
    """The topic no longer has what the copy was to read next, or is another one."""


class Following:
    """What keeps the copy of a ledger up to date; `run` has no end."""

    def __init__(
        self, settings: Settings, copy: BalanceCopy, reached: Reached, changed: Changed
    ) -> None:
        self._settings, self._copy, self._reached, self._changed = settings, copy, reached, changed
        names = topics(settings)
        self._balances, self._coverage = names.balances.name, names.coverage.name
        self._uncovered = asyncio.Event()
        self._noted_at = 0.0

    async def run(self) -> None:
        """Follow, and begin again after whatever ended it."""
        pause = AGAIN_SECONDS[0]
        while True:
            began = time.monotonic()
            try:
                await self._follow()
            except TopicLost as error:
                self._lose(str(error))
            except Exception as error:
                self._fail(error)
            if time.monotonic() - began > AGAIN_SECONDS[1]:
                pause = AGAIN_SECONDS[0]
            await asyncio.sleep(pause)
            pause = min(2 * pause, AGAIN_SECONDS[1])

    def _fail(self, error: Exception) -> None:
        known = isinstance(error, LedgerError) or is_disk_trouble(error) or is_damage(error)
        log.log(
            logging.WARNING if known else logging.ERROR,
            "The balance view does not go on: %s", error, exc_info=None if known else error,
        )  # fmt: skip
        self._reached.fail(str(error) or type(error).__name__)
        if is_damage(error):
            self._lose(f"The copy on this disk was damaged ({error}).")

    def _lose(self, why: str) -> None:
        """Remove the copy: `_follow` reads the topic from where it begins."""
        log.error("The balance view is read again. %s", why)
        self._copy.begin("", {})
        self._reached.begin((), {}, None)
        self._reached.lost, self._reached.trouble = why, None

    async def _follow(self) -> None:
        count = (await ledger_partitions(self._settings, self._balances))[self._balances]
        records = await Records.of(self._settings, BALANCE, COVERAGE)
        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(TopicAdmin(self._settings))
            reader = await stack.enter_async_context(
                Reader(self._settings, fetch_wait_ms=FOLLOW_WAIT_MS)
            )
            lookup = Log(self._settings)
            stack.push_async_callback(lookup.close)
            await self._begin(admin, reader, count)
            decoding = Decoding(records, count)
            await _first_to_end(self._read_on(reader, decoding), self._look_on(admin, lookup))

    # Beginning.

    async def _begin(self, admin: TopicAdmin, reader: Reader, count: int) -> None:
        """Read on where the copy is, or from where the topic begins."""
        origin = await topic_id(admin, self._balances) or self._balances
        tps = [TopicPartition(self._balances, each) for each in range(count)]
        bounds = await reader.bounds(tps)
        places = self._copy.places()
        if self._copy.origin and (why := self._why_lost(origin, places, bounds)):
            raise TopicLost(why)
        if not self._copy.origin:
            self._copy.begin(origin, {tp.partition: first for tp, (first, _) in bounds.items()})
            places = self._copy.places()
        positions = [places[each].position for each in range(count)]
        self._starts = [places[each].start for each in range(count)]
        self._reached.begin(positions, self._copy.coverage(), self._copy.as_of)
        self._reached.note_ends([bounds[tp][1] for tp in tps], None)
        claims = await reader.bounds(TopicPartition(self._coverage, each) for each in range(count))
        starts = {tp: first for tp, (first, _) in claims.items()}
        reader.assign(dict(zip(tps, positions, strict=True)) | starts)

    def _why_lost(
        self,
        origin: str,
        places: Mapping[int, Place],
        bounds: Mapping[TopicPartition, tuple[int, int]],
    ) -> str | None:
        if self._copy.origin != origin:
            return f"{self._balances} was deleted and made again since it was read last."
        if places.keys() != {tp.partition for tp in bounds}:
            return f"{self._balances} had {len(places)} partitions when it was read last."
        for tp, (first, end) in bounds.items():
            position = places[tp.partition].position
            if not first <= position <= end:
                return _cut(tp, position, first, end)
        return None

    # Reading.

    async def _read_on(self, reader: Reader, decoding: Decoding) -> None:
        while True:
            try:
                fetched = await reader.lists()
            except InvariantBroken as error:
                raise TopicLost(str(error)) from error
            positions = await reader.positions()
            for tp, records in fetched.items():
                if tp.topic == self._coverage:
                    await self._hear(records, decoding)
                else:
                    await self._take(tp.partition, records, positions[tp], decoding)
            for tp, position in positions.items():
                if tp.topic == self._balances:
                    self._reached.parts[tp.partition].reach(position)
            self._reached.note_moved()
            if fetched:
                await asyncio.sleep(GATHER_SECONDS)

    async def _take(
        self, partition: int, records: list[ConsumerRecord], position: int, decoding: Decoding
    ) -> None:
        await decoding.learn(BALANCE, records)
        for at in range(0, len(records), SLICE):
            part = records[at : at + SLICE]
            after = records[at + SLICE].offset if at + SLICE < len(records) else position
            found = [decoding.change_in(record) for record in part]
            changes = [each for each in found if not isinstance(each, Foreign)]
            self._note_foreign(part, found)
            place = Place(self._starts[partition], after)
            changed = self._copy.take(partition, changes, place)
            if changed:
                self._changed(partition, after, changed)
            self._reached.parts[partition].reach(after)
            # Requests have their turn.
            await asyncio.sleep(0)

    async def _hear(self, records: list[ConsumerRecord], decoding: Decoding) -> None:
        await decoding.learn(COVERAGE, records)
        found = [decoding.claim_in(record) for record in records]
        self._note_foreign(records, found)
        for record, claim in zip(records, found, strict=True):
            # What was said of a topic that is gone says nothing of this one.
            if isinstance(claim, Claim) and claim.is_about(
                self._copy.origin, self._starts[record.partition]
            ):
                self._reached.parts[record.partition].coverage.hear(claim)
        if self._reached.needs_ends:
            self._uncovered.set()

    def _note_foreign(self, records: Sequence[ConsumerRecord], found: Sequence[object]) -> None:
        foreign = [
            (record, each)
            for record, each in zip(records, found, strict=True)
            if isinstance(each, Foreign)
        ]
        if foreign:
            self._reached.foreign += len(foreign)
            record, why = foreign[0]
            log.error(
                "Left out %d records of %s[%d] that no worker wrote; the first, at %d: %s.",
                len(foreign), record.topic, record.partition, record.offset, why.why,
            )  # fmt: skip

    # Looking where the topic ends.

    async def _look_on(self, admin: TopicAdmin, lookup: Log) -> None:
        """Look up ends for coverage, and once a second for the age of the copy."""
        beat, moved, positions = 0.0, time.monotonic(), self._positions()
        while True:
            await self._wait_until(beat + BEAT_SECONDS)
            is_beat = time.monotonic() >= beat + BEAT_SECONDS
            moment = now()
            self._reached.ask()
            try:
                ends = await self._ends(admin, lookup, is_beat=is_beat)
            except Unavailable as error:
                self._reached.fail(str(error))
                await asyncio.sleep(BEAT_SECONDS)
            else:
                self._note_ends(ends, moment if is_beat else None)
            if is_beat:
                beat = time.monotonic()
                self._note()
            if positions != (positions := self._positions()) or not self._reached.state()[3]:
                moved = time.monotonic()
            elif time.monotonic() - moved > STUCK_SECONDS:
                raise Unavailable(f"Nothing has come of {self._balances} for {STUCK_SECONDS:.0f} s")
            await asyncio.sleep(GATHER_SECONDS)

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
            self._uncovered.clear()
            try:
                async with asyncio.timeout(max(moment - time.monotonic(), 0)):
                    await self._uncovered.wait()
            except TimeoutError:
                return

    def _positions(self) -> list[int]:
        return [part.position for part in self._reached.parts]

    async def _require_same(self, admin: TopicAdmin) -> None:
        origin = await topic_id(admin, self._balances) or self._balances
        if origin != self._copy.origin:
            raise TopicLost(f"{self._balances} was deleted and made again.")

    def _note_ends(self, ends: Mapping[tuple[str, int], int], moment: int | None) -> None:
        for number, part in enumerate(self._reached.parts):
            end = ends.get((self._balances, number))
            if end is None:
                self._reached.fail(f"Kafka has no {self._balances}[{number}]: it was deleted.")
                return
            if end < part.position:
                tp = TopicPartition(self._balances, number)
                raise TopicLost(_cut(tp, part.position, 0, end))
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


def _cut(tp: TopicPartition, position: int, first: int, end: int) -> str:
    where = f"{tp.topic}[{tp.partition}]"
    if position > end:
        return f"{where} ends at {end}, and {position} had been read: it was cut or made again."
    return f"{where} begins at {first}, and {position} was to be read next: it was cut."


async def _first_to_end(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them together until one ends, and raise what ended it."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

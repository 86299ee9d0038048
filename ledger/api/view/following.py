"""Reads `ledger.balances` and `ledger.coverage` into the copy, and goes on whatever happens.

Nothing here ends with Kafka or the registry: the copy answers meanwhile, and `Reached` says why
nothing comes.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from ledger.api.view.copy import BalanceCopy
from ledger.api.view.coverage import Claim
from ledger.api.view.kept import Change, Place
from ledger.api.view.looking import SHORT_SECONDS, CopyLost, Looking, cut
from ledger.api.view.reached import Reached
from ledger.api.view.taking import BALANCE, COVERAGE, Decoding, Foreign
from ledger.client.partitions import ledger_partitions
from ledger.client.records import Records
from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming.log import FOLLOW_WAIT_MS, Log
from ledger.streaming.reader import Reader
from ledger.streaming.store import is_damage, is_disk_trouble
from ledger.streaming.topic_ids import topic_id
from ledger.streaming.topic_look import TopicAdmin
from ledger.streaming.topics import topics

PORTION = 1_000
"""Records that aiokafka hands on at once, and decodes in one turn of the event loop, about 5 ms.

It may have fetched megabytes of each partition, of which the decoding takes seconds.
"""
SLICE = 200
"""Records taken in one turn of the event loop, about 3 ms."""
GATHER_SECONDS = 0.01
"""Between two fetches: what comes meanwhile is taken together."""
AGAIN_SECONDS = (0.2, 5.0)
"""The first pause after a failure, and the longest one."""

CLOSE_SECONDS = 2.0
"""For a client of Kafka to stop; then it is left."""

Changed = Callable[[int, int, Sequence[Change]], None]
"""Gets a partition, the offset up to which it is read with it, and what changed."""
log = logging.getLogger(__name__)


class Following:
    """What keeps the copy of a ledger up to date; `run` has no end."""

    def __init__(
        self, settings: Settings, copy: BalanceCopy, reached: Reached, changed: Changed
    ) -> None:
        self._settings, self._copy, self._reached, self._changed = settings, copy, reached, changed
        names = topics(settings)
        self._balances, self._coverage = names.balances.name, names.coverage.name
        self._looking = Looking(self._balances, copy, reached)
        self.note, self.note_damage = self._looking.note, self._looking.note_damage
        self._short_since: float | None = None

    async def run(self) -> None:
        """Follow, and begin again after whatever ended it."""
        pause = AGAIN_SECONDS[0]
        while True:
            began = time.monotonic()
            try:
                await self._follow()
            except Exception as error:
                self._fail(error)
            if time.monotonic() - began > AGAIN_SECONDS[1]:
                pause = AGAIN_SECONDS[0]
            await asyncio.sleep(pause)
            pause = min(2 * pause, AGAIN_SECONDS[1])

    def _fail(self, error: Exception) -> None:
        if is_damage(error):
            error = CopyLost(f"The copy on this disk was damaged ({error}).")
        if isinstance(error, CopyLost):
            self._lose(str(error))
            return
        known = isinstance(error, LedgerError) or is_disk_trouble(error)
        log.log(
            logging.WARNING if known else logging.ERROR,
            "The balance view does not go on: %s", error, exc_info=None if known else error,
        )  # fmt: skip
        self._reached.fail(str(error) or type(error).__name__)

    def _lose(self, why: str) -> None:
        """Remove the copy: `_follow` reads the topic from where it begins."""
        log.error("The balance view is read again. %s", why)
        self._reached.begin((), {}, None)
        self._reached.lost, self._reached.trouble = why, None
        try:
            self._copy.begin("", {})
        except Exception as error:
            # The disk; the next attempt to follow finds no copy and tries this again.
            log.exception("The copy could not be begun anew")
            self._reached.fail(str(error))

    async def _follow(self) -> None:
        count = (await ledger_partitions(self._settings, self._balances))[self._balances]
        records = await Records.of(self._settings, BALANCE, COVERAGE)
        async with AsyncExitStack() as stack:
            admin = await stack.enter_async_context(TopicAdmin(self._settings))
            reader = await Reader(self._settings, fetch_wait_ms=FOLLOW_WAIT_MS).__aenter__()
            stack.push_async_callback(_closed, reader)
            lookup = Log(self._settings)
            stack.push_async_callback(_closed, lookup)
            await self._begin(admin, reader, count)
            decoding = Decoding(records, count)
            await _first_to_end(self._read_on(reader, decoding), self._looking.run(admin, lookup))

    # Beginning.

    async def _begin(self, admin: TopicAdmin, reader: Reader, count: int) -> None:
        """Read on where the copy is, or from where the topic begins."""
        origin = await topic_id(admin, self._balances) or self._balances
        tps = [TopicPartition(self._balances, each) for each in range(count)]
        bounds = await reader.bounds(tps)
        if not self._copy.origin:
            self._copy.begin(origin, {tp.partition: first for tp, (first, _) in bounds.items()})
        places = self._copy.places()
        self._require_whole(origin, places, bounds)
        # What is known by now is to be known again.
        self.note()
        positions = [places[each].position for each in range(count)]
        self._starts = [places[each].start for each in range(count)]
        self._reached.begin(positions, self._copy.coverage(), self._copy.as_of)
        self._reached.note_ends([bounds[tp][1] for tp in tps], None)
        claims = await reader.bounds(TopicPartition(self._coverage, each) for each in range(count))
        starts = {tp: first for tp, (first, _) in claims.items()}
        reader.assign(dict(zip(tps, positions, strict=True)) | starts)

    def _require_whole(
        self,
        origin: str,
        places: Mapping[int, Place],
        bounds: Mapping[TopicPartition, tuple[int, int]],
    ) -> None:
        """Raises CopyLost where the topic lacks what is to be read next.

        Raises Unavailable as long as that may be what a new leader answers.
        """
        why = self._why_lost(origin, places, bounds)
        ends_early = self._copy.origin == origin and any(
            tp.partition in places and places[tp.partition].position > end
            for tp, (_, end) in bounds.items()
        )
        if not ends_early:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = time.monotonic()
        if why is None:
            return
        if self._short_since is None or time.monotonic() - self._short_since >= SHORT_SECONDS:
            self._short_since = None
            raise CopyLost(why)
        # A leader that was just elected gives the end that it knows all followers have, which is
        # behind for a moment (KIP-207), and one that was deposed may answer until it knows. Whoever
        # leads by then is asked over new connections.
        raise Unavailable(f"{why} That counts once it was so for {SHORT_SECONDS:.0f} s.")

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
                return cut(tp, position, first, end)
        return None

    # Reading.

    async def _read_on(self, reader: Reader, decoding: Decoding) -> None:
        while True:
            try:
                fetched = await reader.lists(most=PORTION)
            except InvariantBroken as error:
                # Whether it was cut is decided where following begins again.
                raise Unavailable(str(error)) from error
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
            if 0 < sum(map(len, fetched.values())) < PORTION:
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
            self._looking.wake()

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


async def _first_to_end(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run them together until one ends, and raise what ended it."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)


async def end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: aiokafka swallows a cancellation while it stops."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=CLOSE_SECONDS)
    for task in tasks:
        # So that asyncio does not report it; whoever waited for it has it.
        if not task.cancelled():
            task.exception()


async def _closed(client: Reader | Log) -> None:
    """Close a client of Kafka, or leave it: aiokafka may wait for what never comes."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close()
    except TimeoutError:
        log.info("A client of Kafka did not stop within %.0f s, and is left.", CLOSE_SECONDS)

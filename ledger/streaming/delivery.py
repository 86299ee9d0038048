"""How records reach the agents: in runs, from positions that the agents' own state names.

Faust delivers one record an event, about 65 µs each, and books acked offsets one by one in a way
that can commit past work not done (https://github.com/faust-streaming/faust/issues/606). Here one
event carries every record that was fetched from a partition, and Kafka's committed offset is only
a hint for people who watch the lag: where to read from is asked of whoever owns the state.

Each run says where in the log it starts and ends. The labels are made in the thread that fetches,
at the very point where aiokafka moves its own position, so that a run lost anywhere on its way to
the agent shows as a gap there, and holes in the offsets (control records) do not.

A topic without an opener is an ordinary one: its agent gets one event a record, and Faust's own
acks decide what is committed and where it goes on (see RunConsumer).
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import faust
from aiokafka import ConsumerRecord
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from faust.events import Event
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from ledger.errors import InvariantBroken
from ledger.health.partitions import current_partition
from ledger.health.waiting import waited_for
from ledger.streaming import batches as _batches  # noqa: F401 - reads what aiokafka cannot
from ledger.streaming.log import out_of_reach

FETCH_WAIT_MS = 100
"""How long a broker holds an empty fetch, and so how long a partition that was just opened, or
resumed, may wait until it is in one. Faust's own are 1,500 ms."""
RECORD_BYTES = 300
"""What a record takes in memory beside its key and value."""
SINGLES_AT_ONCE = 100
"""Records of an ordinary partition handed on before runs that came meanwhile have their turn."""

Opener = Callable[[int], Awaitable[int]]
"""Given a partition now owned, makes its state ready and returns the offset to read from."""


@dataclass(slots=True)
class Run:
    """Records of one partition from the positions [start, end); `size` in bytes of memory.

    `seek`: after how many seeks of that partition they were fetched.
    """

    tp: TP
    start: int
    end: int
    records: list[ConsumerRecord]
    seek: int = 0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        held = sum(len(record.value or b"") + len(record.key or b"") for record in self.records)
        self.size = held + RECORD_BYTES * len(self.records)

    def from_position(self, position: int) -> list[ConsumerRecord] | None:
        """The records at or after `position`; None when the run starts beyond it: a gap."""
        if self.start > position:
            return None
        if self.start == position:
            return self.records
        return [record for record in self.records if record.offset >= position]


class OutOfRange(Exception):
    """A partition no longer holds the position that was to be read next."""

    def __init__(self, tp: TP) -> None:
        super().__init__(f"{tp.topic}[{tp.partition}]")
        self.tp = tp


class RunThread(driver.AIOKafkaConsumerThread):
    """Fetches, labels what was fetched, and knows how old the last heartbeat is.

    What a fetch brings leaves aiokafka at once. It would keep it until asked, and as long as one
    partition's records wait it sends no fetch to that broker for up to 100 ms
    (`Fetcher._get_actions_per_node`, prefetch_backoff): every record would wait for whatever
    keeps the agents' loop busy.

    The next fetch waits until the agents have taken what the last one brought: what waits is
    bounded, and a busy loop is not disturbed by records that it has no time for (measured at 5,000
    transactions a second: a third of the latency).
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._ends: dict[TP, int] = {}
        self.seeks: Counter[TP] = Counter()
        self._confirmed = time.monotonic()
        self._joining: float | None = None
        self._polling = ExitStack()
        self._arrived: deque[Run | BaseException] = deque()
        self._room = asyncio.Event()
        self._loop_of_agents: asyncio.AbstractEventLoop | None = None
        self._arrival = asyncio.Event()

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # Faust reads what a producer's Kafka transaction has not committed, or has aborted.
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        consumer = self._ensure_consumer()
        fetch = consumer._fetcher._proc_fetch_request

        async def fetch_and_hand_on(assignment: Any, node_id: Any, request: Any) -> bool:
            try:
                if await fetch(assignment, node_id, request):
                    self._hand_on(consumer._fetcher._records)
            except Exception as error:
                # It would end aiokafka's fetching, without a word.
                self._pass_on(error)
            # Cleared before it is looked: what the agents take from here on sets it again.
            self._room.clear()
            # aiokafka cancels a fetch when it closes, and then awaits it without expecting that.
            with suppress(asyncio.CancelledError):
                while self._arrived:
                    await self._room.wait()
                    self._room.clear()
            # aiokafka does this in a callback a turn later. Woken meanwhile by something else, its
            # loop takes the node for busy, has nothing left to wait for and sleeps for 200 ms.
            consumer._fetcher._in_flight.discard(node_id)
            return False

        consumer._fetcher._proc_fetch_request = fetch_and_hand_on
        # aiokafka leaves the group when nobody asks for records.
        self._polling.enter_context(consumer._subscription.fetch_context())
        # aiokafka keeps the time of the last heartbeat in a local variable of its own loop, and
        # sends none while it joins: the broker then counts the request to join as the sign of life.
        coordinator = consumer._coordinator
        beat, join = coordinator._do_heartbeat, coordinator._do_rejoin_group

        async def timed_beat() -> bool:
            asked = time.monotonic()
            if ok := await beat():
                self._confirmed = asked
            return bool(ok)

        async def timed_join(subscription: Any) -> bool:
            self._joining = time.monotonic()
            try:
                if joined := await join(subscription):
                    self._confirmed = time.monotonic()
                return bool(joined)
            finally:
                self._joining = None

        coordinator._do_heartbeat, coordinator._do_rejoin_group = timed_beat, timed_join

    def unconfirmed(self) -> float:
        """Seconds since the broker last confirmed this worker's membership.

        While it joins, those that had passed when it began to: one that was replaced joins too.
        """
        joining = self._joining
        return (time.monotonic() if joining is None else joining) - self._confirmed

    def joining(self) -> bool:
        """Whether this worker waits to be told its partitions."""
        return self._joining is not None

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # aiokafka starts over from the committed hints: nothing counts before the next seek.
        self._ends.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    def _hand_on(self, fetched: dict[Any, Any]) -> None:
        """Label what was fetched, where aiokafka moves its own position, and pass it on."""
        # No await in here: a seek cannot come between.
        for tp in list(fetched):
            result = fetched[tp]
            if not isinstance(result, FetchResult):
                error = _error_of(result)
                # Just assigned, without a hint; the seek to where its state says removes this.
                if not isinstance(error, NoOffsetForPartitionError):
                    del fetched[tp]
                    gone = isinstance(error, OffsetOutOfRangeError)
                    self._pass_on(OutOfRange(TP(tp.topic, tp.partition)) if gone else error)
                continue
            del fetched[tp]
            assignment = result._assignment
            records = result.getall()
            start, state = self._ends.get(tp), assignment.state_value(tp)
            if records and start is not None and state is not None:
                self._ends[tp] = state.position
                where, seeks = TP(tp.topic, tp.partition), self.seeks[tp]
                if tp.topic in self.app.openers:
                    _drop_headers(records)
                self._pass_on(Run(where, start, state.position, records, seeks))

    def _pass_on(self, found: Run | BaseException) -> None:
        self._arrived.append(found)
        if self._loop_of_agents is not None:
            self._loop_of_agents.call_soon_threadsafe(self._arrival.set)

    async def arrived(self, timeout: float) -> list[Run]:
        """In the agents' loop: what has come, waiting up to `timeout` seconds for something.

        Raises what made aiokafka unable to go on reading a partition, once what came before it
        was returned.
        """
        self._loop_of_agents = asyncio.get_running_loop()
        if not self._arrived:
            self._arrival.clear()
            if not self._arrived:
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout):
                        await self._arrival.wait()
        runs: list[Run] = []
        while self._arrived:
            found = self._arrived[0]
            if isinstance(found, BaseException):
                if runs:
                    break
                self._arrived.popleft()
                self._make_room()
                raise found
            runs.append(found)
            self._arrived.popleft()
        if runs:
            self._make_room()
        return joined(runs)

    def _make_room(self) -> None:
        """Let the next fetch begin."""
        if not self._room.is_set():
            self.thread_loop.call_soon_threadsafe(self._room.set)

    def look_again(self) -> None:
        """In the agents' loop: `arrived` waits no longer."""
        self._arrival.set()

    def pause(self, tps: Iterable[TP], *, paused: bool) -> None:
        """From any thread: fetch no more from them, or again."""
        wanted = list(tps)
        if wanted and self._consumer is not None:
            self.thread_loop.call_soon_threadsafe(self._pause, wanted, paused)

    def _pause(self, tps: list[TP], paused: bool) -> None:
        consumer = self._ensure_consumer()
        for tp in tps:
            # IllegalStateError: a rebalance has taken it.
            with suppress(IllegalStateError):
                (consumer.pause if paused else consumer.resume)(driver.ensure_aiokafka_TP(tp))

    async def seek_to(self, tp: TP, offset: int) -> bool:
        """Read on from `offset`; the next run starts there. False: a rebalance has taken it."""
        return bool(await self.call_thread(self._seek_to, tp, offset))

    async def _seek_to(self, tp: TP, offset: int) -> bool:
        try:
            self._ensure_consumer().seek(driver.ensure_aiokafka_TP(tp), offset)
        except IllegalStateError:
            return False
        self._ends[tp] = offset
        self.seeks[tp] += 1
        return True

    async def committed(self, tp: TP) -> int | None:
        """What the group has committed to Kafka; None if nothing yet."""
        consumer = self._ensure_consumer()
        found: int | None = await self.call_thread(
            consumer.committed, driver.ensure_aiokafka_TP(tp)
        )
        return found

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """A hint that cannot be given is no reason to stop (Faust would crash the worker)."""
        consumer = self._ensure_consumer()
        wanted = {
            driver.ensure_aiokafka_TP(tp): offset
            for tp, offset in offsets.items()
            if tp in self.assignment()
        }
        try:
            if wanted:
                await consumer.commit(wanted)
        except KafkaError as error:
            reason = type(error).__name__
            self.log.info("Offsets not committed (%s); they are a hint only.", reason)
            return False
        return True


def _drop_headers(records: Iterable[ConsumerRecord]) -> None:
    """Nobody who takes runs reads them, and a mebibyte of small ones is thirty in memory."""
    for record in records:
        if record.headers:
            record.headers = ()


def joined(runs: Iterable[Run]) -> list[Run]:
    """Runs of a partition that follow each other without a gap as one."""
    made: list[Run] = []
    last: dict[TP, Run] = {}
    for run in runs:
        before = last.get(run.tp)
        if before is not None and before.end == run.start:
            before.records.extend(run.records)
            before.size += run.size
            before.end, before.seek = run.end, run.seek
        else:
            last[run.tp] = run
            made.append(run)
    return made


def _error_of(result: Any) -> BaseException:
    try:
        result.check_raise()
    except BaseException as error:
        return error
    return RuntimeError(f"aiokafka's {result!r}")


class RunConsumer(driver.Consumer):
    """Hands runs on; opens each partition's state, by itself, before it reads from it.

    Topics without an opener are ordinary: one event a record, from the offset that the group has
    committed to Kafka, else from the topic's beginning. They keep Faust's commit logic and its
    risks: it acks an event whose agent raised, and with several events in work, or holes in the
    offsets, can commit past one not done (https://github.com/faust-streaming/faust/issues/606). A
    commit that fails counts as done until the next. What must not be lost belongs in runs.
    """

    def _new_consumer_thread(self) -> RunThread:
        return RunThread(self, loop=self.loop, beacon=self.beacon)

    def on_init(self) -> None:
        super().on_init()
        self.openers: Mapping[str, Opener] = self.app.openers
        self._opening: dict[TP, asyncio.Task[None]] = {}
        self._hints: dict[TP, int] = {}
        self._singles: dict[TP, deque[ConsumerRecord]] = {}
        self._singles_end: dict[TP, int] = {}
        self.opened: set[TP] = set()
        self.positions: dict[TP, int] = {}
        """Where the effects of each open partition are durable up to: the lag begins there."""

    async def perform_seek(self) -> None:
        """Called when a rebalance is over: open what is owned, in the background.

        A partition whose state must wait for something, the database say, keeps no other waiting.
        """
        assignment = self.assignment()
        self.pause_partitions(assignment)
        self.app.clear_lanes()
        self.opened.clear()
        self.positions.clear()
        self._hints.clear()
        self._singles.clear()
        self.app.health.assign(assignment)
        for tp in assignment:
            self._read_offset[tp] = None
            self._cancel_opening(tp)
            self._opening[tp] = asyncio.create_task(self._open(tp), name=f"open {tp}")

    async def _open(self, tp: TP) -> None:
        place = self.app.health.at(tp)
        current_partition.set(place)
        try:
            opener = self.openers.get(tp.topic)
            offset = await (self._open_ordinary(tp) if opener is None else opener(tp.partition))
            await self._check_bounds(tp, offset)
            # What it was taking when it was assigned may have stopped it since.
            self.app.clear_lane(tp)
            if not await self._thread.seek_to(tp, offset):
                return
        except asyncio.CancelledError:
            raise
        except InvariantBroken as error:
            self.log.critical("%s[%s] stays closed: %s", tp.topic, tp.partition, error)
            place.stop(str(error))
            return
        except BaseException as error:
            self.app.fault(error, f"opening {tp.topic}[{tp.partition}]")
            return
        self.opened.add(tp)
        self.positions[tp] = offset
        self.resume_partitions({tp})
        place.opened()

    async def _open_ordinary(self, tp: TP) -> int:
        committed = await self._thread.committed(tp)
        offset = (await self._bounds(tp))[0] if committed is None else committed
        # As Faust's own perform_seek leaves them; it takes 0 for nothing.
        self._read_offset[tp] = self._committed_offset[tp] = offset or None
        self._singles_end[tp] = offset
        return offset

    async def _bounds(self, tp: TP) -> tuple[int, int]:
        return await waited_for(
            lambda: self.app.log_.bounds(tp.topic, tp.partition), f"look up the bounds of {tp}"
        )

    async def _check_bounds(self, tp: TP, offset: int) -> None:
        first, end = await self._bounds(tp)
        if not first <= offset <= end:
            raise InvariantBroken(out_of_reach(tp.topic, tp.partition, offset, (first, end)))

    def _cancel_opening(self, tp: TP) -> None:
        if task := self._opening.pop(tp, None):
            task.cancel()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        for tp in list(self._opening):
            self._cancel_opening(tp)
        self.app.health.revoke()
        self.opened.clear()
        self.app.clear_lanes()
        await super().on_partitions_revoked(revoked)

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        super().pause_partitions(tps)
        self._thread.pause(tps, paused=True)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions(tps)
        self._thread.pause(tps, paused=False)

    async def getmany(self, timeout: float) -> Any:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        try:
            runs = await self._thread.arrived(0 if self._ready_singles() else timeout)
        except Exception as error:
            self._cannot_read(error)
            return
        by_topic: dict[str, list[Run]] = {}
        for run in runs:
            # Not whether it is active now, or fetched for an older generation: what was read after
            # a seek is handed on, or the last run of a burst could be lost with nothing behind it
            # to show the gap. What is not open will be sought again when it opens.
            if run.tp not in self.opened:
                continue
            if run.tp.topic not in self.openers:
                await self._take_singles(run)
            else:
                by_topic.setdefault(run.tp.topic, []).append(run)
        # One event for all of a topic: handed over one by one, the first partition's run would be
        # half done before the agent sees the last one's.
        for together in by_topic.values():
            if self.should_stop:
                return
            tp, last = together[0].tp, together[0].records[-1]
            # Faust would drop what it takes for a repetition; the first one's stands for them all.
            self._read_offset[tp] = None
            # Without generation_id the stream drops the event without a word.
            yield tp, ConsumerMessage(
                tp.topic, tp.partition, last.offset, last.timestamp / 1000, last.timestamp_type,
                (), None, together, None, 0, 0, tp,
                generation_id=self.app.consumer_generation_id,
            )  # fmt: skip
        async for tp, record in self._next_singles():
            yield tp, self._to_message(tp, record)

    def _cannot_read(self, error: Exception) -> None:
        if not isinstance(error, OutOfRange):
            self.app.fault(error, "reading from Kafka")
        elif error.tp in self.opened:
            self.reopen(error.tp)

    async def _next_singles(self) -> AsyncIterator[tuple[TP, ConsumerRecord]]:
        for tp in self._ready_singles():
            for _ in range(SINGLES_AT_ONCE):
                if self.should_stop or not self.flow_active or not self._is_ready(tp):
                    break
                yield tp, self._singles[tp].popleft()
            # What an agent is behind with waits here, and not in front of the runs of others.
            if tp in self.opened - self._paused_partitions:
                self._thread.pause({tp}, paused=bool(self._singles.get(tp)))

    async def _take_singles(self, run: Run) -> None:
        position = self._singles_end[run.tp]
        records = run.from_position(position)
        if records is None:
            await self.rewind(run, position)
            return
        self._singles.setdefault(run.tp, deque()).extend(records)
        self._singles_end[run.tp] = max(run.end, position)

    def _ready_singles(self) -> list[TP]:
        return [tp for tp in self._singles if self._is_ready(tp)]

    def _is_ready(self, tp: TP) -> bool:
        """Whether a record waits that its agent has room for."""
        return bool(self._singles.get(tp)) and tp in self.opened and tp in self._active_partitions

    def on_buffer_drop(self, tp: TP) -> None:
        super().on_buffer_drop(tp)
        self._thread.look_again()

    async def rewind(self, run: Run, position: int) -> None:
        """Read its partition again from `position`: what is before `run` never arrived.

        Runs already on their way still come, each with its own gap; one rewind answers them all.
        """
        tp = run.tp
        if run.seek < self._thread.seeks[tp] or tp not in self.opened:
            return
        self.log.warning("%s[%s]: a run was lost on its way, reading again from %s", *tp, position)
        await self._thread.seek_to(tp, position)

    def reopen(self, tp: TP) -> bool:
        """Ask whoever has its state where to read on: something beneath it has changed.

        If that is not there to be read any more it stays closed, with an alarm. False: it is being
        opened already, or is another worker's.
        """
        opening = self._opening.get(tp)
        if tp not in self.assignment() or opening is None or not opening.done():
            return False
        self.app.health.at(tp).opening()
        self.opened.discard(tp)
        self.pause_partitions({tp})
        self._opening[tp] = asyncio.create_task(self._open(tp), name=f"open {tp}")
        return True

    async def skip(self, tp: TP, position: int) -> None:
        """Read `tp` on from `position`; what is before it was handed on another way."""
        if tp in self.opened:
            await self._thread.seek_to(tp, position)

    def done(self, tp: TP, position: int) -> None:
        """The effects of a run of `tp` are durable up to `position`."""
        self._hints[tp] = self.positions[tp] = position

    def reached(self, tp: TP, position: int) -> None:
        """Effects are durable up to `position`, though no run has just been taken."""
        if tp in self.opened:
            self._hints[tp] = self.positions[tp] = position

    def ack(self, message: Any) -> bool:
        """Faust acks events by itself when a stream moves on; of runs only `done` counts."""
        return message.topic not in self.openers and super().ack(message)

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        hints, self._hints = self._hints, {}
        hinted = not hints or await self._thread.commit(hints)
        return await super().force_commit(topics, start_new_transaction) or hinted

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Of runs nothing is to be booked: they chain by their own labels."""
        if tp.topic not in self.openers:
            await super()._add_gap(tp, offset_from, offset_to)

    async def verify_all_partitions_active(self) -> None:
        """Faust's guesses about slow streams count single events; lag is what to watch here."""

    def unconfirmed(self) -> float:
        """Seconds since the broker last confirmed this worker's membership."""
        seconds: float = self._thread.unconfirmed()
        return seconds

    def joining(self) -> bool:
        """Whether it asks the broker to be let into the group, or back into it."""
        return bool(self._thread.joining())


class RunTransport(driver.Transport):
    """Kafka, delivered in runs."""

    Consumer = RunConsumer


class Runs(faust.Schema):
    """Hands runs through as the event's value; decoding, and its errors, are the agent's."""

    def compile(
        self,
        app: Any,
        *,
        on_key_decode_error: Any = None,
        on_value_decode_error: Any = None,
        default_propagate: bool = False,
    ) -> Any:
        async def decode(message: Any, *, propagate: bool = default_propagate) -> Any:
            return Event(app, None, message.value, None, message)

        return decode

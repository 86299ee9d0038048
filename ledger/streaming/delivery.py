"""How records reach the agents: in runs, from positions that the agents' own state names.

Faust delivers one record an event, about 65 µs each, and books acked offsets one by one in a way
that can commit past work not done (https://github.com/faust-streaming/faust/issues/606). Here one
event carries every record that was fetched from a partition, and Kafka's committed offset is only
a hint for people who watch the lag: where to read from is asked of whoever owns the state.

Each run says where in the log it starts and ends. The labels are made in the thread that fetches,
at the very point where aiokafka moves its own position, so that a run lost anywhere on its way to
the agent shows as a gap there, and holes in the offsets (control records) do not.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka import ConsumerRecord
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError
from faust.events import Event
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from ledger.errors import InvariantBroken
from ledger.streaming.waiting import waited_for

FETCH_WAIT_MS = 50
"""How long a broker holds an empty fetch: aiokafka has one fetch in flight for each broker, and a
partition just read waits until it returns. Faust's own 1,500 ms would be the latency."""

Opener = Callable[[int], Awaitable[int]]
"""Given a partition now owned, makes its state ready and returns the offset to read from."""


@dataclass(slots=True)
class Run:
    """Records of one partition from the positions [start, end)."""

    tp: TP
    start: int
    end: int
    records: list[ConsumerRecord]

    def from_position(self, position: int) -> list[ConsumerRecord] | None:
        """The records at or after `position`; None when the run starts beyond it: a gap."""
        if self.start > position:
            return None
        if self.start == position:
            return self.records
        return [record for record in self.records if record.offset >= position]


class RunThread(driver.AIOKafkaConsumerThread):
    """Fetches, labels what was fetched, and knows how old the last heartbeat is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._ends: dict[TP, int] = {}
        self._confirmed = time.monotonic()
        self._joining = False

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # Faust reads what a producer's Kafka transaction has not committed, or has aborted.
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        # aiokafka keeps the time of the last heartbeat in a local variable of its own loop, and
        # sends none while it joins: the broker then counts the request to join as the sign of life.
        coordinator = self._ensure_consumer()._coordinator
        beat, join = coordinator._do_heartbeat, coordinator._do_rejoin_group

        async def timed_beat() -> bool:
            asked = time.monotonic()
            if ok := await beat():
                self._confirmed = asked
            return bool(ok)

        async def timed_join(subscription: Any) -> bool:
            self._joining = True
            try:
                return bool(await join(subscription))
            finally:
                self._joining = False
                self._confirmed = time.monotonic()

        coordinator._do_heartbeat, coordinator._do_rejoin_group = timed_beat, timed_join

    def unconfirmed(self) -> float:
        """Seconds since the broker last confirmed this worker's membership."""
        return 0.0 if self._joining else time.monotonic() - self._confirmed

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # aiokafka starts over from the committed hints: nothing counts before the next seek.
        self._ends.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    async def _fetch_records(
        self, consumer: Any, active_partitions: set[TP], *args: Any, **kwargs: Any
    ) -> dict[TP, Run]:
        if not active_partitions:
            # Emptied by a pause since it was asked for; to aiokafka it would mean all of them.
            return {}
        try:
            fetched = await super()._fetch_records(consumer, active_partitions, *args, **kwargs)
        except NoOffsetForPartitionError:
            # Just assigned, without a hint, and its state has not said yet where to read from.
            return {}
        assignment = consumer._subscription.subscription.assignment
        runs = {}
        # No await from here to the return: a seek cannot come between.
        for tp, records in fetched.items():
            start, state = self._ends.get(tp), assignment.state_value(tp)
            if start is not None and state is not None:
                self._ends[tp] = state.position
                runs[tp] = Run(TP(tp.topic, tp.partition), start, state.position, records)
        return runs

    async def seek_to(self, tp: TP, offset: int) -> bool:
        """Read on from `offset`; the next run starts there. False: a rebalance has taken it."""
        return bool(await self.call_thread(self._seek_to, tp, offset))

    async def _seek_to(self, tp: TP, offset: int) -> bool:
        try:
            self._ensure_consumer().seek(driver.ensure_aiokafka_TP(tp), offset)
        except IllegalStateError:
            return False
        self._ends[tp] = offset
        return True

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


class RunConsumer(driver.Consumer):
    """Hands runs on; opens each partition's state, by itself, before it reads from it."""

    def _new_consumer_thread(self) -> RunThread:
        return RunThread(self, loop=self.loop, beacon=self.beacon)

    def on_init(self) -> None:
        super().on_init()
        self.openers: Mapping[str, Opener] = self.app.openers
        self._opening: dict[TP, asyncio.Task[None]] = {}
        self._hints: dict[TP, int] = {}
        self._rewinding: set[TP] = set()
        self.opened: set[TP] = set()

    async def perform_seek(self) -> None:
        """Called when a rebalance is over: open what is owned, in the background.

        A partition whose state must wait for something, the database say, keeps no other waiting.
        """
        assignment = self.assignment()
        self.pause_partitions(assignment)
        self.app.clear_lanes()
        self.opened.clear()
        self._hints.clear()
        self._rewinding.clear()
        for tp in assignment:
            self._read_offset[tp] = None
            self._cancel_opening(tp)
            self._opening[tp] = asyncio.create_task(self._open(tp), name=f"open {tp}")

    async def _open(self, tp: TP) -> None:
        try:
            offset = await self.openers[tp.topic](tp.partition)
            await self._check_bounds(tp, offset)
            if not await self._thread.seek_to(tp, offset):
                return
        except asyncio.CancelledError:
            raise
        except InvariantBroken as error:
            self.log.critical("%s[%s] stays closed: %s", tp.topic, tp.partition, error)
            return
        except BaseException as error:
            self.app.fault(error, f"opening {tp.topic}[{tp.partition}]")
            return
        self.opened.add(tp)
        self.resume_partitions({tp})
        self.app.note_ready()

    async def _check_bounds(self, tp: TP, offset: int) -> None:
        first, end = await waited_for(
            lambda: self.app.log_.bounds(tp.topic, tp.partition), f"look up the bounds of {tp}"
        )
        if not first <= offset <= end:
            raise InvariantBroken(
                f"it holds {first} to {end} and {offset} had been reached: the topic was truncated "
                "or made anew. Restore it, or rebuild the ledger from the log."
            )

    def _cancel_opening(self, tp: TP) -> None:
        if task := self._opening.pop(tp, None):
            task.cancel()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        for tp in list(self._opening):
            self._cancel_opening(tp)
        self.opened.clear()
        self.app.clear_lanes()
        await super().on_partitions_revoked(revoked)

    async def getmany(self, timeout: float) -> Any:
        runs, _ = await self._wait_next_records(timeout)
        if runs is None or self.should_stop:
            return
        for tp, run in runs.items():
            # Not whether it is active now, or fetched for an older generation: what was read after
            # a seek is handed on, or the last run of a burst could be lost with nothing behind it
            # to show the gap. What is not open will be sought again when it opens.
            if tp not in self.opened:
                continue
            last = run.records[-1]
            # Without generation_id the stream drops the event without a word.
            yield tp, ConsumerMessage(
                tp.topic, tp.partition, last.offset, last.timestamp / 1000, last.timestamp_type,
                (), None, run, None, 0, 0, tp, generation_id=self.app.consumer_generation_id,
            )  # fmt: skip

    async def rewind(self, tp: TP, position: int) -> None:
        """Read `tp` again from `position`: a run before it never arrived.

        Runs already on their way still come, each with its own gap; one rewind answers them all.
        """
        if tp in self._rewinding or tp not in self.opened:
            return
        self._rewinding.add(tp)
        self.log.warning("%s[%s]: a run was lost on its way, reading again from %s", *tp, position)
        self._read_offset[tp] = None
        await self._thread.seek_to(tp, position)

    def done(self, message: Any, position: int) -> None:
        """The run's effects are durable up to `position`."""
        tp = message.tp
        self._rewinding.discard(tp)
        self._hints[tp] = position
        message.acked = True
        self._unacked_messages.discard(message)

    def ack(self, message: Any) -> bool:
        """Faust acks events by itself when a stream moves on; only `done` counts here."""
        self._unacked_messages.discard(message)
        return False

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        hints, self._hints = self._hints, {}
        return not hints or await self._thread.commit(hints)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing to book: runs chain by their own labels."""

    async def verify_all_partitions_active(self) -> None:
        """Faust's guesses about slow streams count single events; lag is what to watch here."""

    def unconfirmed(self) -> float:
        """Seconds since the broker last confirmed this worker's membership."""
        seconds: float = self._thread.unconfirmed()
        return seconds


class RunTransport(driver.Transport):
    """Kafka, delivered in runs."""

    Consumer = RunConsumer


class Runs(faust.Schema):
    """Hands a run through as the event's value; decoding, and its errors, are the agent's."""

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

"""The thread that fetches: it labels what a fetch brings as runs and passes them to the agents."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from agents.runtime.runs import Run, joined
from ledger.streaming import patches

FETCH_WAIT_MS = 100
"""How long a broker holds an empty fetch, and so how long a partition that was just opened, or
resumed, may wait until it is in one. Faust's own are 1,500 ms."""


class OutOfRange(Exception):
    """A partition no longer holds the position that was to be read next."""

    def __init__(self, tp: TP) -> None:
        super().__init__(f"{tp.topic}[{tp.partition}]")
        self.tp = tp


class RunThread(driver.AIOKafkaConsumerThread):
    """Fetches, labels what was fetched, and knows how old the last heartbeat is.

    What a fetch brings leaves aiokafka at once. It would keep it until asked, and while the records
    of one partition wait it sends no fetch to that broker for up to 100 ms
    (`Fetcher._get_actions_per_node`, prefetch_backoff): every record would wait for whatever
    keeps the agents' loop busy.

    The next fetch waits until the agents have taken what the last one brought: what waits is
    bounded, and a busy loop is not disturbed by records that it has no time for. It also waits for
    `LedgerApp.gather_seconds`, so that an application that nobody waits for fetches seldom.
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
        patches.install()
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # Faust reads what a producer's Kafka transaction has not committed, or has aborted.
        consumer._isolation_level = "read_committed"
        return consumer

    async def on_start(self) -> None:
        await super().on_start()
        self._fetch_into_runs()
        self._time_heartbeats()
        # aiokafka leaves the group when nobody asks for records.
        self._polling.enter_context(self._ensure_consumer()._subscription.fetch_context())

    def _fetch_into_runs(self) -> None:
        """Have what each fetch brings passed on at once, and the next one wait for room."""
        fetcher = self._ensure_consumer()._fetcher
        fetch, gather_seconds = fetcher._proc_fetch_request, self.consumer.app.gather_seconds

        async def fetch_and_hand_on(assignment: Any, node_id: Any, request: Any) -> bool:
            pause = 0.0
            try:
                if await fetch(assignment, node_id, request):
                    self._hand_on(fetcher._records)
                    pause = gather_seconds
            except Exception as error:
                # It would silently end aiokafka's fetching.
                self._pass_on(error)
            # Cleared before the check: what the agents take from here on sets it again.
            self._room.clear()
            # aiokafka cancels a fetch when it closes, and then awaits it without expecting that.
            with suppress(asyncio.CancelledError):
                while self._arrived:
                    await self._room.wait()
                    self._room.clear()
                if pause:
                    await asyncio.sleep(pause)
            # aiokafka does this in a callback a turn later. Woken meanwhile by something else, its
            # loop takes the node for busy, has nothing left to wait for and sleeps for 200 ms.
            fetcher._in_flight.discard(node_id)
            return False

        fetcher._proc_fetch_request = fetch_and_hand_on

    def _time_heartbeats(self) -> None:
        """Note when the broker confirms the membership.

        aiokafka keeps the time of the last heartbeat in a local variable of its own loop, and sends
        none while it joins: the broker then counts the request to join as the sign of life.
        """
        coordinator = self._ensure_consumer()._coordinator
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
                drop_headers(records)
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


def drop_headers(records: Iterable[ConsumerRecord]) -> None:
    """No agent reads headers, and a mebibyte of small ones takes thirty in memory."""
    for record in records:
        if record.headers:
            record.headers = ()


def _error_of(result: Any) -> BaseException:
    try:
        result.check_raise()
    except BaseException as error:
        return error
    return RuntimeError(f"aiokafka's {result!r}")

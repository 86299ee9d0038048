"""How records reach the agents: in runs, from positions that the agents' own state names.

Faust delivers one record an event, about 65 µs each, and its bookkeeping of acknowledged offsets
can commit past work that was not done: https://github.com/faust-streaming/faust/issues/606. Here
one event carries every record that was fetched, and Kafka's committed offset is only a hint for
people who watch the lag: the owner of the state says where to read from.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from agents.runtime.run_thread import OutOfRange, RunThread
from agents.runtime.runs import Run
from ledger.errors import InvariantBroken
from ledger.health.partitions import current_partition
from ledger.health.waiting import waited_for
from ledger.streaming.reader import out_of_reach


class RunConsumer(driver.Consumer):
    """Passes runs to the agents; opens the state of each partition before it reads from it."""

    def _new_consumer_thread(self) -> RunThread:
        return RunThread(self, loop=self.loop, beacon=self.beacon)

    def on_init(self) -> None:
        super().on_init()
        self._opening: dict[TP, asyncio.Task[None]] = {}
        self._hints: dict[TP, int] = {}
        self.opened: set[TP] = set()
        self.positions: dict[TP, int] = {}
        """Where the effects of each open partition are durable up to: the lag begins there."""

    async def perform_seek(self) -> None:
        """Called when a rebalance is over: open what is owned, in the background.

        A partition whose state must wait, for the database say, keeps no other waiting.
        """
        assignment = self.assignment()
        self.pause_partitions(assignment)
        self.app.stages.clear()
        self.opened.clear()
        self.positions.clear()
        self._hints.clear()
        self.app.runtime.health.assign(assignment)
        for tp in assignment:
            self._read_offset[tp] = None
            self._cancel_opening(tp)
            self._opening[tp] = asyncio.create_task(self._open(tp), name=f"open {tp}")

    async def _open(self, tp: TP) -> None:
        place = self.app.runtime.health.at(tp)
        current_partition.set(place)
        try:
            offset = await self.app.stages.open(tp)
            await self._check_bounds(tp, offset)
            # What it was taking when it was assigned may have stopped it since.
            self.app.stages.clear_lane(tp)
            if not await self._thread.seek_to(tp, offset):
                return
        except asyncio.CancelledError:
            raise
        except InvariantBroken as error:
            self.log.critical("%s[%s] stays closed: %s", tp.topic, tp.partition, error)
            place.stop(str(error))
            return
        except BaseException as error:
            self.app.runtime.fail(error, f"opening {tp.topic}[{tp.partition}]")
            return
        self.opened.add(tp)
        self.positions[tp] = offset
        self.app.runtime.membership.opened(tp)
        self.resume_partitions({tp})
        place.opened()

    async def _bounds(self, tp: TP) -> tuple[int, int]:
        log = self.app.runtime.log
        return await waited_for(lambda: log.bounds(*tp), f"look up the bounds of {tp}")

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
        self.app.runtime.health.revoke()
        self.opened.clear()
        self.app.stages.clear()
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
            runs = await self._thread.arrived(timeout)
        except Exception as error:
            self._cannot_read(error)
            return
        by_topic: dict[str, list[Run]] = {}
        for run in runs:
            # Not whether it is active now, or fetched for an older generation: what was read after
            # a seek is handed on, or the last run of a burst could be lost with nothing behind it
            # to show the gap. The opening of what is not open will seek again.
            if run.tp in self.opened:
                by_topic.setdefault(run.tp.topic, []).append(run)
        # One event for all of a topic: handed over one by one, the first partition's run would be
        # half done before the agent sees the last one's.
        for together in by_topic.values():
            if self.should_stop:
                return
            tp, last = together[0].tp, together[0].records[-1]
            # Faust would drop what it takes for a repetition; the first one's stands for them all.
            self._read_offset[tp] = None
            # Without generation_id the stream silently drops the event.
            yield tp, ConsumerMessage(
                tp.topic, tp.partition, last.offset, last.timestamp / 1000, last.timestamp_type,
                (), None, together, None, 0, 0, tp,
                generation_id=self.app.consumer_generation_id,
            )  # fmt: skip

    def _cannot_read(self, error: Exception) -> None:
        if not isinstance(error, OutOfRange):
            self.app.runtime.fail(error, "reading from Kafka")
        elif error.tp in self.opened:
            self.reopen(error.tp)

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
        """Ask the owner of its state where to read on: something beneath it has changed.

        A partition that no longer holds that offset stays closed, with an alarm. False: it is being
        opened already, or is another worker's.
        """
        opening = self._opening.get(tp)
        if tp not in self.assignment() or opening is None or not opening.done():
            return False
        self.app.runtime.health.at(tp).opening()
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
        """Faust acknowledges events when a stream moves on; only `done` counts."""
        return False

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        hints, self._hints = self._hints, {}
        hinted = not hints or await self._thread.commit(hints)
        return await super().force_commit(topics, start_new_transaction) or hinted

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing is to be booked of runs: they chain by their own labels."""

    async def verify_all_partitions_active(self) -> None:
        """Faust's guesses about slow streams count single events; lag is what to watch here."""

    def unconfirmed(self) -> float:
        """Seconds since the broker last confirmed this worker's membership."""
        seconds: float = self._thread.unconfirmed()
        return seconds

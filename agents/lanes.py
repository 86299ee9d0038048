"""Lanes: a partition's runs are taken one after another; what arrives meanwhile becomes one run.

Fetching is eager: under load many small runs come while one is being taken, and each by itself
would cost appends and a database transaction of its own. So no timer gathers work, and yet there is
more of it in a run the busier it gets.

The lanes of a stage start together, so that what they append goes out in one request and comes
back in one: measured at 500 transactions a second over 8 shards, a request is half a millisecond
of Python whatever is in it. One that is held up holds up the others no longer than PATIENCE.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from faust.types import TP

from ledger.errors import InvariantBroken
from ledger.health.partitions import current_partition
from ledger.streaming.delivery import Run, joined

FULL_BYTES = 2 * 1024 * 1024
"""Of memory, waiting in one lane; beyond it nothing is fetched for it until they are taken."""

PATIENCE = 0.1
"""Seconds that a stage waits for its slowest lane; ten times what a run takes when it is quiet."""

log = logging.getLogger(__name__)


class Gap(Exception):
    """A run before this one never arrived; `position` is where to read from."""

    def __init__(self, position: int) -> None:
        self.position = position


class Lane:
    """One partition's way to `take`, which makes a run's effects durable.

    `take` returns the position it has reached, or raises Gap. InvariantBroken stops this
    partition, with an alarm, and no other; anything else ends the process.
    """

    def __init__(
        self, app: Any, tp: TP, take: Callable[[Run], Awaitable[int]], stage: "Stage"
    ) -> None:
        self._app, self._tp, self._take, self._stage = app, tp, take, stage
        self._waiting: list[Run] = []
        self._bytes = 0
        self._full = self._stopped = False

    def put(self, run: Run) -> None:
        """Take `run` when its turn comes, once the stage starts."""
        if self._stopped:
            return
        self._waiting.append(run)
        self._bytes += run.size
        if self._bytes > FULL_BYTES and not self._full:
            self._full = True
            self._app.consumer.pause_partitions({self._tp})
        self._stage.ready(self)

    def start(self) -> asyncio.Task[None]:
        """Take what waits now."""
        return asyncio.create_task(self._work(), name=f"lane {self._tp}")

    def clear(self) -> None:
        """Forget what waits: the partition is opened anew, or is somebody else's.

        One that had stopped is taken up again then: if what stopped it is still there, it stops.
        """
        self._stopped = False
        self._forget()

    def _forget(self) -> None:
        self._waiting, self._bytes, self._full = [], 0, False

    async def _work(self) -> None:
        place = self._app.health.at(self._tp)
        current_partition.set(place)
        waiting, full = self._waiting, self._full
        self._forget()
        if full and self._tp in self._app.consumer.opened:
            self._app.consumer.resume_partitions({self._tp})
        for run in joined(waiting):
            if not self._stopped:
                place.run_started()
                await self._take_one(run)
                place.run_finished()

    async def _take_one(self, run: Run) -> None:
        app, where = self._app, f"{self._tp.topic}[{self._tp.partition}]"
        try:
            position = await self._take(run)
        except Gap as gap:
            await app.consumer.rewind(run, gap.position)
        except InvariantBroken as error:
            self._stopped = True
            app.consumer.pause_partitions({self._tp})
            app.health.at(self._tp).stop(str(error))
            log.critical("%s is stopped: %s", where, error)
        except Exception as error:
            app.fault(error, f"taking {where} from {run.start}")
        else:
            app.consumer.done(self._tp, position)
            app.health.counts.runs[app.health.stage(self._tp.topic)] += 1


class Stage:
    """The lanes of one topic."""

    def __init__(self) -> None:
        self._ready: dict[Lane, None] = {}
        self._at_work: dict[Lane, float] = {}
        self._look_again: asyncio.TimerHandle | None = None

    def ready(self, lane: Lane) -> None:
        """Something waits in `lane`."""
        self._ready[lane] = None

    def start(self) -> None:
        """Start all that are ready, unless there are others to wait for."""
        loop = asyncio.get_running_loop()
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None
        patient_until = max(self._at_work.values(), default=0.0) + PATIENCE
        if patient_until > loop.time():
            if self._ready:
                self._look_again = loop.call_at(patient_until, self.start)
            return
        for lane in [lane for lane in self._ready if lane not in self._at_work]:
            del self._ready[lane]
            self._at_work[lane] = loop.time()
            lane.start().add_done_callback(partial(self._done, lane))

    def _done(self, lane: Lane, task: object) -> None:
        del self._at_work[lane]
        self.start()

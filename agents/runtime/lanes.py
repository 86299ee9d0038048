"""Lanes: a partition's runs are taken one after another; what arrives meanwhile becomes one run.

Fetching is eager: under load many small runs come while one is being taken, and each by itself
would cost appends and a database transaction of its own. So no timer gathers work, and yet there is
more of it in a run the busier it gets.

The lanes of a topic start together, so that what they append goes out in one request and comes
back in one: measured at 500 transactions a second over 8 shards, a request is half a millisecond
of Python whatever is in it. One that is held up holds up the others no longer than PATIENCE.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from faust.types import TP

from agents.runtime.runs import Run, joined
from agents.runtime.runtime import Runtime
from ledger.errors import InvariantBroken
from ledger.health.partitions import current_partition

FULL_BYTES = 2 * 1024 * 1024
"""Of memory, waiting in one lane; beyond it nothing is fetched for it until they are taken."""

PATIENCE = 0.1
"""Seconds that lanes wait for the slowest one; ten times what a run takes when it is quiet."""

Take = Callable[[Run], Awaitable[int]]
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

    def __init__(self, runtime: Runtime, tp: TP, take: Take, lanes: "Lanes") -> None:
        self._runtime, self._tp, self._take, self._lanes = runtime, tp, take, lanes
        self._waiting: list[Run] = []
        self._bytes = 0
        self._full = self._stopped = False

    def put(self, run: Run) -> None:
        """Take `run` when its turn comes, once the lanes start."""
        if self._stopped:
            return
        self._waiting.append(run)
        self._bytes += run.size
        if self._bytes > FULL_BYTES and not self._full:
            self._full = True
            self._runtime.membership.pause(self._tp, self)
        self._lanes.ready(self)

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
        place = self._runtime.health.at(self._tp)
        current_partition.set(place)
        waiting, full = self._waiting, self._full
        self._forget()
        if full:
            self._runtime.membership.resume(self._tp, self)
        for run in joined(waiting):
            if not self._stopped:
                place.run_started()
                await self._take_one(run)
                place.run_finished()

    async def _take_one(self, run: Run) -> None:
        membership, health = self._runtime.membership, self._runtime.health
        where = f"{self._tp.topic}[{self._tp.partition}]"
        try:
            position = await self._take(run)
        except Gap as gap:
            await membership.rewind(run, gap.position)
        except InvariantBroken as error:
            self._stopped = True
            membership.pause(self._tp, self)
            health.at(self._tp).stop(str(error))
            log.critical("%s is stopped: %s", where, error)
        except Exception as error:
            self._runtime.fail(error, f"taking {where} from {run.start}")
        else:
            membership.done(self._tp, position)
            health.counts.runs[health.stage(self._tp.topic)] += 1


class Lanes:
    """Those of one topic; they start together."""

    def __init__(self, runtime: Runtime, take: Take) -> None:
        self._runtime, self._take = runtime, take
        self._lanes: dict[TP, Lane] = {}
        self._ready: dict[Lane, None] = {}
        self._at_work: dict[Lane, float] = {}
        self._look_again: asyncio.TimerHandle | None = None

    def put(self, runs: Iterable[Run]) -> None:
        """Take each of them in the lane of its partition."""
        for run in runs:
            self.lane(run.tp).put(run)
        self.start()

    def lane(self, tp: TP) -> Lane:
        """The lane of a partition."""
        if tp not in self._lanes:
            self._lanes[tp] = Lane(self._runtime, tp, self._take, self)
        return self._lanes[tp]

    def clear(self) -> None:
        """Clear every lane."""
        for lane in self._lanes.values():
            lane.clear()

    def clear_lane(self, tp: TP) -> None:
        """Clear the lane of `tp`, if this topic has it."""
        if tp in self._lanes:
            self._lanes[tp].clear()

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

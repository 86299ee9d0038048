"""Lanes: a partition's runs are taken one after another; what arrives meanwhile becomes one run.

Fetching is eager: under load many small runs come while one is being taken, and each by itself
would cost appends and a database transaction of its own (about 15 ms of CPU on the whole system,
however few records are in it). So no timer gathers work, and yet there is more of it in a run the
busier it gets. Lanes do not wait for each other.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from faust.types import TP

from ledger.errors import InvariantBroken
from ledger.streaming.delivery import Run

FULL_BYTES = 4 * 1024 * 1024
"""Waiting in one lane; beyond it the partition is not fetched from until they are taken."""

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

    def __init__(self, app: Any, tp: TP, take: Callable[[Run], Awaitable[int]]) -> None:
        self._app, self._tp, self._take = app, tp, take
        self._waiting: list[tuple[Any, Run]] = []
        self._bytes = 0
        self._full = self._stopped = False
        self._task: asyncio.Task[None] | None = None

    def put(self, message: Any, run: Run) -> None:
        """Take `run` when its turn comes."""
        if self._stopped:
            return
        self._waiting.append((message, run))
        self._bytes += sum(len(record.value or b"") for record in run.records)
        if self._bytes > FULL_BYTES and not self._full:
            self._full = True
            self._app.consumer.pause_partitions({self._tp})
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name=f"lane {self._tp}")

    def clear(self) -> None:
        """Forget what waits: the partition is opened anew, or is somebody else's."""
        self._waiting, self._bytes, self._full = [], 0, False

    async def _work(self) -> None:
        while self._waiting and not self._stopped:
            waiting, full = self._waiting, self._full
            self.clear()
            if full and self._tp in self._app.consumer.opened:
                self._app.consumer.resume_partitions({self._tp})
            for message, run in joined(waiting):
                await self._take_one(message, run)

    async def _take_one(self, message: Any, run: Run) -> None:
        consumer, where = self._app.consumer, f"{self._tp.topic}[{self._tp.partition}]"
        try:
            position = await self._take(run)
        except Gap as gap:
            await consumer.rewind(self._tp, gap.position)
        except InvariantBroken as error:
            self._stopped = True
            consumer.pause_partitions({self._tp})
            log.critical("%s is stopped: %s", where, error)
        except Exception as error:
            self._app.fault(error, f"taking {where} from {run.start}")
        else:
            consumer.done(message, position)


def joined(waiting: Iterable[tuple[Any, Run]]) -> Iterator[tuple[Any, Run]]:
    """Runs that follow each other without a gap as one, with the last one's message."""
    held: tuple[Any, Run] | None = None
    for message, run in waiting:
        if held is not None and held[1].end == run.start:
            held[1].records.extend(run.records)
            held = message, Run(run.tp, held[1].start, run.end, held[1].records)
            continue
        if held is not None:
            yield held
        held = message, Run(run.tp, run.start, run.end, list(run.records))
    if held is not None:
        yield held

"""The open breaks of an API process: folded from their topic, and followed from then on."""

import asyncio
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka import ConsumerRecord, TopicPartition

from ledger.api.problems import Problem
from ledger.client.outcomes import OpenBreak
from ledger.client.partitions import ledger_partitions
from ledger.client.records import Records
from ledger.client.resource import cancel
from ledger.errors import LedgerError
from ledger.health.waiting import waited_for
from ledger.settings import Settings
from ledger.streaming.follower import Follower
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics

AGAIN_SECONDS = 5.0
"""Before what cannot be followed is read again from its beginning."""

log = logging.getLogger(__name__)


class Side(NamedTuple):
    """The totals of a stripe as one side has them, in minor units."""

    debits: int
    credits: int
    entries: int
    offset: int


class Break(NamedTuple):
    """An open break: positions of its shard, time in microseconds; a side is None without rows."""

    stripe: OpenBreak
    start: int
    end: int
    stream: Side | None
    ledger: Side | None
    detected_at: int


class OpenBreaks:
    """`found` by stripe, newest state; an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self.found: dict[OpenBreak, Break] = {}
        self._settings = settings
        self._whole = False
        self._why = "the breaks are not read yet"
        self._records: Records | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="follow breaks")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await cancel(self._task)

    def require(self) -> None:
        """Raises Problem unless all of the topic is read."""
        if not self._whole:
            raise Problem("KAFKA_UNAVAILABLE", f"The breaks are not known: {self._why}")

    def problem(self) -> str | None:
        """Why some may be missing; None if none is."""
        return None if self._whole else self._why

    async def _follow(self) -> None:
        while True:
            try:
                await waited_for(self._read, "follow the breaks", endless=True)
            except LedgerError as error:
                log.error("The breaks cannot be followed: %s", error)
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self) -> None:
        try:
            await self._read_on()
        except LedgerError as error:
            # What was found stays, with what is wrong beside it.
            self._whole, self._why = False, str(error)
            raise

    async def _read_on(self) -> None:
        topic = topics(self._settings).breaks.name
        if self._records is None:
            # Kept: when it begins again, the registry may be away.
            self._records = await Records.of(self._settings, "Break", "Reference")
        records = self._records
        counts = await ledger_partitions(self._settings, topic, reference=records)
        found: dict[OpenBreak, Break] = {}

        async def take(fetched: list[ConsumerRecord]) -> None:
            for _, row in await records.decode("Break", fetched):
                fold(found, row)

        async with Reader(self._settings) as reader:
            follower = Follower(reader, take)
            wanted = [TopicPartition(topic, each) for each in range(counts[topic])]
            bounds = await reader.bounds(wanted)
            follower.start({tp: first for tp, (first, _) in bounds.items()})
            try:
                await follower.caught_up()
                self.found, self._whole = found, True
                await follower.wait_until(lambda: False)
            finally:
                await follower.close()


def fold(found: dict[OpenBreak, Break], row: Mapping[str, Any]) -> None:
    """Take a Break record: the last one of a stripe counts."""
    stripe = OpenBreak(row["shard"], row["account"], row["currency"])
    if row["state"] != "open":
        found.pop(stripe, None)
        return
    found[stripe] = Break(
        stripe, row["start"], row["end"], _side(row["stream"]), _side(row["ledger"]),
        row["detected_at"],
    )  # fmt: skip


def _side(totals: Mapping[str, Any] | None) -> Side | None:
    if totals is None:
        return None
    return Side(int(totals["debits"]), int(totals["credits"]), totals["entries"], totals["offset"])

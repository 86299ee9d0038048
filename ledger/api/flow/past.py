"""Runs that are longer ago than the flow keeps: read from the decision log, one at a time."""

from collections import OrderedDict

from ledger.api.flow.runs import HeldRun
from ledger.client.records import Records
from ledger.errors import Unavailable
from ledger.settings import Settings
from ledger.streaming.decisions import decision_in
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics

KEPT = 32
"""Runs that were read last."""


class PastRuns:
    """Reads runs whose place is known, such as from the general ledger."""

    def __init__(self, settings: Settings, log: Log) -> None:
        self._settings, self._log = settings, log
        self._topic = topics(settings).decisions.name
        self._kept: OrderedDict[tuple[int, int], HeldRun] = OrderedDict()
        self._codec: Codec | None = None

    async def learn(self) -> None:
        """Look up the schema of decisions, so that a first read needs no registry.

        Raises Unavailable where the registry does not answer.
        """
        if self._codec is None:
            self._codec = (await Records.of(self._settings, "Decision")).codec

    async def at(self, shard: int, decisions_offset: int) -> HeldRun:
        """The run at this offset of the decision log.

        Raises Unavailable where Kafka or the registry does not answer, or no longer has it.
        """
        place = shard, decisions_offset
        if place not in self._kept:
            self._kept[place] = await self._read(shard, decisions_offset)
        self._kept.move_to_end(place)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[place]

    async def _read(self, shard: int, at: int) -> HeldRun:
        await self.learn()
        assert self._codec is not None, "it was learnt"
        async for records in self._log.read(self._topic, shard, at, at + 1):
            for record in records:
                found = decision_in(self._codec, record)
                if found is not None:
                    return HeldRun(
                        found.start, found.end, at, record.timestamp * 1_000,
                        found.content, found.outcomes, found.voids,
                    )  # fmt: skip
        raise Unavailable(f"{self._topic}[{shard}] has no run at {at}.")

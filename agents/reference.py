"""Reference data: read to its end before anything is decided, and followed from then on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiokafka import ConsumerRecord

from ledger.domain.reference import Reference, ScaleChanged
from ledger.errors import InvariantBroken
from ledger.streaming.log import Log
from ledger.streaming.reference import item_of
from ledger.streaming.registry import Codec
from ledger.streaming.waiting import waited_for

log = logging.getLogger(__name__)


class ReferenceFollower:
    """`data` is what is known; `ready` is set once the topic was read to its end."""

    def __init__(self, log_: Log, codec: Codec, topic: str) -> None:
        self.data = Reference()
        self.ready = asyncio.Event()
        self._log, self._codec, self._topic = log_, codec, topic
        self._listeners: list[Callable[[], Awaitable[None]]] = []

    def on_move(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Call `listener` each time something new was read."""
        self._listeners.append(listener)

    async def follow(self) -> None:
        """For ever."""
        await waited_for(self._read_on, "read the reference data")
        self.ready.set()
        await waited_for(self._follow_on, "follow the reference data", endless=True)

    async def _follow_on(self) -> None:
        async for records in self._log.follow(self._topic, 0, self.data.offset):
            self._add(records)
            for listener in self._listeners:
                await listener()

    async def _read_on(self) -> None:
        async for records in self._log.read(self._topic, 0, self.data.offset):
            self._add(records)

    def _add(self, records: list[ConsumerRecord]) -> None:
        for record in records:
            try:
                self.data.add([item_of(self._codec.decode("Reference", record.value or b""))])
            except ScaleChanged as error:
                log.critical("Reference data at %s is ignored: %s", record.offset, error)
            except (ValueError, InvariantBroken) as error:
                log.error("Reference data at %s is ignored: %s", record.offset, error)
            self.data.offset = record.offset + 1

"""Reference data, as a client needs it to check what the service will check."""

import logging
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.reading import Follower, Reader
from ledger.client.records import Records
from ledger.domain.policy import Policy
from ledger.domain.reference import Reference
from ledger.health.waiting import waited_for
from ledger.settings import Settings
from ledger.streaming.reference import policy_of, policy_or_first, take
from ledger.streaming.topics import topics

IDLE_FETCH_MS = 500

log = logging.getLogger(__name__)


class ReferenceFollower:
    """`known` is read to the topic's end on entry and followed from then on."""

    def __init__(self, settings: Settings, records: Records) -> None:
        self.known = Reference()
        self._settings = settings
        self._records = records
        self._partition = TopicPartition(topics(settings).reference.name, 0)
        self._reader = Reader(settings, fetch_wait_ms=IDLE_FETCH_MS)
        self._follower = Follower(self._reader, self._take)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._reader)
            stack.push_async_callback(self._follower.close)
            bounds = await self._reader.bounds([self._partition])
            self._follower.start({tp: first for tp, (first, _) in bounds.items()})
            await self.catch_up()
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    @property
    def policy(self) -> Policy:
        """The ledger's; what the settings would make of a new one where it has none yet."""
        return policy_or_first(self.known, self._settings)

    async def catch_up(self) -> None:
        """Return once everything that is in the topic now is in `known`."""
        await self._follower.caught_up()

    async def _take(self, records: list[ConsumerRecord]) -> None:
        rows = await waited_for(
            lambda: self._records.decode("Reference", records, tell=False), "read reference data"
        )
        for record, row in rows:
            if (why := take(self.known, record, row)) is not None:
                # It stays in the topic for ever, and nobody can mend it in each command anew: the
                # service says so when it reads it, and an import of what it finds beside its own.
                log.debug("Reference data at %s is ignored: %s", record.offset, why)
        self.known.offset = records[-1].offset + 1


async def shortest_window(settings: Settings) -> int:
    """The shortest window, microseconds, that the ledger ever had: ids are remembered for that.

    Raises LedgerError when Kafka or the registry is not as it must be.
    """
    records = await Records.of(settings, "Reference")
    async with ReferenceFollower(settings, records) as follower:
        windows = [policy.window for _, policy in follower.known.policies]
    return min(windows, default=policy_of(settings).window)

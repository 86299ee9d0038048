"""Reference data, as a client needs it to check what the service will check."""

import asyncio
from contextlib import AsyncExitStack

from ledger.client.records import Records
from ledger.client.resource import AsyncResource
from ledger.domain.policy import Policy
from ledger.domain.reference import Reference
from ledger.health.waiting import waited_for
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.reference import policy_of, policy_or_first
from ledger.streaming.reference_follower import ReferenceReader
from ledger.streaming.topics import topics


class ClientReference(AsyncResource):
    """`known` is read to the topic's end on entry and followed from then on.

    Records that count for nothing stay in the topic for ever: the service reports them when it
    reads them, and an import what it finds beside its own. Here they are logged for debugging only.
    """

    def __init__(self, settings: Settings, records: Records) -> None:
        self.known = Reference()
        self._settings = settings
        self._log = Log(settings)
        self._topic = topics(settings).reference.name
        self._reader = ReferenceReader(self._log, records.codec, self._topic, self.known)

    async def _enter(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._log.close)
        self.known.offset, _ = await self._log.bounds(self._topic, 0)
        await self._reader.read_on()
        following = waited_for(self._reader.follow_on, "follow the reference data", endless=True)
        self._following = asyncio.create_task(following, name="follow reference data")
        stack.push_async_callback(self._stop_following)

    async def _stop_following(self) -> None:
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)

    @property
    def policy(self) -> Policy:
        """The ledger's; what the settings would make of a new one where it has none yet."""
        return policy_or_first(self.known, self._settings)

    async def catch_up(self) -> None:
        """Return once everything that is in the topic now is in `known`.

        Raises what ended the following.
        """
        if self._following.done():
            self._following.result()
        await self._reader.read_on()


async def shortest_window(settings: Settings) -> int:
    """The shortest window, microseconds, that the ledger ever had: ids are remembered for that.

    Raises LedgerError when Kafka or the registry is not as it must be.
    """
    records = await Records.of(settings, "Reference")
    async with ClientReference(settings, records) as follower:
        windows = [policy.window for _, policy in follower.known.policies]
    return min(windows, default=policy_of(settings).window)

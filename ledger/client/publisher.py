"""Publish transactions: check them by the rules of the service, and append them to the log."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from functools import partial

from ledger.client.appender import PartitionAppender
from ledger.client.checking import RECORD_BYTES, encoded, refusal_of
from ledger.client.partitions import ledger_partitions
from ledger.client.receipt import MANY, Receipt
from ledger.client.records import Records
from ledger.client.reference import ClientReference
from ledger.client.resource import AsyncResource
from ledger.clock import now
from ledger.domain.partition import partition_of
from ledger.domain.policy import Policy
from ledger.domain.reference import Reference
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft
from ledger.settings import Settings, load
from ledger.streaming.log import Log
from ledger.streaming.topics import topics

CLOSE_SECONDS = 10
FRESH_SECONDS = 1.0

# Refusals that newer reference data may change.
_BY_REFERENCE = frozenset(
    {
        Reason.UNKNOWN_CURRENCY,
        Reason.ACCOUNT_UNKNOWN,
        Reason.ACCOUNT_NOT_OPEN,
        Reason.ACCOUNT_CLOSED,
        Reason.ACCOUNT_CURRENCY,
    }
)


class Publisher(AsyncResource):
    """Publishes from one event loop; use one publisher for long, as an async context manager.

    Without `check` all checks are left to the service. A transaction that Kafka has not
    acknowledged after `timeout` seconds fails with PublishFailed; None waits without limit.
    `records`: as `records_of` has made them before, so that the registry need not answer now.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        check: bool = True,
        timeout: float | None = 60.0,
        clock: Callable[[], int] = now,
        records: Records | None = None,
    ) -> None:
        self._settings = settings or load()
        self._given = records
        self._check, self._timeout, self._clock = check, timeout, clock
        self._log = Log(self._settings)
        self._appenders: list[PartitionAppender] = []
        self._refreshed = float("-inf")

    async def _enter(self, stack: AsyncExitStack) -> None:
        topic = topics(self._settings).transactions.name
        counts = await ledger_partitions(self._settings, topic, reference=self._given)
        self._records = self._given or await records_of(self._settings)
        stack.push_async_callback(self._close_log)
        self._reference = ClientReference(self._settings, self._records)
        if self._check:
            await stack.enter_async_context(self._reference)
        stack.push_async_exit(self._finish)
        # The number of shards is the topic's; a setting could be another ledger's.
        self._appenders = [
            PartitionAppender(self._log, topic, shard, timeout=self._timeout)
            for shard in range(counts[topic])
        ]

    async def _finish(self, *error: object) -> None:
        """Wait for pending publications, or cancel them if the block raised."""
        for appender in self._appenders if any(error) else ():
            appender.cancel()
        await self.flush()

    async def _close_log(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._log.close()

    @property
    def shards(self) -> int:
        """Number of shards of the ledger."""
        return len(self._appenders)

    @property
    def window(self) -> int:
        """Microseconds for which the ledger remembers an id."""
        return self.policy.window

    @property
    def policy(self) -> Policy:
        """The ledger's policy."""
        return self._reference.policy

    @property
    def reference(self) -> Reference:
        """The reference data, as far as they have been read."""
        return self._reference.known

    async def publish(self, draft: Draft) -> Receipt | Refused:
        """Publish one, and wait until Kafka has it. Raises PublishFailed."""
        sent = await self.submit(draft)
        return sent if isinstance(sent, Refused) else await sent

    async def submit(self, draft: Draft) -> asyncio.Future[Receipt] | Refused:
        """Publish one without waiting for Kafka, unless too much is pending.

        Transactions with one ordering key reach the log in the order of the calls. The result of
        the future is the receipt; it raises PublishFailed.
        """
        self.require_open()
        examined = await self.examine(draft)
        return examined if isinstance(examined, Refused) else await self.submit_record(*examined)

    async def submit_record(self, key: bytes, value: bytes) -> asyncio.Future[Receipt]:
        """Publish a record as it is, as `submit` does; nothing is checked."""
        self.require_open()
        return await self._appenders[partition_of(key, self.shards)].put(key, value)

    async def publish_many(
        self, drafts: Iterable[Draft]
    ) -> AsyncIterator[tuple[Draft, Receipt | Refused]]:
        """Publish all, many at once; yields each with its outcome, in order."""
        window: deque[tuple[Draft, asyncio.Future[Receipt] | Refused]] = deque()
        for draft in drafts:
            window.append((draft, await self.submit(draft)))
            if len(window) > MANY:
                yield await _acknowledged(*window.popleft())
        while window:
            yield await _acknowledged(*window.popleft())

    async def check(self, draft: Draft) -> Refused | None:
        """The refusal that `publish` would return; nothing is sent."""
        examined = await self.examine(draft)
        return examined if isinstance(examined, Refused) else None

    async def flush(self) -> None:
        """Return when everything submitted was acknowledged or has failed."""
        for appender in self._appenders:
            await appender.flush()

    async def examine(self, draft: Draft) -> tuple[bytes, bytes] | Refused:
        """Key and value of the draft's record, or the refusal that `publish` would return."""
        limit = self._reference.policy.max_bytes if self._check else RECORD_BYTES
        record = encoded(draft, partial(self._records.codec.encode, "Transaction"), limit)
        if isinstance(record, Refused) and record.reason is not Reason.FIELD_MALFORMED:
            return record
        refused = self._refusal(draft) if self._check else None
        if refused and refused.reason in _BY_REFERENCE and await self._refresh():
            refused = self._refusal(draft)
        return refused or record

    def _refusal(self, draft: Draft) -> Refused | None:
        reference, policy = self._reference.known, self._reference.policy
        return refusal_of(draft, recorded_at=self._clock(), reference=reference, policy=policy)

    async def _refresh(self) -> bool:
        """Read the newest reference data, unless it was read just now."""
        if time.monotonic() - self._refreshed < FRESH_SECONDS:
            return False
        self._refreshed = time.monotonic()
        await self._reference.catch_up()
        return True


async def records_of(settings: Settings) -> Records:
    """The schemas of what a publisher writes and reads. Raises as Records.of."""
    return await Records.of(settings, "Transaction", "Reference")


async def _acknowledged(
    draft: Draft, sent: asyncio.Future[Receipt] | Refused
) -> tuple[Draft, Receipt | Refused]:
    return draft, sent if isinstance(sent, Refused) else await sent

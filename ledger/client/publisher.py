"""Publishing transactions: checked here by the rules of the service, then appended to the log."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

from ledger.client.lanes import RECORD_BYTES, Lane, Receipt
from ledger.client.reading import ledger_partitions
from ledger.client.records import Records
from ledger.client.reference import ClientReference
from ledger.domain.partition import partition_of
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft, check_content, check_fields, ordering_key
from ledger.settings import Settings, load
from ledger.streaming.log import Log
from ledger.streaming.topics import topics

MANY = 10_000
"""Transactions of `publish_many` that may be under way at once."""
CLOSE_SECONDS = 10
FRESH_SECONDS = 1.0

# What newer reference data may change.
_BY_REFERENCE = frozenset(
    {
        Reason.UNKNOWN_CURRENCY,
        Reason.ACCOUNT_UNKNOWN,
        Reason.ACCOUNT_NOT_OPEN,
        Reason.ACCOUNT_CLOSED,
        Reason.ACCOUNT_CURRENCY,
    }
)


def present() -> int:
    """This machine's clock, in microseconds since 1970."""
    return time.time_ns() // 1_000


class Publisher:
    """Publishes from one event loop; use it as an async context manager and keep it.

    `settings` say where; `check` False leaves every check to the service. A transaction that Kafka
    has not acknowledged for `timeout` seconds fails with PublishFailed; None waits for ever.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        check: bool = True,
        timeout: float | None = 60.0,
        clock: Callable[[], int] = present,
    ) -> None:
        self._settings = settings or load()
        self._check, self._timeout, self._clock = check, timeout, clock
        self._log = Log(self._settings)
        self._lanes: list[Lane] = []
        self._refreshed = float("-inf")

    async def __aenter__(self) -> Self:
        """Raises LedgerError, with what to do, when Kafka or the registry is not as it must be."""
        topic = topics(self._settings).transactions.name
        counts = await ledger_partitions(self._settings, topic)
        self._records = await Records.of(self._settings, "Transaction", "Reference")
        async with AsyncExitStack() as stack:
            self._reference = ClientReference(self._settings, self._records)
            if self._check:
                await stack.enter_async_context(self._reference)
            self._open = stack.pop_all()
        # The log knows its own number of shards; a setting could be another ledger's.
        self._lanes = [
            Lane(self._log, topic, shard, timeout=self._timeout) for shard in range(counts[topic])
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits for what is under way, unless an exception is on its way out."""
        for lane in self._lanes if error else ():
            lane.cancel()
        await self.flush()
        await self._open.aclose()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._log.close()

    @property
    def shards(self) -> int:
        """Number of shards of the ledger."""
        return len(self._lanes)

    @property
    def window(self) -> int:
        """How long the ledger remembers an id, in microseconds."""
        return self._reference.policy.window

    async def publish(self, draft: Draft) -> Receipt | Refused:
        """Publish one and wait until Kafka has it. Raises PublishFailed."""
        sent = await self.submit(draft)
        return sent if isinstance(sent, Refused) else await sent

    async def submit(self, draft: Draft) -> asyncio.Future[Receipt] | Refused:
        """Publish one without waiting for Kafka; waits only when too much is under way.

        Those of one ordering key reach the log in the order of the calls. The future's result is
        the receipt; it raises PublishFailed.
        """
        examined = await self._examine(draft)
        if isinstance(examined, Refused):
            return examined
        key, value = examined
        return await self._lanes[partition_of(key, len(self._lanes))].put(key, value)

    async def publish_many(
        self, drafts: Iterable[Draft]
    ) -> AsyncIterator[tuple[Draft, Receipt | Refused]]:
        """Publish all, many at once; yields each with its outcome, in order."""
        window: deque[tuple[Draft, asyncio.Future[Receipt] | Refused]] = deque()
        for draft in drafts:
            window.append((draft, await self.submit(draft)))
            if len(window) > MANY:
                yield await _settled(*window.popleft())
        while window:
            yield await _settled(*window.popleft())

    async def check(self, draft: Draft) -> Refused | None:
        """What `publish` would refuse, with nothing sent."""
        examined = await self._examine(draft)
        return examined if isinstance(examined, Refused) else None

    async def flush(self) -> None:
        """Return when everything submitted was acknowledged, or failed."""
        for lane in self._lanes:
            await lane.flush()

    async def _examine(self, draft: Draft) -> tuple[bytes, bytes] | Refused:
        encoded = self._encode(draft)
        if isinstance(encoded, Refused) and encoded.reason is not Reason.FIELD_MALFORMED:
            return encoded
        refused = self._refusal(draft) if self._check else None
        if refused and refused.reason in _BY_REFERENCE and await self._refresh():
            refused = self._refusal(draft)
        return refused or encoded

    def _refusal(self, draft: Draft) -> Refused | None:
        now = self._clock()
        # Whether `reverses` names a transaction of before names had rules, the service knows.
        refused = check_fields(
            draft, recorded_at=now, policy=self._reference.policy, accepted=lambda _: True
        )
        if refused:
            return refused
        checked = check_content(
            draft, recorded_at=now, reference=self._reference.known, policy=self._reference.policy
        )
        return checked if isinstance(checked, Refused) else None

    async def _refresh(self) -> bool:
        """Read the reference data's newest, if that was not done just now."""
        now = time.monotonic()
        if now - self._refreshed < FRESH_SECONDS:
            return False
        self._refreshed = now
        await self._reference.catch_up()
        return True

    def _encode(self, draft: Draft) -> tuple[bytes, bytes] | Refused:
        """Key and value of the record, or why there can be none."""
        try:
            key = ordering_key(draft).encode()
            value = self._records.codec.encode("Transaction", draft)
        except (ValueError, OverflowError) as error:
            sentence = f"The transaction cannot be written as Avro: {error}."
            return Refused(Reason.FIELD_MALFORMED, sentence)
        limit = self._reference.policy.max_bytes if self._check else RECORD_BYTES
        if len(value) > limit or len(key) + len(value) > RECORD_BYTES:
            sentence = f"The record has {len(value)} bytes; at most {limit} are taken."
            return Refused(Reason.TOO_LARGE, sentence)
        return key, value


async def _settled(
    draft: Draft, sent: asyncio.Future[Receipt] | Refused
) -> tuple[Draft, Receipt | Refused]:
    return draft, sent if isinstance(sent, Refused) else await sent

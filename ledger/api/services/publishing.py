"""Appends transactions for an API process: bounded in memory, and clear about what is not known.

Three things can go wrong, and each has an answer of its own: too much is pending (429, nothing was
sent), Kafka is away (503 KAFKA_UNAVAILABLE, nothing was sent), Kafka has not acknowledged in time
(503 OUTCOME_UNKNOWN: the log may have it).
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Self

from ledger.api.problems import Problem
from ledger.client.publisher import Publisher, records_of
from ledger.client.receipt import PublishFailed, Receipt
from ledger.client.records import Records
from ledger.client.resource import cancel
from ledger.domain.partition import partition_of
from ledger.domain.refusal import Refused
from ledger.domain.transaction import Draft
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings

PENDING_BYTES = 32 * 1024 * 1024
"""Of records that Kafka has not acknowledged; 16 MB a second with an answer in 2 s."""
PENDING = 20_000
"""Records that Kafka has not acknowledged."""
STALLED_SECONDS = 5.0
"""A shard without an acknowledgement for so long takes no more: Kafka is away."""
UNKNOWN_SECONDS = 10.0
"""An append without an acknowledgement for so long is unknown."""
AGAIN_SECONDS = 1.0
"""Between two attempts to connect."""
OVERHEAD = 200
"""Bytes of a record's objects."""

log = logging.getLogger(__name__)


class Examined(NamedTuple):
    """A transaction that nothing is known against: its record, and the shard that it is for."""

    key: bytes
    value: bytes
    shard: int

    @property
    def weight(self) -> int:
        """Bytes of memory."""
        return len(self.key) + len(self.value) + OVERHEAD


@dataclass(slots=True)
class _Shard:
    """Records that are pending; `since`: of the first of them, or the last acknowledgement."""

    pending: int = 0
    since: float = 0.0


class Publishing:
    """Open it as an async context manager. Kafka need not be there: `problem` says so."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._publisher: Publisher | None = None
        self._records: Records | None = None
        self._shards: dict[int, _Shard] = {}
        self._reopen = asyncio.Event()
        self.pending = self.pending_bytes = 0
        self._why: str | None = "it has not connected yet"

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="publishing")
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel(self._task)

    def problem(self) -> str | None:
        """Why nothing can be published now; None if it can."""
        if self._why is None and (stalled := self._stalled()):
            return stalled
        return self._why

    async def _run(self) -> None:
        while True:
            try:
                if self._records is None:
                    # Kept: when it is opened anew, the registry may be away.
                    self._records = await records_of(self._settings)
                async with Publisher(
                    self._settings, timeout=UNKNOWN_SECONDS, records=self._records
                ) as publisher:
                    self._publisher, self._why = publisher, None
                    self._reopen.clear()
                    await self._reopen.wait()
            except LedgerError as error:
                self._why = str(error)
                log.warning("Publishing waits: %s", error)
            except Exception as error:
                self._why = f"{type(error).__name__}: {error}"
                log.exception("Publishing has stopped and starts again")
            finally:
                self._publisher = None
            await asyncio.sleep(AGAIN_SECONDS)

    @property
    def publisher(self) -> Publisher:
        """The one that is open. Raises Problem without one."""
        if self._publisher is None:
            raise Problem("KAFKA_UNAVAILABLE", f"Nothing was sent: {self._why}")
        return self._publisher

    async def examine(self, draft: Draft) -> Examined | Refused:
        """Check it by the ledger's rules. Raises Problem where Kafka is away."""
        publisher = self.publisher
        try:
            found = await publisher.examine(draft)
        except LedgerError as error:
            if not isinstance(error, Unavailable):
                # The reference data are followed no more.
                self._why = str(error)
                self._reopen.set()
            raise Problem("KAFKA_UNAVAILABLE", f"Nothing was sent: {error}") from error
        if isinstance(found, Refused):
            return found
        return Examined(*found, partition_of(found[0], publisher.shards))

    async def append(self, record: Examined) -> Receipt:
        """Append it; returns once all replicas have it. Raises Problem."""
        publisher, shard = self.publisher, self._shards.setdefault(record.shard, _Shard())
        if stalled := self._stalled(record.shard):
            raise Problem("KAFKA_UNAVAILABLE", f"Nothing was sent: {stalled}")
        with self._room(record, shard):
            try:
                async with asyncio.timeout(STALLED_SECONDS):
                    sent = await publisher.submit_record(record.key, record.value)
            except TimeoutError as error:
                why = f"{self._pending_in(record.shard)} of its shard are waiting already."
                raise Problem("TOO_MANY_REQUESTS", f"Nothing was sent: {why}") from error
            except LedgerError as error:
                # It is being closed, to be opened anew.
                raise Problem("KAFKA_UNAVAILABLE", f"Nothing was sent: {error}") from error
            return await self._acknowledged(sent, shard)

    async def _acknowledged(self, sent: asyncio.Future[Receipt], shard: _Shard) -> Receipt:
        try:
            async with asyncio.timeout(UNKNOWN_SECONDS):
                receipt = await asyncio.shield(sent)
        except PublishFailed as error:
            raise Problem("OUTCOME_UNKNOWN", str(error)) from error
        except TimeoutError as error:
            why = (
                f"Kafka has not acknowledged it within {UNKNOWN_SECONDS:.0f} s, and may have it. "
                "Send it again with the same transaction_id: the ledger counts it once."
            )
            raise Problem("OUTCOME_UNKNOWN", why) from error
        shard.since = time.monotonic()
        return receipt

    @contextmanager
    def _room(self, record: Examined, shard: _Shard) -> Iterator[None]:
        if self.pending >= PENDING or self.pending_bytes + record.weight > PENDING_BYTES:
            raise Problem(
                "TOO_MANY_REQUESTS",
                f"Nothing was sent: {self.pending} transactions with {self.pending_bytes} bytes "
                "wait for Kafka's acknowledgement, and no more are taken.",
                retry_after=1,
            )
        if not shard.pending:
            shard.since = time.monotonic()
        shard.pending += 1
        self.pending += 1
        self.pending_bytes += record.weight
        try:
            yield
        finally:
            shard.pending -= 1
            self.pending -= 1
            self.pending_bytes -= record.weight

    def _stalled(self, shard: int | None = None) -> str | None:
        """Why a shard, or any, takes no more."""
        shards = self._shards.items() if shard is None else [(shard, self._shards[shard])]
        for number, each in shards:
            waited = time.monotonic() - each.since
            if each.pending and waited > STALLED_SECONDS:
                return (
                    f"Kafka has acknowledged nothing of shard {number} for {waited:.0f} s, and "
                    f"{each.pending} transactions wait for that."
                )
        return None

    def _pending_in(self, shard: int) -> int:
        return self._shards[shard].pending

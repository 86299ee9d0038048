"""Appending to one partition: while a batch is on its way, the next one gathers."""

import asyncio
from dataclasses import dataclass

from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownProducerId,
)

from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.streaming.log import AppendUnknown, Log
from ledger.streaming.topics import MIB
from ledger.streaming.waiting import waited_for

RECORD_BYTES = MIB - 1024
"""Key and value of the largest record that the topic takes, alone in its batch."""
BATCH_BYTES = 512 * 1024
_OVERHEAD = 32

# The next producer starts its numbers anew, so these do not come again.
_RENEWED = (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownProducerId,
)


class PublishFailed(LedgerError):
    """A transaction was not acknowledged; publishing it again with the same id is always safe."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The log has it, at this offset of this shard; the ledger's decision comes later."""

    shard: int
    offset: int


class Lane:
    """One partition. Two batches at most are in memory: one on its way, one that gathers.

    A batch that fails is sent again, for `timeout` seconds in all, before the next one goes: order
    is kept, and what the log then has twice the ledger recognises by its id.
    """

    def __init__(self, log: Log, topic: str, shard: int, *, timeout: float | None) -> None:
        self._log, self._topic, self._shard, self._timeout = log, topic, shard, timeout
        self._records: list[tuple[bytes, bytes]] = []
        self._futures: list[asyncio.Future[Receipt]] = []
        self._bytes = 0
        self._order = asyncio.Lock()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def put(self, key: bytes, value: bytes) -> asyncio.Future[Receipt]:
        """Take the record in the order of calls, waiting for room; the future is its receipt."""
        size = len(key) + len(value) + _OVERHEAD
        async with self._order:
            while self._records and self._bytes + size > BATCH_BYTES:
                self._room.clear()
                await self._room.wait()
            self._records.append((key, value))
            self._bytes += size
            future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
            self._futures.append(future)
        if self._task is None:
            self._task = asyncio.create_task(self._send_all(), name=f"{self._topic}[{self._shard}]")
        return future

    async def _send_all(self) -> None:
        futures: list[asyncio.Future[Receipt]] = []
        try:
            while self._records:
                records, futures = self._records, self._futures
                self._records, self._futures, self._bytes = [], [], 0
                self._room.set()
                await self._send_batch(records, futures)
        except BaseException as error:
            _fail(futures + self._futures, error)
            self._records, self._futures, self._bytes = [], [], 0
            raise
        finally:
            self._task = None

    async def _send_batch(
        self, records: list[tuple[bytes, bytes]], futures: list[asyncio.Future[Receipt]]
    ) -> None:
        try:
            first = await self._send(records)
        except PublishFailed as error:
            _fail(futures, error)
            return
        for index, future in enumerate(futures):
            if not future.done():
                future.set_result(Receipt(self._shard, first + index))

    async def _send(self, records: list[tuple[bytes, bytes]]) -> int:
        where = f"{self._topic}[{self._shard}]"

        async def attempt() -> int:
            try:
                return await self._log.append(self._topic, self._shard, records)
            except AppendUnknown as error:
                cause = error.__cause__
                if isinstance(cause, KafkaError) and not (
                    cause.retriable or isinstance(cause, _RENEWED)
                ):
                    raise PublishFailed(_sentence(f"{where}: {cause!r}.")) from error
                raise

        try:
            async with asyncio.timeout(self._timeout):
                return await waited_for(attempt, f"publish to {where}")
        except TimeoutError as error:
            what = f"Kafka did not acknowledge {where} within {self._timeout:g} seconds."
            raise PublishFailed(_sentence(what)) from error
        except (Unavailable, InvariantBroken) as error:
            raise PublishFailed(_sentence(str(error))) from error

    async def flush(self) -> None:
        """Return when everything taken was acknowledged, or failed."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def cancel(self) -> None:
        """Give up on what is under way."""
        if self._task is not None:
            self._task.cancel()


def _sentence(what: str) -> str:
    return (
        f"{what} Whether the log has the transaction is not known. Publish it again with the same "
        "transaction_id: if it was there already, it counts as a duplicate and changes nothing."
    )


def _fail(futures: list[asyncio.Future[Receipt]], error: BaseException) -> None:
    for future in futures:
        if future.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)
            # Known: whoever does not ask for this receipt is not told again in the log.
            future.exception()

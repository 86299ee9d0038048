"""Append to one partition: while a batch is being appended, the next one gathers."""

import asyncio

from aiokafka.errors import (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownProducerId,
)

from ledger.client.receipt import PublishFailed, Receipt
from ledger.errors import InvariantBroken, Unavailable
from ledger.health.waiting import waited_for
from ledger.streaming.log import AppendUnknown, Log

GATHERED_BYTES = 512 * 1024
_OVERHEAD = 32

# The log replaces its producer after these, and a new producer numbers from the beginning.
_RENEWED = (
    InvalidProducerEpoch,
    InvalidProducerIdMapping,
    OutOfOrderSequenceNumber,
    ProducerFenced,
    UnknownProducerId,
)


class PartitionAppender:
    """Appends to one partition in the order of calls, with at most two batches in memory.

    A batch that fails is appended again, for `timeout` seconds in all, before the next one. If the
    log then has a transaction twice, the ledger recognises it by its id.
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
        """Take a record, after waiting for room; the future is its receipt."""
        size = len(key) + len(value) + _OVERHEAD
        async with self._order:
            while self._records and self._bytes + size > GATHERED_BYTES:
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
        """Return when every record taken was acknowledged or has failed."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def cancel(self) -> None:
        """Cancel pending appends."""
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
            # Marked as retrieved: asyncio would log an error for a receipt that nobody awaits.
            future.exception()

"""An appender keeps order, gathers while it appends, retries, and fails with a sentence."""

import asyncio

import pytest
from aiokafka.errors import OutOfOrderSequenceNumber, TopicAuthorizationFailedError

from ledger.client.appender import GATHERED_BYTES, PartitionAppender
from ledger.client.receipt import PublishFailed, Receipt
from ledger.errors import Unavailable
from ledger.streaming.log import AppendUnknown


class FakeLog:
    """Takes batches, or fails first with `errors`; `gate` holds appends back."""

    def __init__(self, errors=()):
        self.batches = []
        self.errors = list(errors)
        self.gate = asyncio.Event()
        self.gate.set()
        self.end = 100

    async def append(self, topic, partition, records):
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(list(records))
        first, self.end = self.end, self.end + len(records)
        return first


def appender_to(log, timeout=5.0):
    return PartitionAppender(log, "ledger.transactions", 3, timeout=timeout)


def unknown(cause):
    error = AppendUnknown("ledger.transactions[3]")
    error.__cause__ = cause
    return error


def test_records_gather_while_a_batch_is_appended():
    async def scenario():
        log = FakeLog()
        appender = appender_to(log)
        log.gate.clear()
        futures = [await appender.put(b"k", b"0")]
        await asyncio.sleep(0.01)
        futures += [await appender.put(b"k", b"%d" % index) for index in range(1, 5)]
        log.gate.set()
        await appender.flush()
        assert [[value for _, value in batch] for batch in log.batches] == [
            [b"0"],
            [b"1", b"2", b"3", b"4"],
        ]
        assert [await future for future in futures] == [
            Receipt(3, offset) for offset in range(100, 105)
        ]

    asyncio.run(scenario())


def test_it_waits_for_room_and_keeps_the_order_of_calls():
    async def scenario():
        log = FakeLog()
        appender = appender_to(log)
        log.gate.clear()
        big = b"x" * (GATHERED_BYTES // 2)
        await appender.put(b"k", b"first")
        await asyncio.sleep(0.01)
        tasks = [asyncio.create_task(appender.put(b"%d" % index, big)) for index in range(6)]
        await asyncio.sleep(0.01)
        assert [task.done() for task in tasks] == [True] + [False] * 5
        log.gate.set()
        await asyncio.gather(*tasks)
        await appender.flush()
        sent = [key for batch in log.batches[1:] for key, _ in batch]
        assert sent == [b"%d" % index for index in range(6)]
        assert all(sum(len(value) for _, value in batch) <= GATHERED_BYTES for batch in log.batches)

    asyncio.run(scenario())


def test_a_record_bigger_than_a_batch_goes_alone():
    async def scenario():
        log = FakeLog()
        appender = appender_to(log)
        await appender.put(b"k", b"x" * (GATHERED_BYTES + 1))
        await appender.flush()
        assert len(log.batches) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "error",
    [
        AppendUnknown("the broker had it already"),
        unknown(OutOfOrderSequenceNumber()),
        Unavailable("Kafka does not answer"),
    ],
)
def test_a_failed_batch_is_appended_again(error):
    async def scenario():
        log = FakeLog([error])
        appender = appender_to(log)
        assert await (await appender.put(b"k", b"v")) == Receipt(3, 100)

    asyncio.run(scenario())


def test_an_error_that_retries_cannot_change_fails_at_once():
    async def scenario():
        log = FakeLog([unknown(TopicAuthorizationFailedError("ledger.transactions"))])
        appender = appender_to(log)
        with pytest.raises(PublishFailed, match="same transaction_id"):
            await (await appender.put(b"k", b"v"))
        assert await (await appender.put(b"k", b"next")) == Receipt(3, 100)

    asyncio.run(scenario())


def test_a_timeout_fails_one_batch_and_the_next_one_is_appended():
    async def scenario():
        log = FakeLog([Unavailable("away")] * 50)
        appender = appender_to(log, timeout=0.2)
        with pytest.raises(PublishFailed, match=r"within 0\.2 seconds"):
            await (await appender.put(b"k", b"v"))
        log.errors.clear()
        assert await (await appender.put(b"k", b"next")) == Receipt(3, 100)

    asyncio.run(scenario())


def test_cancelling_cancels_pending_appends():
    async def scenario():
        log = FakeLog()
        log.gate.clear()
        appender = appender_to(log)
        sent = await appender.put(b"k", b"v")
        await asyncio.sleep(0.01)
        waiting = await appender.put(b"k", b"w")
        appender.cancel()
        await appender.flush()
        assert sent.cancelled()
        assert waiting.cancelled()

    asyncio.run(scenario())

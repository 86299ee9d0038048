"""Appends to one partition: one batch on its way, what comes meanwhile together after it."""

import asyncio

from aiokafka import AIOKafkaProducer

from ledger.settings import Settings
from ledger.streaming import append_queue
from ledger.streaming.log import PUBLIC, AppendUnknown, Log
from ledger.streaming.topics import topics


class Broker(Log):
    """Takes batches when `gate` is open; fails first with `errors`."""

    def __init__(self, *errors):
        super().__init__(Settings(bootstrap_servers="nowhere:1"))
        self.batches, self.errors, self.end = [], list(errors), 100
        self.gate = asyncio.Event()

    async def _append(self, topic, partition, records):
        await self.gate.wait()
        if self.errors and (error := self.errors.pop(0)):
            raise error
        kept = list(records)
        self.batches.append((partition, [value for _, value in kept]))
        first, self.end = self.end, self.end + len(kept)
        return first


def records(*values):
    return [(None, value) for value in values]


def begin(broker, *values, partition=0):
    return asyncio.ensure_future(broker.append("t", partition, records(*values)))


async def turns(count=3):
    for _ in range(count):
        await asyncio.sleep(0)


def test_what_one_turn_of_the_loop_brings_goes_together_and_so_does_what_waits_for_it():
    async def story():
        broker = Broker()
        appends = [begin(broker, b"a", b"b"), begin(broker, b"c")]
        other = begin(broker, b"z", partition=1)
        await turns()
        appends += [begin(broker, b"d", b"e"), begin(broker, b"f")]
        await turns()
        broker.gate.set()
        offsets = await asyncio.gather(*appends)
        await other
        batches = [values for partition, values in broker.batches if partition == 0]
        assert batches == [[b"a", b"b", b"c"], [b"d", b"e", b"f"]]
        assert (1, [b"z"]) in broker.batches
        assert [offset - offsets[0] for offset in offsets] == [0, 2, 3, 5]
        # And alone again.
        assert await broker.append("t", 0, records(b"g")) == 107

    asyncio.run(story())


def test_a_batch_that_failed_is_unknown_to_all_that_were_in_it_and_to_nobody_else():
    async def story():
        broker = Broker(AppendUnknown("gone"))
        appends = [begin(broker, b"a"), begin(broker, b"b")]
        await turns()
        later = begin(broker, b"c")
        await turns()
        broker.gate.set()
        assert await later == 100
        found = await asyncio.gather(*appends, return_exceptions=True)
        assert [type(each) for each in found] == [AppendUnknown, AppendUnknown]
        assert await broker.append("t", 0, records(b"x")) == 101

    asyncio.run(story())


def test_only_so_much_goes_together(monkeypatch):
    monkeypatch.setattr(append_queue, "TOGETHER_BYTES", 5)

    async def story():
        broker = Broker()
        appends = [asyncio.ensure_future(broker.append("t", 0, records(b"xxx"))) for _ in range(4)]
        appends.append(asyncio.ensure_future(broker.append("t", 0, records(b"y" * 50))))
        await asyncio.sleep(0)
        broker.gate.set()
        assert await asyncio.gather(*appends) == [100, 101, 102, 103, 104]
        assert [len(values) for _, values in broker.batches] == [1, 1, 1, 1, 1]

    asyncio.run(story())


def test_one_that_was_given_up_does_not_hold_up_the_rest():
    async def story():
        broker = Broker()
        first = asyncio.ensure_future(broker.append("t", 0, records(b"a")))
        given_up = asyncio.ensure_future(broker.append("t", 0, records(b"b")))
        third = asyncio.ensure_future(broker.append("t", 0, records(b"c")))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        broker.gate.set()
        assert await asyncio.gather(first, third) == [100, 102]

    asyncio.run(story())


def test_what_clients_of_any_language_read_is_not_compressed():
    """Not every client has LZ4."""
    names = topics(Settings())
    public = {getattr(names, name).name for name in PUBLIC}

    async def codec_of(topic):
        log = Log(Settings())
        producer = AIOKafkaProducer(bootstrap_servers="nowhere:1", compression_type="lz4")
        batch = log._new_batch(producer, topic)
        for _ in range(100):
            batch.append(timestamp=None, key=b"k", value=b"v" * 100)
        batch.close()
        batch._build()
        return int.from_bytes(batch._buffer[21:23], "big") & 0b111

    found = {topic.name: asyncio.run(codec_of(topic.name)) for topic in names.all()}
    assert {name for name, codec in found.items() if codec == 0} == public
    assert {codec for name, codec in found.items() if name not in public} == {3}

"""Appends to one partition: one on its way, the others together after it."""

import asyncio

import pytest

from ledger.streaming import log as module
from ledger.streaming.log import AppendUnknown, Log


class Broker(Log):
    """Takes batches when `gate` is open; fails first with `errors`."""

    def __init__(self, *errors):
        super().__init__("nowhere:1")
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


def test_what_waits_for_a_partition_goes_together():
    async def story():
        broker = Broker()
        appends = [
            asyncio.ensure_future(broker.append("t", 0, records(*values)))
            for values in ((b"a", b"b"), (b"c",), (b"d", b"e"), (b"f",))
        ]
        other = asyncio.ensure_future(broker.append("t", 1, records(b"z")))
        await asyncio.sleep(0)
        broker.gate.set()
        offsets = await asyncio.gather(*appends)
        await other
        assert broker.batches == [(0, [b"a", b"b"]), (1, [b"z"]), (0, [b"c", b"d", b"e", b"f"])]
        assert offsets == [100, 103, 104, 106]
        # And alone again.
        assert await broker.append("t", 0, records(b"g")) == 107

    asyncio.run(story())


def test_a_batch_that_failed_is_unknown_to_all_that_were_in_it():
    async def story():
        broker = Broker(None, AppendUnknown("gone"))
        appends = [asyncio.ensure_future(broker.append("t", 0, records(b"%d" % each)))
                   for each in range(3)]  # fmt: skip
        await asyncio.sleep(0)
        broker.gate.set()
        found = await asyncio.gather(*appends, return_exceptions=True)
        assert found[0] == 100
        assert [type(each) for each in found[1:]] == [AppendUnknown, AppendUnknown]
        assert await broker.append("t", 0, records(b"x")) == 101

    asyncio.run(story())


def test_a_first_one_that_fails_does_not_take_the_others_along():
    async def story():
        broker = Broker(AppendUnknown("gone"))
        first = asyncio.ensure_future(broker.append("t", 0, records(b"a")))
        second = asyncio.ensure_future(broker.append("t", 0, records(b"b")))
        await asyncio.sleep(0)
        broker.gate.set()
        assert await second == 100
        with pytest.raises(AppendUnknown):
            await first

    asyncio.run(story())


def test_only_so_much_goes_together(monkeypatch):
    monkeypatch.setattr(module, "TOGETHER_BYTES", 5)

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

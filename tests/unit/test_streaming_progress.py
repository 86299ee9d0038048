"""How far a shard is compared, by the last record of its partition that is one of ours."""

import asyncio

from ledger.domain.run import Watermark
from ledger.streaming import progress
from ledger.streaming.registry import Codec
from tests.unit.test_work import Kafka

CODEC = Codec({"Progress": 6})
TOPIC = "progress"


class Logged(Kafka):
    async def last_of(self, topic, partitions):
        found = []
        for partition in partitions:
            _, end = await self.bounds(topic, partition)
            if end:
                found += [
                    each async for some in self.read(topic, partition, end - 1) for each in some
                ]
        return found


def said(shard: int, end: int) -> tuple[bytes, bytes]:
    mark = {"decisions_offset": end + 1, "end": end, "digest": bytes(32), "recorded_until": end}
    row = mark | {"shard": shard, "open_breaks": 0}
    return b"%d" % shard, CODEC.encode("Progress", row)


def compared(kafka: Kafka, shards: int) -> dict[int, int]:
    found = asyncio.run(progress.compared(kafka, CODEC, TOPIC, range(shards)))
    assert all(
        mark == Watermark(mark.end + 1, mark.end, bytes(32), mark.end) for mark in found.values()
    )
    return {shard: mark.end for shard, mark in found.items()}


def test_the_last_one_counts():
    kafka = Logged()
    kafka.of(TOPIC, 0).append([said(0, 3), said(0, 5)])
    kafka.of(TOPIC, 2).append([said(2, 4)])
    assert compared(kafka, 3) == {0: 5, 2: 4}


def test_what_is_none_of_ours_is_looked_past_however_much_there_is():
    kafka = Logged()
    garbage = [(None, None), (b"0", b"x"), said(1, 99)]
    kafka.of(TOPIC, 0).append([said(0, 3), said(0, 5), *garbage * 50])
    kafka.of(TOPIC, 1).append(garbage[:2])
    assert compared(kafka, 2) == {0: 5}

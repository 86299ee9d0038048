"""Record batches made by hand and sent as they are: what no client library would write."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c

from ledger.settings import Settings
from ledger.streaming import connection
from tests.hostile.damage import varint

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
Header = tuple[bytes, bytes | None]


def _nullable(part: bytes | None) -> bytes:
    return varint(-1) if part is None else varint(len(part)) + part


def record(
    delta: int,
    key: bytes | None,
    value: bytes | None,
    headers: Iterable[Header] = (),
    *,
    attributes: int = 0,
    since: int = 0,
) -> bytes:
    """A record as it stands in a batch; `delta` is what it calls its offset."""
    heads = [varint(len(name)) + name + _nullable(text) for name, text in headers]
    body = b"".join([
        bytes([attributes]), varint(since), varint(delta), _nullable(key), _nullable(value),
        varint(len(heads)), *heads,
    ])  # fmt: skip
    return varint(len(body)) + body


def batch(
    records: Sequence[bytes],
    *,
    attributes: int = 0,
    count: int | None = None,
    last: int | None = None,
    packed: bytes | None = None,
    times: tuple[int, int] = (1_700_000_000_000, 1_700_000_000_000),
) -> bytes:
    """A batch around them, its sum right; `packed` stands for them if given."""
    count = len(records) if count is None else count
    rest = struct.pack(
        ">hiqqqhii", attributes, count - 1 if last is None else last, *times, -1, -1, -1, count
    )
    rest += b"".join(records) if packed is None else packed
    return struct.pack(">qiibI", 0, len(rest) + 9, -1, 2, calc_crc32c(rest)) + rest


@asynccontextmanager
async def opened(settings: Settings, topic: str) -> AsyncIterator[AIOKafkaClient]:
    """A client that knows where the topic's partitions are."""
    client = AIOKafkaClient(**connection.kafka(settings))
    await client.bootstrap()
    try:
        await client.set_topics([topic])
        yield client
    finally:
        await client.close()


async def append(
    client: AIOKafkaClient, topic: str, batches: Mapping[int, Sequence[bytes]]
) -> dict[int, list[int]]:
    """By partition the offset of each batch's first record; raises the broker's first refusal."""
    sent = await asyncio.gather(
        *(_send(client, topic, partition, each) for partition, each in batches.items())
    )
    return dict(zip(batches, sent, strict=True))


async def send(
    settings: Settings, topic: str, batches: Mapping[int, Sequence[bytes]]
) -> dict[int, list[int]]:
    """`append`, once."""
    async with opened(settings, topic) as client:
        return await append(client, topic, batches)


async def _send(
    client: AIOKafkaClient, topic: str, partition: int, batches: Sequence[bytes]
) -> list[int]:
    node = client.cluster.leader_for_partition(TopicPartition(topic, partition))
    found = []
    for each in batches:
        request = ProduceRequest(None, -1, 30_000, [(topic, [(partition, each)])])
        answer = await client.send(node, request)
        _, code, offset, *_ = answer.topics[0][1][0]
        if code:
            raise for_code(code)(f"{topic}[{partition}]")
        found.append(offset)
    return found

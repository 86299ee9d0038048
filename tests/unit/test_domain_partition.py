"""The partitioner agrees with Java's and with aiokafka's."""

import random

import pytest
from aiokafka.partitioner import DefaultPartitioner, murmur2

from ledger.domain.partition import partition_of

# Kafka, clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java, testMurmur2.
JAVA = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("key", "java"), JAVA)
def test_java_vectors(key: bytes, java: int) -> None:
    for partitions in (1, 2, 8, 100, 512, 2**31 - 1):
        assert partition_of(key, partitions) == (java & 0x7FFFFFFF) % partitions


def test_agrees_with_aiokafka_on_any_bytes() -> None:
    chance = random.Random(2)
    for length in range(130):
        for _ in range(5):
            key = chance.randbytes(length)
            assert partition_of(key, 2**31 - 1) == (murmur2(key) & 0x7FFFFFFF) % (2**31 - 1)
            every = list(range(8))
            assert partition_of(key, 8) == DefaultPartitioner()(key, every, every)


def test_every_partition_is_used() -> None:
    found = {partition_of(f"t-{number}".encode(), 512) for number in range(20_000)}
    assert found == set(range(512))

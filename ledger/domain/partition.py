"""The partitioner: murmur2 as Kafka's Java client computes it."""

from murmurhash2 import murmurhash2

_SEED = 0x9747B28C


def partition_of(key: bytes, partitions: int) -> int:
    """Partition 0 to partitions - 1 of `key`.

    Source: Kafka's `Utils.toPositive(Utils.murmur2(key)) % numPartitions`.
    """
    return int(murmurhash2(key, _SEED) & 0x7FFFFFFF) % partitions

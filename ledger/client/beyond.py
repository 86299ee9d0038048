"""Recovery of transactions from partitions beyond the ledger's, which no worker reads.

Kafka cannot remove a partition that was added to the topic, but the records that the default
partitioners of producers have put there can be moved.
"""

from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError

from ledger.client.partitions import ledger_partitions, partition_counts
from ledger.domain.partition import partition_of
from ledger.errors import Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.log import Log
from ledger.streaming.topics import topics


class Recovered(NamedTuple):
    """`partitions`: how many there are beyond the ledger's; `appended`: the records moved."""

    partitions: int
    appended: int


async def recover(settings: Settings) -> Recovered:
    """Append each record unchanged to the partition of its key; then delete what was appended.

    After a crash some may be appended twice; the ledger recognises repetitions by their ids.
    Raises LedgerError.
    """
    topic = topics(settings).transactions.name
    knowing = settings.model_copy(update={"added_partitions": "ignore"})
    shards = (await ledger_partitions(knowing, topic))[topic]
    beyond = range(shards, (await partition_counts(settings, topic))[topic])
    log, appended = Log(settings), 0
    ends: dict[int, int] = {}
    try:
        for partition in beyond:
            first, ends[partition] = await log.bounds(topic, partition)
            async for records in log.read(topic, partition, first, ends[partition]):
                for record in records:
                    # One by one: a batch of them could exceed the topic's size limit.
                    shard = partition_of(record.key or b"", shards)
                    await log.append_absolute(topic, shard, [(record.key, record.value)])
                    appended += 1
    finally:
        await log.close()
    await _delete(settings, topic, ends)
    return Recovered(len(beyond), appended)


async def _delete(settings: Settings, topic: str, ends: dict[int, int]) -> None:
    """Delete the records before these offsets of each partition; later ones stay."""
    cut = {TopicPartition(topic, each): RecordsToDelete(end) for each, end in ends.items() if end}
    admin = AIOKafkaAdminClient(**connection.kafka(settings))
    try:
        await admin.start()
        if cut:
            await admin.delete_records(cut)
    except (KafkaError, OSError) as error:
        raise Unavailable(
            f"The records were moved, but not deleted from the added partitions of {topic}: "
            f"{error!r}. Run this again as a user who may delete records; it is safe to repeat."
        ) from error
    finally:
        await admin.close()

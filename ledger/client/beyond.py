"""Transactions in partitions beyond the ledger's, which nobody decides: appended where they belong.

A partition that was added to the topic cannot be taken away again; what default partitioners of
producers have sent there can be.
"""

from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError

from ledger.client.reading import ledger_partitions, partition_counts
from ledger.domain.partition import partition_of
from ledger.errors import Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.log import Log
from ledger.streaming.topics import topics


class Recovered(NamedTuple):
    """`partitions` beyond the ledger's were looked into; `appended` records were found in them."""

    partitions: int
    appended: int


async def recover(settings: Settings) -> Recovered:
    """Append each, byte for byte, to the partition of its key; then delete what was appended.

    Done again after a crash it appends some twice, which the ledger recognises by their ids.
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
                    # One by one: together they may outgrow what the topic takes at once.
                    shard = partition_of(record.key or b"", shards)
                    await log.append_absolute(topic, shard, [(record.key, record.value)])
                    appended += 1
    finally:
        await log.close()
    await _delete(settings, topic, ends)
    return Recovered(len(beyond), appended)


async def _delete(settings: Settings, topic: str, ends: dict[int, int]) -> None:
    """What the partitions hold before these offsets; what has come since stays."""
    cut = {TopicPartition(topic, each): RecordsToDelete(end) for each, end in ends.items() if end}
    admin = AIOKafkaAdminClient(**connection.kafka(settings))
    try:
        await admin.start()
        if cut:
            await admin.delete_records(cut)
    except (KafkaError, OSError) as error:
        raise Unavailable(
            f"What was appended to {topic} could not be deleted in the partitions beyond: "
            f"{error!r}. Do it again, as a user who may delete records: repetitions are recognised."
        ) from error
    finally:
        await admin.close()

"""The open breaks, read once from their topic."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

    from ledger.reports.ageing import AgedBreak
    from ledger.settings import Settings


async def open_breaks(settings: "Settings") -> "list[AgedBreak]":
    """Those that are open now. Raises LedgerError where Kafka or the registry does not answer."""
    from contextlib import closing

    from aiokafka import TopicPartition

    from ledger.api.breaks import Break, fold
    from ledger.client.outcomes import OpenBreak
    from ledger.client.partitions import ledger_partitions
    from ledger.client.records import Records
    from ledger.gl.databases import open_journal
    from ledger.reports.ageing import aged
    from ledger.streaming.follower import Follower
    from ledger.streaming.reader import Reader
    from ledger.streaming.topics import topics

    topic = topics(settings).breaks.name
    records = await Records.of(settings, "Break")
    counts = await ledger_partitions(settings, topic)
    found: dict[OpenBreak, Break] = {}

    async def take(fetched: "list[ConsumerRecord]") -> None:
        for _, row in await records.decode("Break", fetched):
            fold(found, row)

    async with Reader(settings) as reader:
        follower = Follower(reader, take)
        bounds = await reader.bounds([TopicPartition(topic, each) for each in range(counts[topic])])
        follower.start({tp: first for tp, (first, _) in bounds.items()})
        try:
            await follower.caught_up()
        finally:
            await follower.close()
    with closing(open_journal(settings.database_url)) as journal:
        scales = journal.scales()
    return [
        aged(each.stripe.account, each.stripe.currency, scales.get(each.stripe.currency, 0),
             each.stripe.shard, each.detected_at, each.stream, each.ledger)
        for each in found.values()
    ]  # fmt: skip

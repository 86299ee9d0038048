"""The number of shards of the ledger, which its policy fixes.

The policy is a record of `ledger.reference`. An older ledger, and one that was only just created,
has none; then the settings and topics count.
"""

from contextlib import aclosing

from ledger.client.records import Records
from ledger.domain.reference import Reference
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.reference import take
from ledger.streaming.topic_look import TopicAdmin
from ledger.streaming.topic_rules import PAGE
from ledger.streaming.topics import topics


async def as_founded(settings: Settings) -> Settings:
    """`settings` with the ledger's own number of shards.

    Raises LedgerError if another one is set, Unavailable if Kafka does not answer.
    """
    name = topics(settings).reference.name
    async with TopicAdmin(settings) as broker:
        there, _ = await broker.partitions([name])
    shards = await policy_shards(settings) if name in there else None
    if shards is None:
        return settings
    require_set_right(settings, shards)
    return settings.model_copy(update={"shards": shards})


async def policy_shards(settings: Settings, reference: Records | None = None) -> int | None:
    """The policy's number of shards; None without a policy.

    The topic must exist. `reference` reads its records, so that the registry need not answer.
    Raises LedgerError if it cannot be read.
    """
    topic = topics(settings).reference.name
    records = reference or Records.of_any_version(settings, "Reference")
    known, log = Reference(), Log(settings)
    try:
        async with aclosing(log.read(topic, 0, *await log.bounds(topic, 0))) as fetched:  # type: ignore[type-var]
            async for some in fetched:
                for record, row in await records.decode("Reference", some, log_foreign=False):
                    take(known, record, row)
                    # Every policy has the same, and the first policy is near the first record.
                    if known.shards is not None:
                        return known.shards
    finally:
        await log.close()
    return None


def require_set_right(settings: Settings, shards: int) -> None:
    """Raises LedgerError if the setting differs from the policy."""
    if "shards" in settings.model_fields_set and settings.shards != shards:
        raise LedgerError(
            f"The setting shards is {settings.shards}, and this ledger has {shards} by its policy "
            f"(in {topics(settings).reference.name}). Nothing was sent or read: keys would go to "
            "other shards. Remove the setting, because the policy counts; or check "
            f"bootstrap_servers and prefix if another ledger is meant. See {PAGE}"
        )

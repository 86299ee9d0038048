"""How many shards the ledger has: its policy says so, whatever is set or a topic has.

The policy is a record of `ledger.reference`; a ledger that is older, or only just made, has none,
and then settings and topics are all there is to go by.
"""

from contextlib import aclosing

from aiokafka.errors import TopicAuthorizationFailedError

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

    Raises LedgerError where another one is set, Unavailable when Kafka does not answer.
    """
    name = topics(settings).reference.name
    async with TopicAdmin(settings) as broker:
        there, _ = await broker.partitions([name])
    shards = await policy_shards(settings) if name in there else None
    if shards is None:
        return settings
    require_set_right(settings, shards)
    return settings.model_copy(update={"shards": shards})


async def policy_shards(settings: Settings) -> int | None:
    """What the policy says; None where there is none, or this user may not read it.

    The topic must be there. Raises LedgerError when it cannot be read.
    """
    topic = topics(settings).reference.name
    records, known, log = Records.of_any_version(settings, "Reference"), Reference(), Log(settings)
    try:
        async with aclosing(log.read(topic, 0, *await log.bounds(topic, 0))) as fetched:  # type: ignore[type-var]
            async for some in fetched:
                for record, row in await records.decode("Reference", some, log_foreign=False):
                    take(known, record, row)
                    # The same in every policy, and the first one is the first record, or near it.
                    if known.shards is not None:
                        return known.shards
    except TopicAuthorizationFailedError:
        return None
    finally:
        await log.close()
    return None


def require_set_right(settings: Settings, shards: int) -> None:
    """Raises LedgerError where somebody has set another number than the policy's."""
    if "shards" in settings.model_fields_set and settings.shards != shards:
        raise LedgerError(
            f"The setting shards says {settings.shards}, and this ledger has {shards} by its "
            f"policy (in {topics(settings).reference.name}). Nothing was sent or read: keys would "
            "go to other shards. Take the setting away, for the policy counts; or is another "
            f"ledger meant (the settings bootstrap_servers and prefix)? See {PAGE}"
        )

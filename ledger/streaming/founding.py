"""What a ledger begins with: its policy and the currencies of ISO 4217, as reference data.

Written when a ledger is made and when it is upgraded, by a user who may write reference data. What
is there stays: a currency that was registered, or posted, keeps its decimals whatever a newer table
of currencies has.
"""

from collections.abc import Mapping

from ledger.domain.reference import ISO_SCALES, Asset, Item, PolicyChange, Reference
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.reference import contradictions, key_and_row, policy_of
from ledger.streaming.reference_follower import ReferenceReader
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics


async def found(settings: Settings, log: Log, codec: Codec, posted: Mapping[str, int]) -> Reference:
    """Write what is missing and return what counts then.

    `posted`: decimals by code of what the general ledger has. Raises LedgerError when somebody has
    set what contradicts the ledger's policy.
    """
    topic = topics(settings).reference.name
    # Without currencies that are not in it.
    reader = ReferenceReader(log, codec, topic, Reference(scales={}))
    await reader.read_on()
    if items := missing(settings, reader.data, posted):
        await log.append(topic, 0, [_record(codec, item) for item in items])
        await reader.read_on()
    if wrong := contradictions(settings, reader.data):
        raise LedgerError(
            f"The settings contradict the ledger's policy: {'; '.join(wrong)}. Take the setting "
            "away: the policy counts. To change that: `faust-ledger policy set`."
        )
    return reader.data


def missing(settings: Settings, reference: Reference, posted: Mapping[str, int]) -> list[Item]:
    """What a ledger must have and `reference` has not; what was posted before ISO 4217."""
    items: list[Item] = []
    if not reference.policies:
        items.append(PolicyChange(policy_of(settings), settings.shards, reason="the first one"))
    scales = {**ISO_SCALES, **posted}
    items += [
        Asset(code, scale)
        for code, scale in sorted(scales.items())
        if code not in reference.registered
    ]
    return items


def _record(codec: Codec, item: Item) -> tuple[bytes, bytes]:
    key, row = key_and_row(item)
    return key, codec.encode("Reference", row)

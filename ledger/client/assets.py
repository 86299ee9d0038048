"""The assets that a ledger knows, by the records of its reference topic, with their names."""

from contextlib import aclosing
from typing import NamedTuple

import iso4217

from ledger.client.records import Records
from ledger.client.reference import ClientReference
from ledger.domain.reference import ISO_SCALES, Asset, Reference, asset_problem
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.reference import item_of
from ledger.streaming.topics import topics

ISO = "ISO 4217"
IMPORTED = "imported"


class KnownAsset(NamedTuple):
    """An asset that transactions may use; `source` is ISO or IMPORTED."""

    code: str
    scale: int
    name: str
    source: str


async def read_reference(settings: Settings) -> Reference:
    """The present reference data. Raises LedgerError if they cannot be read."""
    records = await Records.of(settings, "Reference")
    async with ClientReference(settings, records) as follower:
        return follower.known


async def read_assets(settings: Settings) -> list[KnownAsset]:
    """Every asset, by code. Raises LedgerError if the topic cannot be read."""
    topic, log = topics(settings).reference.name, Log(settings)
    records = await Records.of(settings, "Reference")
    first: dict[str, Asset] = {}
    try:
        lists = log.read(topic, 0, *await log.bounds(topic, 0))
        async with aclosing(lists):  # type: ignore[type-var]
            async for some in lists:
                for _, row in await records.decode("Reference", some, log_foreign=False):
                    if row["type"] == "asset" and row["scale"] is not None:
                        asset = item_of(row)
                        assert isinstance(asset, Asset)
                        if asset_problem(asset.code, asset.scale) is None:
                            first.setdefault(asset.code, asset)
    finally:
        await log.close()
    return known_assets(first)


def known_assets(registered: dict[str, Asset]) -> list[KnownAsset]:
    """Those registered and those of ISO 4217, by code; what is registered counts."""
    found = {code: Asset(code, scale) for code, scale in ISO_SCALES.items()} | registered
    return [_known(found[code]) for code in sorted(found)]


def _known(asset: Asset) -> KnownAsset:
    # A ledger begins with the currencies of ISO 4217, as records without a name.
    if asset.name or ISO_SCALES.get(asset.code) != asset.scale:
        return KnownAsset(asset.code, asset.scale, asset.name, IMPORTED)
    return KnownAsset(asset.code, asset.scale, iso4217.Currency(asset.code).currency_name, ISO)

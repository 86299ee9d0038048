"""Checks of servers of one's own, where the settings name them and there is no embedded stack."""

import asyncio
import os
from collections.abc import Iterator

from ledger.errors import LedgerError, sentence
from ledger.health.checks import database, rights, topics
from ledger.health.findings import Finding
from ledger.hiding import shown_url
from ledger.proxies import around_proxies
from ledger.settings import Settings
from ledger.streaming.registry import codec_of
from ledger.streaming.topic_look import TopicAdmin
from ledger.streaming.topics import topics as topics_of


def servers(settings: Settings) -> Iterator[Finding]:
    """Kafka, the registry, the database, and the ledger's own in each of them."""
    os.environ.update(around_proxies())
    broker, registry = _kafka(settings), _registry(settings)
    yield broker
    yield registry
    yield from database.database(settings, embedded=False)
    yield from database.migrations(settings)
    yield from rights.database_rights(settings)
    if broker.well:
        yield from rights.kafka_rights(settings)
        yield from topics.topic_settings(settings)
    if broker.well and registry.well:
        yield from topics.topic_contents(settings)


def _kafka(settings: Settings) -> Finding:
    async def reach() -> None:
        async with TopicAdmin(settings) as broker:
            await broker.partitions([topics_of(settings).transactions.name])

    advice = "correct bootstrap_servers and kafka_user, or start the brokers"
    try:
        asyncio.run(reach())
    except LedgerError as error:
        return Finding("kafka", False, sentence(str(error)), advice)
    return Finding("kafka", True, f"answers at {settings.bootstrap_servers}")


def _registry(settings: Settings) -> Finding:
    advice = "correct registry_url, or start the registry; `faust-ledger setup` registers schemas"
    try:
        codec_of(settings)
    except LedgerError as error:
        return Finding("registry", False, sentence(str(error)), advice)
    return Finding("registry", True, f"answers at {shown_url(settings.registry_url)}")

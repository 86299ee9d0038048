"""What tests do to topics as somebody with the broker's tools, or with a ledger's own client, would."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient

from ledger.settings import Settings
from ledger.streaming.log import Log

T = TypeVar("T")


def admin_does(settings: Settings, work: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
    """Its result."""

    async def scenario() -> T:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
        await admin.start()
        try:
            return await work(admin)
        finally:
            await admin.close()

    return asyncio.run(scenario())


def log_does(settings: Settings, work: Callable[[Log], Awaitable[T]]) -> T:
    """Its result."""

    async def scenario() -> T:
        log = Log(settings)
        try:
            return await work(log)
        finally:
            await log.close()

    return asyncio.run(scenario())

"""What several of these files do with the session's ledger."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import create_engine, text

from ledger.settings import Settings
from ledger.streaming import topics
from ledger.streaming.registry import register_all
from tests.conftest import Finished, Stack
from tests.integration.api_ledger import ApiLedger
from tests.integration.elsewhere import admin_does


@pytest.fixture(scope="session")
def api_ledger(stack: Stack, cli: Callable[..., Finished]) -> ApiLedger:
    """Two API processes on the session's ledger, as `up --api 2` starts them; `down` stops them."""
    from ledger.stack import api, files
    from ledger.stack import stack as stacks

    record = stacks.up(stack.data_dir, worker_count=1, api_count=2, remember=True)
    urls = api.urls(files.layout(stack.data_dir), record)
    return ApiLedger(stack.data_dir, tuple(urls), cli)


@pytest.fixture(scope="module")
def owner(stack: Stack) -> Iterator[Callable[..., list[Any]]]:
    """A statement as the database's owner; its rows, if it has any."""
    engine = create_engine(stack.settings.database_url)

    def run(statement: str, **values: object) -> list[Any]:
        with engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return list(result) if result.returns_rows else []

    yield run
    engine.dispose()


@pytest.fixture
def elsewhere(stack: Stack, new_id: Callable[..., str]) -> Iterator[Settings]:
    """Another ledger's topics and schemas, without workers; the topics are deleted at the end."""
    settings = stack.settings.model_copy(
        update={"prefix": new_id("other"), "shards": 2, "balance_partitions": 3}
    )
    asyncio.run(topics.bring_about(settings))
    register_all(settings)
    yield settings

    async def delete(admin: AIOKafkaAdminClient) -> None:
        names = [name for name in await admin.list_topics() if name.startswith(settings.prefix)]
        await admin.delete_topics(names)

    admin_does(settings, delete)

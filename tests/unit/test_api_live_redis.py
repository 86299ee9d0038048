"""Live updates over a real Redis (Valkey): what is shared, what wins, and what its loss costs."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from ledger.api.live.live import Live
from ledger.api.live.measures import Measures
from ledger.api.live.shared import AT_ONCE, SharedSource
from tests.live_client import SIGNER, Client
from tests.live_source import MemorySource, balance, shown
from tests.valkey import Valkey, running_valkey

PREFIX = "ledger"


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with running_valkey() as made:
        yield made


class Processes:
    """Two API processes: views, what is shared, and a client that reads the Redis."""

    def __init__(
        self, views: list[MemorySource], sources: list[SharedSource], redis: Redis
    ) -> None:
        self.views, self.sources, self.redis = views, sources, redis

    async def cached(self, account: str) -> dict[str, str]:
        found: dict[str, str] = await self.redis.hgetall(f"{PREFIX}:balance:{account}")
        return found

    async def has(self, account: str, currency: str = "CAD") -> Any:
        text = (await self.cached(account)).get(currency)
        return None if text is None else json.loads(text)


def run(server: Valkey, test: Callable[[Processes], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        views = [MemorySource(), MemorySource()]
        measures = Measures()
        one, two = (SharedSource(each, server.url, PREFIX, measures) for each in views)
        async with (
            Redis.from_url(server.url, decode_responses=True) as redis, one, two, asyncio.timeout(40)
        ):  # fmt: skip
            await redis.flushall()
            found = Processes(views, [one, two], redis)
            await until(lambda: connected(found), "both are connected")
            await test(found)

    asyncio.run(main())


async def connected(found: Processes) -> bool:
    return all(each.report()["redis"] for each in found.sources)


async def until(done: Callable[[], Awaitable[Any]], what: str) -> Any:
    while not (found := await done()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return found


def test_what_one_process_has_read_is_there_for_the_others_and_for_other_applications(
    server: Valkey,
) -> None:
    async def test(found: Processes) -> None:
        first, second = found.views
        row = balance("assets:a", 100, 1)
        first.put(row, balance("assets:a", 5, 2, "USD"))
        await until(lambda: found.has("assets:a", "USD"), "it is in the cache")
        assert await found.has("assets:a") == shown(row)
        assert (await found.cached("assets:a"))["end:CAD"] == "2"
        assert await found.redis.ttl(f"{PREFIX}:balance:assets:a") > 3_000
        assert await found.redis.hgetall(f"{PREFIX}:live") == {"topic": "topic"}
        assert 0 < await found.redis.ttl(f"{PREFIX}:live") <= 5

        async def ahead() -> bool:
            return len(found.sources[1].balances("assets:a")) == 2

        await until(ahead, "the other process has it before its own view")
        assert second.balances("assets:a") == []
        assert list(found.sources[1].positions()) == [0, 0, 0, 0]
        assert list(found.sources[1].under("assets", limit=1)) == found.sources[1].balances(
            "assets:a"
        )
        # Its own view reads on: what is older does not count, what is newer does.
        second.put(balance("assets:a", 50, 0))
        assert found.sources[1].balances("assets:a")[0] == row
        second.put(balance("assets:a", 200, 3))
        second.put(balance("assets:a", 300, 4))
        assert found.sources[1].balances("assets:a")[0].posted == "3.00"

    run(server, test)


def test_the_later_position_wins_whoever_publishes_it(server: Valkey) -> None:
    async def test(found: Processes) -> None:
        first, second = found.views
        for version in range(1, 6):
            first.put(balance("assets:a", version, version))
        await until(lambda: found.has("assets:a"), "it is in the cache")
        second.put(balance("assets:a", 1, 1))
        second.put(balance("assets:other", 1, 2))
        await until(lambda: found.has("assets:other"), "the second has published")
        assert (await found.has("assets:a"))["posted"] == "0.05"
        assert found.sources[1].balances("assets:a")[0].posted == "0.05"
        first.remove("assets:a", "CAD")

        async def gone() -> bool:
            return "removed" in (await found.has("assets:a"))

        await until(gone, "the removal is in the cache")
        await until(lambda: empty(found.sources[1]), "the other process knows")

    run(server, test)


async def empty(source: SharedSource) -> bool:
    return source.balances("assets:a") == []


def test_many_changes_are_one_publication_of_the_newest(server: Valkey) -> None:
    async def test(found: Processes) -> None:
        async with found.redis.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(f"{PREFIX}:changes")
            for version in range(1, 2_001):
                found.views[0].put(balance("assets:a", version, version))
            names = [f"assets:p:{number}" for number in range(AT_ONCE + 200)]
            found.views[0].put(*(balance(name, 1, 1) for name in names))
            lines: list[str] = []
            while len(lines) < len(names) + 1:
                message = await channel.get_message(timeout=5)
                lines += message["data"].split("\n") if message else []
        assert len(lines) == len(names) + 1
        [line] = [each for each in lines if "\tassets:a\t" in each]
        assert json.loads(line.rpartition("\t")[2])["posted"] == "20.00"

    run(server, test)


def test_without_redis_clients_go_on_and_with_it_again_the_cache_is_right() -> None:
    with running_valkey() as server:

        async def test(found: Processes) -> None:
            first = found.views[0]
            first.put(balance("assets:a", 1, 1), balance("assets:old", 1, 2))
            await until(lambda: found.has("assets:old"), "it is in the cache")
            async with Live(found.sources[0], SIGNER) as live:
                client = Client()
                client.connect(live)
                client.subscribe("x", "accounts", ["assets:a"])
                await until(lambda: posted(client, "0.01"), "the snapshot")
                server.kill()
                await until(lambda: lost(found), "its loss is in /ready")
                first.put(balance("assets:a", 2, 3))
                await until(lambda: posted(client, "0.02"), "the client has it all the same")
                server.start()
                await found.redis.connection_pool.disconnect()
                await until(lambda: connected(found), "Redis is used again")
                first.put(balance("assets:a", 3, 4))
                await until(lambda: posted(client, "0.03"), "the client has the next")

                async def newest() -> bool:
                    row = await found.has("assets:a")
                    return bool(row) and row["posted"] == "0.03"

                await until(newest, "so has the cache")
                assert await found.has("assets:old") is None
                await client.drop()

        run(server, test)


async def posted(client: Client, amount: str) -> bool:
    row = client.state.balances["x"].get(("assets:a", "CAD"))
    return row is not None and row["posted"] == amount


async def lost(found: Processes) -> bool:
    reports = [each.report() for each in found.sources]
    return all(not each["redis"] and "127.0.0.1" in each["redis_why"] for each in reports)


def test_another_ledger_s_cache_is_left_alone(server: Valkey) -> None:
    async def test(found: Processes) -> None:
        found.views[0].put(balance("assets:a", 1, 1))
        await until(lambda: found.has("assets:a"), "it is in the cache")
        view = MemorySource("another")
        async with SharedSource(view, server.url, PREFIX, Measures()) as other:
            view.put(balance("assets:a", 7, 1))

            async def refused() -> bool:
                return "another ledger" in str(other.report()["redis_why"])

            await until(refused, "it is told so")
        assert (await found.has("assets:a"))["posted"] == "0.01"

    run(server, test)


def test_a_topic_that_was_made_again_empties_the_cache(server: Valkey) -> None:
    async def test(found: Processes) -> None:
        for view in found.views:
            view.put(
                balance("assets:a", 9, 9), balance("assets:a", 9, 10), balance("assets:gone", 1, 1)
            )
        await until(lambda: found.has("assets:gone"), "it is in the cache")
        for view in found.views:
            view.rows.clear()
            view.put(balance("assets:a", 1, 1))
            view.be_another("topic 2")

        async def emptied() -> bool:
            return not await found.cached("assets:gone") and await connected(found)

        await until(emptied, "the cache is emptied")
        found.views[0].put(balance("assets:a", 2, 2))

        async def right() -> bool:
            row = await found.has("assets:a")
            return bool(row) and row["posted"] == "0.02"

        await until(right, "the cache has the new topic's balances alone")

    run(server, test)

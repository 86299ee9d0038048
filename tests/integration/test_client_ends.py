"""Kafka's own transactions in the log: what they mark is no record, what they leave open waits."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaProducer

from ledger.cli.completeness import INCOMPLETE
from ledger.client.ends import FirstWaiting, first_waiting, log_ends
from ledger.streaming import connection
from ledger.streaming.topics import topics

SHARD = 0


@asynccontextmanager
async def transaction(settings, name):
    """A producer whose transaction has appended something to the shard."""
    producer = AIOKafkaProducer(**connection.kafka(settings), transactional_id=name)
    await producer.start()
    try:
        await producer.begin_transaction()
        topic = topics(settings).transactions.name
        await producer.send_and_wait(topic, b"never committed", partition=SHARD)
        yield producer
        await producer.abort_transaction()
    finally:
        await producer.stop()


async def looked(settings, start):
    read = await log_ends(settings)
    end = read.by_shard[SHARD]
    found = await first_waiting(settings, {SHARD: (start, end)} if start < end else {})
    return end, found.get(SHARD)


@pytest.fixture
def rests(cli):
    """Nothing is on its way."""
    assert cli("balances", "--source", "ledger", "--json").code == 0


@pytest.mark.usefixtures("rests")
def test_an_open_transaction_waits_and_an_aborted_one_does_not(stack, new_id, cli):
    settings = stack.settings

    async def scenario():
        start, _ = await looked(settings, 0)
        async with transaction(settings, new_id()):
            held = await looked(settings, start)
            words = ("trial-balance", "--json")
            answered = await asyncio.to_thread(cli, *words, code=INCOMPLETE)
        return start, held, answered, await looked(settings, start)

    start, held, answered, after = asyncio.run(scenario())
    assert held == (start + 1, FirstWaiting(None))
    [missing] = answered.json["missing"]
    assert (missing["shard"], missing["position"], missing["waiting"]) == (SHARD, start, 1)
    assert after == (start + 2, FirstWaiting(False))
    found = cli("trial-balance", "--json").json
    assert found["complete"]
    assert found["through"][str(SHARD)]["waiting"] == 0


def test_the_first_that_waits_is_found_with_its_time(stack):
    settings = stack.settings

    async def scenario():
        read = await log_ends(settings)
        spans = {shard: (0, end) for shard, end in read.by_shard.items() if end}
        return read, await first_waiting(settings, spans)

    read, found = asyncio.run(scenario())
    assert sorted(read.by_shard) == list(range(settings.shards))
    assert found
    for each in found.values():
        assert each.waits is False or (each.waits and each.since < read.moment + 1_000_000)


def test_where_nobody_listens_it_is_not_known(stack):
    away = stack.settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    assert asyncio.run(first_waiting(away, {0: (0, 1)})) == {0: FirstWaiting(None)}

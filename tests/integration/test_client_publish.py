"""Published by each of the clients, seen in the log and in the balances of a running ledger."""

import asyncio
import threading
from datetime import UTC, datetime

import pytest
from aiokafka import TopicPartition

from ledger.client import (
    BalanceReader,
    BlockingBalanceReader,
    BlockingPublisher,
    Publisher,
    Receipt,
    credit,
    debit,
    transaction,
)
from ledger.domain import avro
from ledger.domain.partition import partition_of
from ledger.domain.refusal import Reason
from ledger.errors import LedgerError, Unavailable
from ledger.streaming.reader import Reader
from ledger.streaming.registry import HEADER
from ledger.streaming.topics import topics
from tests.waiting import PATIENCE


def deposit(name, account, amount="12.34", **more):
    return transaction(
        transaction_id=name,
        kind="deposit",
        effective_at=datetime.now(UTC),
        entries=[debit("assets:cash:client-tests", amount, "CAD"), credit(account, amount, "CAD")],
        **({"created_at": "now"} | more),
    )


async def read_back(settings, receipts):
    """The records of these receipts."""
    topic = topics(settings).transactions.name
    found = {}
    async with Reader(settings) as reader:
        for receipt in receipts:
            tp = TopicPartition(topic, receipt.shard)
            reader.assign({tp: receipt.offset})
            async for records in reader.until({tp: receipt.offset + 1}):
                found |= {Receipt(each.partition, each.offset): each for each in records}
    return [found[receipt] for receipt in receipts]


def test_publisher_writes_what_the_contract_says(stack, new_id):
    async def scenario():
        alone = deposit(new_id(), "liabilities:d:1")
        keyed = deposit(new_id(), "liabilities:d:2", ordering_key=new_id("order"))
        async with Publisher(stack.settings) as publisher:
            assert publisher.shards == stack.settings.shards
            receipts = [await publisher.publish(alone), await publisher.publish(keyed)]
        return [alone, keyed], receipts, await read_back(stack.settings, receipts)

    drafts, receipts, records = asyncio.run(scenario())
    keys = [drafts[0]["transaction_id"].encode(), drafts[1]["ordering_key"].encode()]
    for draft, receipt, record, key in zip(drafts, receipts, records, keys, strict=True):
        assert record.key == key
        assert receipt.shard == partition_of(key, stack.settings.shards)
        assert record.value[0] == 0
        assert avro.decode("Transaction", record.value, HEADER.size) == draft
        assert record.timestamp_type == 1, "the broker's clock"


def test_publisher_refuses_without_sending(stack, new_id):
    async def scenario():
        async with Publisher(stack.settings) as publisher:
            return await publisher.publish(deposit(new_id(), "liabilities:d:1", "0"))

    assert asyncio.run(scenario()).reason is Reason.AMOUNT_NOT_POSITIVE


def test_many_under_way_stay_in_order(stack, new_id):
    key, account = new_id("order"), f"liabilities:{new_id('many')}"
    drafts = [deposit(new_id(), account, ordering_key=key) for _ in range(5_000)]

    async def scenario():
        async with Publisher(stack.settings) as publisher:
            return [outcome async for _, outcome in publisher.publish_many(drafts)]

    receipts = asyncio.run(scenario())
    offsets = [receipt.offset for receipt in receipts]
    assert len({receipt.shard for receipt in receipts}) == 1
    assert offsets == sorted(set(offsets))


def test_blocking_publisher_from_several_threads(stack, new_id):
    outcomes = []

    def work():
        drafts = [deposit(new_id(), "liabilities:d:3") for _ in range(20)]
        outcomes.extend(publisher.publish(draft) for draft in drafts)

    with BlockingPublisher(stack.settings) as publisher:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        assert len(set(outcomes)) == 80
        bad, good = deposit(new_id(), "cash"), deposit(new_id(), "liabilities:d:3")
        (_, refused), (_, receipt) = publisher.publish_many([bad, good])
    assert refused.reason is Reason.ACCOUNT_MALFORMED
    assert isinstance(receipt, Receipt)


def test_where_nobody_listens_the_message_says_what_to_do(stack):
    away = stack.settings.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(Unavailable, match="bootstrap_servers"), BlockingPublisher(away):
        pass
    elsewhere = stack.settings.model_copy(update={"prefix": "nobody"})
    with pytest.raises(LedgerError, match=r"nobody\.transactions"), BlockingPublisher(elsewhere):
        pass
    away = stack.settings.model_copy(update={"registry_url": "http://127.0.0.1:1"})
    with pytest.raises(Unavailable, match="registry_url"), BlockingPublisher(away):
        pass


def test_a_balance_is_followed_until_it_is_reconciled(stack, new_id):
    account, other = f"liabilities:{new_id('a')}", f"liabilities:{new_id('b')}"

    async def scenario():
        async with (
            Publisher(stack.settings) as publisher,
            BalanceReader(stack.settings, accounts=[account]) as reader,
        ):
            changes = reader.follow()
            assert reader.get(account, "CAD") is None
            await publisher.publish(deposit(new_id(), other))
            for _ in range(3):
                await publisher.publish(deposit(new_id(), account))
            done = await reader.wait_for(
                lambda each: each.posted == "37.02" and each.status == "reconciled",
                seconds=PATIENCE,
            )
            assert reader.get(account, "CAD") == done
            seen = [await anext(changes)]
            while seen[-1] != done:
                seen.append(await anext(changes))
            return await reader.snapshot(), done, seen

    snapshot, done, seen = asyncio.run(scenario())
    assert snapshot == {(account, "CAD"): done}
    assert (done.pending, done.debits, done.credits, done.entries) == ("0.00", "0.00", "37.02", 3)
    versions = [balance.version for balance in seen]
    assert versions == sorted(versions)


def test_a_balance_is_followed_without_an_event_loop(stack, new_id):
    account = f"liabilities:{new_id('blocking')}"
    with (
        BlockingPublisher(stack.settings) as publisher,
        BlockingBalanceReader(stack.settings, accounts=[account]) as reader,
    ):
        changes = reader.follow()
        assert reader.get(account, "CAD") is None
        publisher.publish(deposit(new_id(), account))
        done = reader.wait_for(lambda each: each.status == "reconciled", seconds=PATIENCE)
        assert (done.posted, reader.get(account, "CAD")) == ("12.34", done)
        assert reader.snapshot() == {(account, "CAD"): done}
        seen = [next(changes)]
        while seen[-1] != done:
            seen.append(next(changes))
    with pytest.raises(LedgerError, match="closed"):
        next(changes)
    with pytest.raises(LedgerError, match="closed"):
        reader.get(account, "CAD")


def test_waiting_for_a_balance_ends(stack, new_id):
    async def scenario():
        async with BalanceReader(stack.settings, accounts=[f"assets:{new_id()}"]) as reader:
            with pytest.raises(TimeoutError):
                await reader.wait_for(lambda each: True, seconds=0.2)
        with pytest.raises(LedgerError, match="closed"):
            await reader.snapshot()

    asyncio.run(scenario())

"""The balance view against a real Kafka: what it has, what it counts on, and what it admits."""

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from ledger.api.view.view import BalanceView
from ledger.clock import now
from ledger.domain import money
from ledger.domain.balance import Balance
from ledger.domain.partition import partition_of
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming import messages
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec, known_ids, register_all
from ledger.streaming.topic_look import TopicAdmin
from ledger.streaming.topics import bring_about, topics
from tests.conftest import Stack
from tests.waiting import PATIENCE

PARTITIONS, SHARDS = 3, 2


class Planted:
    """Topics of a ledger without a worker: the test publishes what a worker would."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.names = settings, topics(settings)

    async def __aenter__(self):
        await bring_about(self.settings)
        await asyncio.to_thread(register_all, self.settings)
        self.codec = Codec(await asyncio.to_thread(known_ids, self.settings))
        self.log = Log(self.settings)
        self.ends = dict.fromkeys(range(PARTITIONS), 0)
        return self

    async def __aexit__(self, *_):
        await self.log.close()

    async def publish(self, account, credits, *, version=None, currency="CAD", status="reconciled"):
        amount = money.show(credits, 2)
        made = Balance(account, currency, 2, amount, "0.00", "0.00", amount, 1, status,
                       credits if version is None else version)  # fmt: skip
        await self.append(account, messages.balance(self.codec.head("Balance"), made))
        return made

    async def append(self, account, record):
        partition = partition_of(account.encode(), PARTITIONS)
        first = await self.log.append_absolute(self.names.balances.name, partition, [record])
        self.ends[partition] = first + 1
        return partition

    async def cover(self, *ends, topic=None):
        """Coverage of every partition, as far as this has published; of this `topic`, an id."""
        name = self.names.balances.name
        topic = await self.log.topic_id(name) if topic is None else topic
        for partition, end in self.ends.items():
            start, _ = await self.log.bounds(name, partition)
            extent = messages.Extent(topic, start, end)
            record = messages.coverage(self.codec, partition, extent, list(ends))
            await self.log.append_absolute(self.names.coverage.name, partition, [record])

    @asynccontextmanager
    async def admin(self):
        client = AIOKafkaAdminClient(bootstrap_servers=self.settings.bootstrap_servers)
        await client.start()
        try:
            yield client
        finally:
            await client.close()

    async def make_again(self):
        """Delete the balances and create them anew, empty."""
        async with self.admin() as admin:
            await admin.delete_topics([self.names.balances.name])
        await self.log.close()
        self.log = Log(self.settings)
        await bring_about(self.settings)
        self.ends = dict.fromkeys(range(PARTITIONS), 0)

    async def cut(self):
        """Delete every record there is, which Kafka allows where not only compaction removes any."""
        name = self.names.balances.name
        async with TopicAdmin(self.settings) as admin:
            await admin.alter({name: {"cleanup.policy": "compact,delete", "retention.ms": "-1"}})
        async with self.admin() as admin:
            await admin.delete_records({
                TopicPartition(self.names.balances.name, each): RecordsToDelete(before_offset=end)
                for each, end in self.ends.items() if end
            })  # fmt: skip


async def turned(state, view, seconds=PATIENCE):
    """The state of the view once `state` says it is as awaited."""
    async with asyncio.timeout(seconds):
        while not state(found := view.state()):  # noqa: ASYNC110 - the view tells nobody of it
            await asyncio.sleep(0.02)
    return found


def ready(state):
    return state.is_ready and state.problem is None


@pytest.fixture
def played(stack: Stack, new_id: Callable[..., str]):
    """Plays a story: an async function of the planted ledger."""

    def play(story):
        async def scene():
            settings = stack.settings.model_copy(update={
                "prefix": new_id("view"), "balance_partitions": PARTITIONS, "shards": SHARDS,
            })  # fmt: skip
            async with asyncio.timeout(PATIENCE), Planted(settings) as planted:
                await story(planted)

        asyncio.run(scene())

    return play


ACCOUNTS = [f"liabilities:deposits:{each}" for each in range(12)]


def test_it_waits_for_coverage_and_then_has_everything_before_it(played, tmp_path):
    async def story(planted):
        made = [await planted.publish(account, 5) for account in ACCOUNTS]
        async with BalanceView(planted.settings, tmp_path) as view:
            assert not view.state().is_ready
            await turned(lambda state: "being read: 0" in (state.problem or ""), view)
            # No coverage yet: nobody knows whether that is all.
            assert not await view.wait_for(ACCOUNTS[0], {0: 3}, 0.2)
            await planted.cover(4, 9)
            await turned(ready, view)
            assert view.complete_to(ACCOUNTS[0]) == {0: 4, 1: 9}
            assert view.complete_everywhere() == {0: 4, 1: 9}
            assert [view.balances(each.account) for each in made] == [[each] for each in made]
            assert await view.wait_for(ACCOUNTS[0], {0: 3, 1: 8}, 0)
            waiting = asyncio.create_task(view.wait_for(ACCOUNTS[0], {1: 9}, PATIENCE))
            await asyncio.sleep(0)
            newer = await planted.publish(ACCOUNTS[0], 7)
            await planted.cover(4, 10)
            assert await waiting
            assert view.balances(ACCOUNTS[0]) == [newer]
            assert view.sums_under("liabilities")["CAD"].credits == 11 * 5 + 7

    played(story)


def test_it_reads_on_where_it_was_and_answers_before_that(played, tmp_path, caplog):
    async def story(planted):
        for account in ACCOUNTS:
            await planted.publish(account, 5)
        await planted.cover(1, 1)
        async with BalanceView(planted.settings, tmp_path) as view:
            before = await turned(ready, view)
        newer = await planted.publish(ACCOUNTS[3], 9)
        await planted.append(ACCOUNTS[4], (f"{ACCOUNTS[4]} CAD".encode(), None))
        await planted.cover(2, 2)
        told = []
        async with BalanceView(planted.settings, tmp_path) as view:
            view.subscribe(lambda partition, end, changes: told.extend(changes))
            state = view.state()
            assert state.is_ready
            assert "not connected" in state.problem
            assert state.as_of >= before.as_of
            assert view.complete_everywhere() == {0: 1, 1: 1}
            assert view.balances(ACCOUNTS[3])[0].version == 5
            assert await view.wait_for(ACCOUNTS[3], {0: 1}, PATIENCE)
            assert await view.wait_for(ACCOUNTS[4], {0: 1}, PATIENCE)
            assert view.balances(ACCOUNTS[3]) == [newer]
            assert view.balances(ACCOUNTS[4]) == []
        # It read nothing but what came since.
        assert sorted((each.account, each.balance) for each in told) == [
            (ACCOUNTS[3], newer),
            (ACCOUNTS[4], None),
        ]

    played(story)


def test_a_folder_belongs_to_one_process_and_two_have_the_same(played, tmp_path):
    async def story(planted):
        await planted.publish(ACCOUNTS[0], 5)
        await planted.cover(1, 1)
        async with (
            BalanceView(planted.settings, tmp_path / "a") as one,
            BalanceView(planted.settings, tmp_path / "b") as other,
        ):
            for view in (one, other):
                await turned(ready, view)
            with pytest.raises(
                LedgerError, match=f"in use by another API process .pid {os.getpid()}"
            ):
                async with BalanceView(planted.settings, tmp_path / "a"):
                    pass
            assert one.balances(ACCOUNTS[0]) == other.balances(ACCOUNTS[0])

    played(story)


@pytest.mark.parametrize("is_open", [True, False], ids=["while-open", "while-closed"])
def test_a_topic_that_was_made_again_is_read_from_its_beginning(played, tmp_path, is_open):
    async def story(planted):
        for account in ACCOUNTS:
            await planted.publish(account, 50)
        await planted.cover(1, 1)
        async with AsyncExitStack() as stack:
            view = await stack.enter_async_context(BalanceView(planted.settings, tmp_path))
            await turned(ready, view)
            if not is_open:
                await stack.aclose()
            gone = await planted.log.topic_id(planted.names.balances.name)
            await planted.make_again()
            # As many records and more, so that no offset is beyond the end.
            for _ in range(2):
                made = [await planted.publish(account, 3) for account in ACCOUNTS[:6]]
            for each in range(60):
                await planted.publish(ACCOUNTS[each % 6], 4 + each)
            made = [await planted.publish(account, 99) for account in ACCOUNTS[:6]]
            if not is_open:
                view = await stack.enter_async_context(BalanceView(planted.settings, tmp_path))
            await turned(lambda state: not state.is_ready, view)
            # What is said of the topic that is gone says nothing of this one.
            await planted.cover(9, 9, topic=gone)
            await turned(lambda state: "being read: 0" in (state.problem or ""), view)
            await planted.cover(2, 2)
            await turned(ready, view)
            assert view.complete_everywhere() == {0: 2, 1: 2}
            assert [view.balances(each.account) for each in made] == [[each] for each in made]
            assert view.balances(ACCOUNTS[9]) == []
            assert view.sums_under("liabilities")["CAD"].accounts == 6

    played(story)


def test_a_topic_that_was_cut_is_read_again(played, tmp_path):
    async def story(planted):
        for account in ACCOUNTS:
            await planted.publish(account, 50)
        await planted.cover(1, 1)
        async with BalanceView(planted.settings, tmp_path) as view:
            await turned(ready, view)
        for account in ACCOUNTS:
            await planted.publish(account, 60)
        await planted.cut()
        made = [await planted.publish(account, 70) for account in ACCOUNTS]
        async with BalanceView(planted.settings, tmp_path) as view:
            await turned(lambda state: not state.is_ready and "was cut" in state.problem, view)
            await planted.cover(2, 2)
            await turned(ready, view)
            assert [view.balances(each.account) for each in made] == [[each] for each in made]

    played(story)


def test_a_topic_that_is_gone_is_told_and_what_was_read_still_answers(played, tmp_path):
    async def story(planted):
        made = await planted.publish(ACCOUNTS[0], 5)
        await planted.cover(1, 1)
        async with BalanceView(planted.settings, tmp_path) as view:
            before = await turned(ready, view)
            async with planted.admin() as admin:
                await admin.delete_topics([planted.names.balances.name])
            state = await turned(lambda state: "has no topic" in (state.problem or ""), view)
            assert state.is_ready
            assert view.balances(ACCOUNTS[0]) == [made]
            assert before.as_of <= state.as_of < now() - 1

    played(story)


def test_records_of_others_are_left_out_and_counted(played, tmp_path, caplog):
    async def story(planted):
        made = await planted.publish(ACCOUNTS[0], 5)
        name = f"{ACCOUNTS[0]} CAD".encode()
        for key, value in ((name, b"garbage"), (b"\xff", None), (name, b"\0\0\0\xff\xffx")):
            await planted.append(ACCOUNTS[0], (key, value))
        await planted.log.append_absolute(planted.names.coverage.name, 0, [(b"0", b"garbage")])
        await planted.cover(1, 1)
        async with BalanceView(planted.settings, tmp_path) as view:
            state = await turned(ready, view)
            assert state.foreign == 4
            assert view.balances(ACCOUNTS[0]) == [made]

    played(story)
    assert "no worker wrote" in caplog.text

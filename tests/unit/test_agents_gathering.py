"""An application that nobody waits for fetches seldom, and what it fetches first comes at once."""

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from types import SimpleNamespace

from aiokafka import ConsumerRecord, TopicPartition

from agents.runtime.run_thread import RunThread
from ledger.settings import Settings
from ledger.streaming.log import Log
from tests.virtual_time import run_virtually

GATHER_SECONDS = 0.1


def fetches(gather_seconds, brings):
    """When a RunThread's consecutive fetches ended, and when what they brought was passed on."""
    handed, ended = [], []

    async def story():
        now = asyncio.get_running_loop().time

        async def fetch(assignment, node, request):
            return brings

        fetcher = SimpleNamespace(_proc_fetch_request=fetch, _records={}, _in_flight=set())
        thread = SimpleNamespace(
            consumer=SimpleNamespace(app=SimpleNamespace(gather_seconds=gather_seconds)),
            _ensure_consumer=lambda: SimpleNamespace(_fetcher=fetcher),
            _hand_on=lambda records: handed.append(now()),
            _room=asyncio.Event(), _arrived=deque(),
        )  # fmt: skip
        RunThread._fetch_into_runs(thread)
        began = now()
        for _ in range(3):
            await fetcher._proc_fetch_request(None, 1, None)
            ended.append(round(now() - began, 3))
        return [round(at - began, 3) for at in handed], ended

    return run_virtually(story())


def test_a_fetch_that_brought_something_is_followed_by_a_pause_and_passed_on_before_it():
    assert fetches(GATHER_SECONDS, brings=True) == ([0.0, 0.1, 0.2], [0.1, 0.2, 0.3])


def test_nothing_waits_where_somebody_waits_for_the_application_or_nothing_came():
    assert fetches(0.0, brings=True) == ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    assert fetches(GATHER_SECONDS, brings=False) == ([], [0.0, 0.0, 0.0])


class Published(Log):
    """Progress of one shard, of which there is always more; `asked`: when it was read."""

    def __init__(self):
        super().__init__(Settings(bootstrap_servers="nowhere:1"))
        self.asked = []

    @asynccontextmanager
    async def _reader(self, wait_ms=0):
        yield self

    async def ends(self, tps):
        return dict.fromkeys(tps, 1)

    def assign(self, starts):
        assert list(starts.values()) == [0]

    async def lists(self, seconds):
        self.asked.append(round(asyncio.get_running_loop().time(), 3))
        record = ConsumerRecord("p", 0, len(self.asked), 0, 0, None, b"", 0, 0, 0, ())
        return {TopicPartition("p", 0): [record]}


def test_the_last_records_are_followed_at_once_and_then_as_seldom_as_is_asked():
    async def story():
        log = Published()
        began = round(asyncio.get_running_loop().time(), 3)
        found = 0
        async for records in log.follow_last("p", [0], gather_seconds=GATHER_SECONDS):
            found += len(records)
            if found == 3:
                break
        return [round(at - began, 3) for at in log.asked]

    assert run_virtually(story()) == [0.0, 0.1, 0.2]

"""Runs from a real broker to a stage: every record once and in order, whatever happens between.

The application is a ledger's; its stage only notes what it takes, and its state is a dictionary.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faust.types import TP

from agents.runtime import lanes
from agents.runtime.app import LedgerApp
from agents.runtime.lanes import Gap
from agents.runtime.runs import RECORD_BYTES, Run
from agents.runtime.runtime import Graph
from ledger.health.application import Health
from ledger.health.partitions import PartitionHealth
from ledger.streaming.registry import Codec
from ledger.streaming.topics import Topic
from tests.conftest import Stack
from tests.waiting import PATIENCE


class NotingPartition(PartitionHealth):
    """Sets `moved` when the partition is open."""

    def __init__(self, clock: Callable[[], float], moved: asyncio.Event) -> None:
        super().__init__(clock)
        self._moved = moved

    def opened(self) -> None:
        super().opened()
        self._moved.set()


class NotingHealth(Health):
    """Of partitions that set `moved` when they are open."""

    def __init__(self, topic: str, partitions: Iterable[int], moved: asyncio.Event) -> None:
        super().__init__()
        self.partitions = {(topic, each): NotingPartition(self.clock, moved) for each in partitions}


class FaultsKept(LedgerApp):
    """Keeps its faults instead of ending the process."""

    def __init__(self, *args: Any) -> None:
        # The application hands its `fault` on while it is made.
        self.faults: list[BaseException] = []
        super().__init__(*args)

    def fault(self, error: BaseException, doing: str) -> None:
        self.faults.append(error)


class NotingStage:
    """The stage: takes runs into `taken`, by partition; `at` says where it is, as a table would."""

    name = "taker"

    def __init__(self, stack: Stack, tmp_path: Path, name: str, partitions: int) -> None:
        self.settings, self.data = stack.settings, tmp_path
        tmp_path.mkdir(exist_ok=True)
        self.topic = Topic(name, partitions, None, {})
        self.at = dict.fromkeys(range(partitions), 0)
        self.taken: dict[int, list[bytes]] = {each: [] for each in range(partitions)}
        self.moved = asyncio.Event()
        self.before: Callable[[Run], Awaitable[None]] | None = None
        self.app = self.new_app()

    def new_app(self) -> FaultsKept:
        """Another worker with the same tables."""
        health = NotingHealth(self.topic.name, self.at, self.moved)
        app = FaultsKept(f"of-{self.topic.name}", self.settings, Codec({}), self.data, health)
        app.serve(Graph(stages=(self,), tasks=()))
        return app

    async def open(self, partition: int) -> int:
        return self.at[partition]

    async def take(self, run: Run) -> int:
        partition = run.tp.partition
        if self.before is not None:
            await self.before(run)
        # From here on at once, as one write of a table is.
        records = run.from_position(self.at[partition])
        if records is None:
            raise Gap(self.at[partition])
        self.taken[partition] += [record.value for record in records]
        self.at[partition] = run.end
        self.moved.set()
        return run.end

    def clear(self) -> None:
        """Nothing waits in it."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultsKept]:
        """Its application, until the end."""
        app = self.app
        await app.start()
        try:
            yield app
        finally:
            await app.stop()
            await app.runtime.log.close()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Return once it is so."""
        async with asyncio.timeout(PATIENCE):
            while not reached():
                assert not self.app.faults
                await self.moved.wait()
                self.moved.clear()

    async def until_seen(self, reached: Callable[[], bool]) -> None:
        """Of what nothing tells when it changes."""
        async with asyncio.timeout(PATIENCE):
            while not reached():  # noqa: ASYNC110 - Faust's
                await asyncio.sleep(0.02)

    def count(self) -> int:
        return sum(map(len, self.taken.values()))


@asynccontextmanager
async def topic(
    stack: Stack, name: str, partitions: int, config: dict[str, str] | None = None
) -> AsyncIterator[AIOKafkaProducer]:
    """A producer for a topic of this test alone."""
    servers = stack.settings.bootstrap_servers
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=config)])
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
        await admin.delete_topics([name])
        await admin.close()


async def publish(producer: AIOKafkaProducer, name: str, partition: int, values: range) -> None:
    for value in values:
        await producer.send(name, b"%d" % value, partition=partition)
    await producer.flush()


def numbers(*spans: range) -> list[bytes]:
    return [b"%d" % each for span in spans for each in span]


Story = Callable[[NotingStage, AIOKafkaProducer], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(stack: Stack, tmp_path: Path, new_id: Callable[..., str]) -> Play:
    """Plays a story on a topic of its own."""
    # The agents' processes have it so: the embedded ones are reached past any proxy.
    os.environ.pop("http_proxy", None)

    def played(story: Story, partitions: int = 2, config: dict[str, str] | None = None) -> None:
        async def run() -> None:
            name = new_id("delivery")
            async with topic(stack, name, partitions, config) as producer:
                await story(NotingStage(stack, tmp_path, name, partitions), producer)

        asyncio.run(run())

    return played


async def committed(stage: NotingStage) -> dict[int, int]:
    """The hints that Kafka has of the group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stage.settings.bootstrap_servers)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(stage.app.conf.id)
    finally:
        await admin.close()
    return {tp.partition: each.offset for tp, each in found.items() if tp.topic == stage.topic.name}


def test_every_record_is_taken_once_and_the_hint_reaches_the_end(play: Play) -> None:
    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        name = stage.topic.name
        await publish(producer, name, 0, range(500))
        async with stage.running():
            await publish(producer, name, 1, range(300))
            await publish(producer, name, 0, range(500, 700))
            await stage.until(lambda: stage.count() == 1_000)
            assert stage.taken == {0: numbers(range(700)), 1: numbers(range(300))}
            async with asyncio.timeout(PATIENCE):
                while await committed(stage) != {0: 700, 1: 300}:  # noqa: ASYNC110 - Kafka's
                    await asyncio.sleep(0.1)

    play(story)


def test_a_successor_goes_on_at_the_first_record_that_was_not_taken(play: Play) -> None:
    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        name = stage.topic.name
        failed: list[Run] = []

        async def fail_later(run: Run) -> None:
            if stage.count() >= 100:
                failed.append(run)
                stage.moved.set()
                raise RuntimeError("killed")

        stage.before = fail_later
        await publish(producer, name, 0, range(100))
        async with stage.running():
            await stage.until(lambda: stage.count() == 100)
            await publish(producer, name, 0, range(100, 200))
            async with asyncio.timeout(PATIENCE):
                while not failed:
                    await stage.moved.wait()
                    stage.moved.clear()
        assert stage.app.faults
        assert stage.taken[0] == numbers(range(100))
        stage.before = None
        stage.app = stage.new_app()
        async with stage.running():
            await stage.until(lambda: stage.count() == 200)
        assert stage.taken[0] == numbers(range(200))

    play(story)


def test_control_records_are_holes_and_no_gaps(play: Play, stack: Stack) -> None:
    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        name = stage.topic.name
        async with stage.running() as app:
            rewound = noting_rewinds(app)
            transactional = AIOKafkaProducer(
                bootstrap_servers=stack.settings.bootstrap_servers, transactional_id=name
            )
            async with transactional:
                for turn in range(10):
                    await transactional.begin_transaction()
                    await transactional.send_and_wait(name, b"%d" % turn, partition=0)
                    if turn % 3:
                        await transactional.commit_transaction()
                    else:
                        await transactional.abort_transaction()
            await publish(producer, name, 0, range(10, 20))
            await stage.until(lambda: stage.count() == 16)
        assert stage.taken[0] == [b"%d" % each for each in range(20) if each % 3 or each >= 10]
        # Ten records, ten markers, ten records.
        assert stage.at[0] == 30
        assert rewound == []

    play(story, partitions=1)


def losing_the_next(stage: NotingStage, app: LedgerApp) -> list[Run]:
    """From now on: the first runs that come, which get no further."""
    lost: list[Run] = []
    arrived = app.consumer._thread.arrived

    async def losing(seconds: float) -> Any:
        runs = await arrived(seconds)
        if runs and not lost:
            lost.extend(runs)
            stage.moved.set()
            return []
        return runs

    app.consumer._thread.arrived = losing
    return lost


def noting_rewinds(app: LedgerApp) -> list[tuple[TP, int]]:
    """Each one from now on, with where it goes back to."""
    rewound: list[tuple[TP, int]] = []
    rewind = app.consumer.rewind

    async def noting(run: Run, position: int) -> None:
        rewound.append((run.tp, position))
        await rewind(run, position)

    app.consumer.rewind = noting
    return rewound


COMPACTED = {
    "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "100", "delete.retention.ms": "0",
}  # fmt: skip


async def held(stage: NotingStage) -> list[tuple[int, bytes]]:
    """All that partition 0 holds: offsets and values."""
    async with AIOKafkaConsumer(
        bootstrap_servers=stage.settings.bootstrap_servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    ) as consumer:
        tp = TopicPartition(stage.topic.name, 0)
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        found: list[tuple[int, bytes]] = []
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                found += [(record.offset, record.value) for record in records]
        return found


def test_what_compaction_took_is_holes_and_no_gaps(play: Play) -> None:
    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        name, written = stage.topic.name, 0

        async def write(count: int) -> None:
            nonlocal written
            for each in range(written, written + count):
                key = b"once" if each == 10 else b"%d" % (each % 5)
                # One record a batch, or compaction takes no batch whole.
                await producer.send_and_wait(name, b"%d" % each, key, partition=0)
            written += count

        await write(200)
        # The broker's cleaner comes when it likes, and leaves the newest segment alone.
        async with asyncio.timeout(PATIENCE):
            while len(await held(stage)) > written - 100:
                await write(1)
        await write(20)
        runs: list[Run] = []

        async def note(run: Run) -> None:
            runs.append(run)

        stage.before = note
        async with stage.running() as app:
            rewound = noting_rewinds(app)
            await stage.until(lambda: stage.at[0] == written)
            # With holes behind it too it follows what comes.
            await write(5)
            await stage.until(lambda: stage.at[0] == written)
        # Compaction goes on meanwhile: what is left now was there to be taken.
        taken = [(record.offset, record.value) for run in runs for record in run.records]
        assert {*await held(stage)} <= {*taken}
        assert stage.taken[0] == [value for _, value in taken]
        assert any(after > before + 1 for (before, _), (after, _) in pairwise(taken))
        assert [run.start for run in runs] == [0, *(run.end for run in runs[:-1])]
        assert rewound == []

    play(story, partitions=1, config=COMPACTED)


def test_a_run_that_is_lost_on_its_way_is_read_again(play: Play) -> None:
    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        name = stage.topic.name
        async with stage.running() as app:
            await publish(producer, name, 0, range(10))
            await stage.until(lambda: stage.count() == 10)
            rewound, lost = noting_rewinds(app), losing_the_next(stage, app)
            await publish(producer, name, 0, range(10, 20))
            await stage.until(lambda: bool(lost))
            await publish(producer, name, 0, range(20, 30))
            await stage.until(lambda: stage.count() == 30)
        assert stage.taken[0] == numbers(range(30))
        # The alarm: it was missed, and asked for again from where it had begun.
        assert {*rewound} == {(TP(name, 0), 10)}

    play(story, partitions=1)


def test_a_partition_without_the_position_is_opened_again_or_closed_and_others_go_on(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a topic was cut, or made anew, while a worker runs: no process ends for it."""

    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        name = stage.topic.name
        async with stage.running() as app:
            await stage.until(lambda: len(app.consumer.opened) == 2)
            await publish(producer, name, 0, range(5))
            await stage.until(lambda: stage.at[0] == 5)
            # The state knows better: it is asked again, and reading goes on there.
            await app.consumer._thread.seek_to(TP(name, 0), 1_000)
            await publish(producer, name, 0, range(5, 8))
            await stage.until(lambda: stage.at[0] == 8)
            # The state has reached what the topic does not have.
            stage.at[0] = 1_000
            await app.consumer._thread.seek_to(TP(name, 0), 1_000)
            await stage.until_seen(lambda: "stays closed" in caplog.text)
            await publish(producer, name, 1, range(3))
            await stage.until(lambda: stage.at[1] == 3)
            assert TP(name, 0) not in app.consumer.opened
            assert f"{name}[0] ends at 8, but 1000 had been reached" in caplog.text
        assert stage.taken == {0: numbers(range(8)), 1: numbers(range(3))}
        assert not stage.app.faults

    play(story)


def test_what_waits_is_bounded(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FULL_BYTES", 20_000)
    size, count = 1_000, 10_000

    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        name = stage.topic.name
        gate = asyncio.Event()
        waiting: list[int] = []

        async def hold(run: Run) -> None:
            waiting.append(run.size)
            stage.moved.set()
            await gate.wait()

        stage.before = hold
        batch = producer.create_batch()
        async with stage.running() as app:
            thread = app.consumer._thread
            looks: list[int] = []
            arrived = thread.arrived

            async def looking(seconds: float) -> Any:
                runs = await arrived(seconds)
                looks.append(len(runs))
                # Again once these are with their lanes.
                asyncio.get_running_loop().call_later(0.1, stage.moved.set)
                return runs

            thread.arrived = looking
            for each in range(count):
                while batch.append(key=None, value=b"%0*d" % (size, each), timestamp=None) is None:
                    await (await producer.send_batch(batch, name, partition=0))
                    batch = producer.create_batch()
            await (await producer.send_batch(batch, name, partition=0))
            await stage.until(lambda: bool(waiting))
            lane = app.stages._lanes[name].lane(TP(name, 0))
            await stage.until(lambda: lane._full)
            # Three times more it is looked for what has come.
            seen = len(looks)
            await stage.until(lambda: len(looks) > seen + 3)
            counted = lane._bytes + sum(run.size for run in thread._arrived)
            # Beyond the limit no more than what two fetches bring, of ten there are.
            assert 0 < counted <= 20_000 + 2 * 1_200_000
            # Nothing was done yet, so all that was ever read is held by somebody, counted or not:
            # besides, what the stage has in hand.
            held = size + RECORD_BYTES
            read = held * await app.consumer.position(TP(name, 0))
            assert counted < read <= 40_000 + 3 * 1_200_000 < size * count / 2
            assert read == sum(waiting) + counted
            assert not thread._consumer._fetcher._records
            gate.set()
            await stage.until(lambda: stage.count() == count)
        assert stage.taken[0] == [b"%0*d" % (size, each) for each in range(count)]

    play(story, partitions=1)


def take_nothing_before(gate: asyncio.Event, thread: Any) -> None:
    """The stages are busy, and ask for what has come only once `gate` is set."""
    arrived = thread.arrived

    async def busy(seconds: float) -> Any:
        await gate.wait()
        return await arrived(seconds)

    thread.arrived = busy


def test_what_stages_have_not_asked_for_is_one_fetch(play: Play) -> None:
    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        name, gate = stage.topic.name, asyncio.Event()
        async with stage.running() as app:
            thread = app.consumer._thread
            take_nothing_before(gate, thread)
            for each in range(4_000):
                await producer.send(name, b"%01000d" % each, partition=0)
            await producer.flush()
            # The thread that fetches waits for room.
            await stage.until_seen(lambda: bool(thread._room._waiters))
            read = await app.consumer.position(TP(name, 0))
            assert sum(len(run.records) for run in thread._arrived) == read < 4_000
            gate.set()
            await stage.until(lambda: stage.count() == 4_000)

    play(story, partitions=1)


def test_a_fetch_that_waits_does_not_hold_up_the_end(play: Play) -> None:
    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        gate = asyncio.Event()
        async with stage.running() as app:
            thread = app.consumer._thread
            take_nothing_before(gate, thread)
            await publish(producer, stage.topic.name, 0, range(10))
            await stage.until_seen(lambda: bool(thread._room._waiters))
            await thread.call_thread(thread._consumer.stop)
            gate.set()

    play(story, partitions=1)


def test_a_rebalance_in_the_middle_of_a_run_neither_loses_nor_repeats(
    play: Play, stack: Stack, tmp_path: Path
) -> None:
    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        name = stage.topic.name
        other = NotingStage(stack, tmp_path / "other", name, 4)
        # One ledger: what the one has taken, the other knows.
        other.at, other.taken, other.moved = stage.at, stage.taken, stage.moved
        other.app = other.new_app()
        gate, begun = asyncio.Event(), asyncio.Event()

        async def hold(run: Run) -> None:
            begun.set()
            await gate.wait()

        async with stage.running():
            for partition in range(4):
                await publish(producer, name, partition, range(100))
            await stage.until(lambda: stage.count() == 400)
            stage.before = hold
            for partition in range(4):
                await publish(producer, name, partition, range(100, 200))
            async with asyncio.timeout(PATIENCE):
                await begun.wait()
            async with other.running() as joined:
                gate.set()
                await stage.until(lambda: stage.count() == 800)
                await stage.until(lambda: bool(joined.consumer.opened))
                for partition in range(4):
                    await publish(producer, name, partition, range(200, 300))
                await stage.until(lambda: stage.count() >= 1_200)
        assert stage.taken == {each: numbers(range(300)) for each in range(4)}

    play(story, partitions=4)


def test_many_partitions_of_one_fetch_keep_their_order(play: Play) -> None:

    async def story(stage: NotingStage, producer: AIOKafkaProducer) -> None:
        name = stage.topic.name
        async with stage.running():
            for turn in range(5):
                for partition in range(8):
                    await publish(producer, name, partition, range(turn * 20, turn * 20 + 20))
            await stage.until(lambda: stage.count() == 800)
        assert stage.taken == {each: numbers(range(100)) for each in range(8)}

    play(story, partitions=8)

"""Runs from a real broker to an agent: every record once and in order, whatever happens between.

The application is a ledger's, its agent only notes what it takes; a dictionary is the state.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faust.types import TP

from agents.runtime import lanes
from agents.runtime.app import LedgerApp, new_app, take_runs
from agents.runtime.lanes import Gap
from agents.runtime.runs import Run
from ledger.health.partitions import PartitionHealth
from ledger.streaming import delivery
from ledger.streaming.registry import Codec
from ledger.streaming.topics import Topic
from tests.conftest import Stack

SECONDS = 60


class Noting(PartitionHealth):
    """A partition's place; `moved` is set when it is open."""

    def __init__(self, clock: Callable[[], float], moved: asyncio.Event) -> None:
        super().__init__(clock)
        self._moved = moved

    def opened(self) -> None:
        super().opened()
        self._moved.set()


class Agent:
    """Takes runs into `taken`, by partition; `at` says where it is, as a table would."""

    def __init__(self, stack: Stack, tmp_path: Path, name: str, partitions: int) -> None:
        self.settings, self.data = stack.settings, tmp_path
        tmp_path.mkdir(exist_ok=True)
        self.topic = Topic(name, partitions, None, {})
        self.at = dict.fromkeys(range(partitions), 0)
        self.taken: dict[int, list[bytes]] = {each: [] for each in range(partitions)}
        self.moved = asyncio.Event()
        self.before: Callable[[Run], Awaitable[None]] | None = None
        self.faults: list[BaseException] = []
        self.app = self.new_app()

    def new_app(self) -> LedgerApp:
        """Another worker with the same tables."""
        app = new_app(f"of-{self.topic.name}", self.settings, Codec({}), self.data)

        self.attach(app)

        async def opened(partition: int) -> int:
            return self.at[partition]

        async def take(run: Run) -> int:
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

        take_runs(app, self.topic, name="taker", opened=opened, take=take)
        app.fault = lambda error, doing: self.faults.append(error)  # type: ignore[method-assign]
        # Each partition of a place of its own, so that its opening is something that moved.
        app.health.partitions = {
            (self.topic.name, partition): Noting(app.health.clock, self.moved)
            for partition in self.at
        }
        return app

    def attach(self, app: LedgerApp) -> None:
        """What else the application has."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[LedgerApp]:
        """Its application, until the end."""
        app = self.app
        await app.start()
        try:
            yield app
        finally:
            await app.stop()
            await app.log_.close()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Return once it is so."""
        async with asyncio.timeout(SECONDS):
            while not reached():
                assert not self.faults
                await self.moved.wait()
                self.moved.clear()

    async def until_seen(self, reached: Callable[[], bool]) -> None:
        """Of what nothing tells when it changes."""
        async with asyncio.timeout(SECONDS):
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


Story = Callable[[Agent, AIOKafkaProducer], Awaitable[None]]
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
                await story(Agent(stack, tmp_path, name, partitions), producer)

        asyncio.run(run())

    return played


async def committed(agent: Agent, name: str = "") -> dict[int, int]:
    """The hints that Kafka has of the group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=agent.settings.bootstrap_servers)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(agent.app.conf.id)
    finally:
        await admin.close()
    return {
        tp.partition: each.offset
        for tp, each in found.items()
        if tp.topic == (name or agent.topic.name)
    }


def test_every_record_is_taken_once_and_the_hint_reaches_the_end(play: Play) -> None:
    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        name = agent.topic.name
        await publish(producer, name, 0, range(500))
        async with agent.running():
            await publish(producer, name, 1, range(300))
            await publish(producer, name, 0, range(500, 700))
            await agent.until(lambda: agent.count() == 1_000)
            assert agent.taken == {0: numbers(range(700)), 1: numbers(range(300))}
            async with asyncio.timeout(SECONDS):
                while await committed(agent) != {0: 700, 1: 300}:  # noqa: ASYNC110 - Kafka's
                    await asyncio.sleep(0.1)

    play(story)


def test_a_successor_goes_on_at_the_first_record_that_was_not_taken(play: Play) -> None:
    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        name = agent.topic.name
        failed: list[Run] = []

        async def fail_later(run: Run) -> None:
            if agent.count() >= 100:
                failed.append(run)
                agent.moved.set()
                raise RuntimeError("killed")

        agent.before = fail_later
        await publish(producer, name, 0, range(100))
        async with agent.running():
            await agent.until(lambda: agent.count() == 100)
            await publish(producer, name, 0, range(100, 200))
            async with asyncio.timeout(SECONDS):
                while not failed:
                    await agent.moved.wait()
                    agent.moved.clear()
        assert agent.faults
        assert agent.taken[0] == numbers(range(100))
        agent.before, agent.faults = None, []
        agent.app = agent.new_app()
        async with agent.running():
            await agent.until(lambda: agent.count() == 200)
        assert agent.taken[0] == numbers(range(200))

    play(story)


def test_control_records_are_holes_and_no_gaps(play: Play, stack: Stack) -> None:
    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        name = agent.topic.name
        async with agent.running() as app:
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
            await agent.until(lambda: agent.count() == 16)
        assert agent.taken[0] == [b"%d" % each for each in range(20) if each % 3 or each >= 10]
        # Ten records, ten markers, ten records.
        assert agent.at[0] == 30
        assert rewound == []

    play(story, partitions=1)


def losing_the_next(agent: Agent, app: LedgerApp) -> list[Run]:
    """From now on: the first runs that come, which get no further."""
    lost: list[Run] = []
    arrived = app.consumer._thread.arrived

    async def losing(seconds: float) -> Any:
        runs = await arrived(seconds)
        if runs and not lost:
            lost.extend(runs)
            agent.moved.set()
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


async def held(agent: Agent) -> list[tuple[int, bytes]]:
    """All that partition 0 holds: offsets and values."""
    async with AIOKafkaConsumer(
        bootstrap_servers=agent.settings.bootstrap_servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    ) as consumer:
        tp = TopicPartition(agent.topic.name, 0)
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        found: list[tuple[int, bytes]] = []
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                found += [(record.offset, record.value) for record in records]
        return found


def test_what_compaction_took_is_holes_and_no_gaps(play: Play) -> None:
    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        name, written = agent.topic.name, 0

        async def write(count: int) -> None:
            nonlocal written
            for each in range(written, written + count):
                key = b"once" if each == 10 else b"%d" % (each % 5)
                # One record a batch, or compaction takes no batch whole.
                await producer.send_and_wait(name, b"%d" % each, key, partition=0)
            written += count

        await write(200)
        # The broker's cleaner comes when it likes, and leaves the newest segment alone.
        async with asyncio.timeout(SECONDS):
            while len(await held(agent)) > written - 100:
                await write(1)
        await write(20)
        runs: list[Run] = []

        async def note(run: Run) -> None:
            runs.append(run)

        agent.before = note
        async with agent.running() as app:
            rewound = noting_rewinds(app)
            await agent.until(lambda: agent.at[0] == written)
            # With holes behind it too it follows what comes.
            await write(5)
            await agent.until(lambda: agent.at[0] == written)
        # Compaction goes on meanwhile: what is left now was there to be taken.
        taken = [(record.offset, record.value) for run in runs for record in run.records]
        assert {*await held(agent)} <= {*taken}
        assert agent.taken[0] == [value for _, value in taken]
        assert any(after > before + 1 for (before, _), (after, _) in pairwise(taken))
        assert [run.start for run in runs] == [0, *(run.end for run in runs[:-1])]
        assert rewound == []

    play(story, partitions=1, config=COMPACTED)


def test_a_run_that_is_lost_on_its_way_is_read_again(play: Play) -> None:
    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        name = agent.topic.name
        async with agent.running() as app:
            await publish(producer, name, 0, range(10))
            await agent.until(lambda: agent.count() == 10)
            rewound, lost = noting_rewinds(app), losing_the_next(agent, app)
            await publish(producer, name, 0, range(10, 20))
            await agent.until(lambda: bool(lost))
            await publish(producer, name, 0, range(20, 30))
            await agent.until(lambda: agent.count() == 30)
        assert agent.taken[0] == numbers(range(30))
        # The alarm: it was missed, and asked for again from where it had begun.
        assert {*rewound} == {(TP(name, 0), 10)}

    play(story, partitions=1)


def test_a_partition_without_the_position_is_opened_again_or_closed_and_others_go_on(
    play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    """As when a topic was cut, or made anew, while a worker runs: no process ends for it."""

    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        name = agent.topic.name
        async with agent.running() as app:
            await agent.until(lambda: len(app.consumer.opened) == 2)
            await publish(producer, name, 0, range(5))
            await agent.until(lambda: agent.at[0] == 5)
            # The state knows better: it is asked again, and reading goes on there.
            await app.consumer._thread.seek_to(TP(name, 0), 1_000)
            await publish(producer, name, 0, range(5, 8))
            await agent.until(lambda: agent.at[0] == 8)
            # The state has reached what the topic does not have.
            agent.at[0] = 1_000
            await app.consumer._thread.seek_to(TP(name, 0), 1_000)
            await agent.until_seen(lambda: "stays closed" in caplog.text)
            await publish(producer, name, 1, range(3))
            await agent.until(lambda: agent.at[1] == 3)
            assert TP(name, 0) not in app.consumer.opened
            assert f"{name}[0] ends at 8, but 1000 had been reached" in caplog.text
        assert agent.taken == {0: numbers(range(8)), 1: numbers(range(3))}
        assert not agent.faults

    play(story)


def test_what_waits_is_bounded(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FULL_BYTES", 20_000)
    size, count = 1_000, 10_000

    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        name = agent.topic.name
        gate = asyncio.Event()
        waiting: list[int] = []

        async def hold(run: Run) -> None:
            waiting.append(run.size)
            agent.moved.set()
            await gate.wait()

        agent.before = hold
        batch = producer.create_batch()
        async with agent.running() as app:
            thread = app.consumer._thread
            looks: list[int] = []
            arrived = thread.arrived

            async def looking(seconds: float) -> Any:
                runs = await arrived(seconds)
                looks.append(len(runs))
                # Again once these are with their lanes.
                asyncio.get_running_loop().call_later(0.1, agent.moved.set)
                return runs

            thread.arrived = looking
            for each in range(count):
                while batch.append(key=None, value=b"%0*d" % (size, each), timestamp=None) is None:
                    await (await producer.send_batch(batch, name, partition=0))
                    batch = producer.create_batch()
            await (await producer.send_batch(batch, name, partition=0))
            await agent.until(lambda: bool(waiting))
            lane = app.lanes[0][TP(name, 0)]
            await agent.until(lambda: lane._full)
            # Three times more it is looked for what has come.
            seen = len(looks)
            await agent.until(lambda: len(looks) > seen + 3)
            counted = lane._bytes + sum(run.size for run in thread._arrived)
            # Beyond the limit no more than what two fetches bring, of ten there are.
            assert 0 < counted <= 20_000 + 2 * 1_200_000
            # Nothing was done yet, so all that was ever read is held by somebody, counted or not:
            # besides, what the agent has in hand.
            held = size + delivery.RECORD_BYTES
            read = held * await app.consumer.position(TP(name, 0))
            assert counted < read <= 40_000 + 3 * 1_200_000 < size * count / 2
            assert read == sum(waiting) + counted
            assert not thread._consumer._fetcher._records
            gate.set()
            await agent.until(lambda: agent.count() == count)
        assert agent.taken[0] == [b"%0*d" % (size, each) for each in range(count)]

    play(story, partitions=1)


def take_nothing_before(gate: asyncio.Event, thread: Any) -> None:
    """The agents are busy, and ask for what has come only once `gate` is set."""
    arrived = thread.arrived

    async def busy(seconds: float) -> Any:
        await gate.wait()
        return await arrived(seconds)

    thread.arrived = busy


def test_what_agents_have_not_asked_for_is_one_fetch(play: Play) -> None:
    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        name, gate = agent.topic.name, asyncio.Event()
        async with agent.running() as app:
            thread = app.consumer._thread
            take_nothing_before(gate, thread)
            for each in range(4_000):
                await producer.send(name, b"%01000d" % each, partition=0)
            await producer.flush()
            # The thread that fetches waits for room.
            await agent.until_seen(lambda: bool(thread._room._waiters))
            read = await app.consumer.position(TP(name, 0))
            assert sum(len(run.records) for run in thread._arrived) == read < 4_000
            gate.set()
            await agent.until(lambda: agent.count() == 4_000)

    play(story, partitions=1)


def test_a_fetch_that_waits_does_not_hold_up_the_end(play: Play) -> None:
    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        gate = asyncio.Event()
        async with agent.running() as app:
            thread = app.consumer._thread
            take_nothing_before(gate, thread)
            await publish(producer, agent.topic.name, 0, range(10))
            await agent.until_seen(lambda: bool(thread._room._waiters))
            await thread.call_thread(thread._consumer.stop)
            gate.set()

    play(story, partitions=1)


def test_a_rebalance_in_the_middle_of_a_run_neither_loses_nor_repeats(
    play: Play, stack: Stack, tmp_path: Path
) -> None:
    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        name = agent.topic.name
        other = Agent(stack, tmp_path / "other", name, 4)
        # One ledger: what the one has taken, the other knows.
        other.at, other.taken, other.moved = agent.at, agent.taken, agent.moved
        other.app = other.new_app()
        gate, begun = asyncio.Event(), asyncio.Event()

        async def hold(run: Run) -> None:
            begun.set()
            await gate.wait()

        async with agent.running():
            for partition in range(4):
                await publish(producer, name, partition, range(100))
            await agent.until(lambda: agent.count() == 400)
            agent.before = hold
            for partition in range(4):
                await publish(producer, name, partition, range(100, 200))
            async with asyncio.timeout(SECONDS):
                await begun.wait()
            async with other.running() as joined:
                gate.set()
                await agent.until(lambda: agent.count() == 800)
                await agent.until(lambda: bool(joined.consumer.opened))
                for partition in range(4):
                    await publish(producer, name, partition, range(200, 300))
                await agent.until(lambda: agent.count() >= 1_200)
        assert agent.taken == {each: numbers(range(300)) for each in range(4)}

    play(story, partitions=4)


def test_many_partitions_of_one_fetch_keep_their_order(play: Play) -> None:

    async def story(agent: Agent, producer: AIOKafkaProducer) -> None:
        name = agent.topic.name
        async with agent.running():
            for turn in range(5):
                for partition in range(8):
                    await publish(producer, name, partition, range(turn * 20, turn * 20 + 20))
            await agent.until(lambda: agent.count() == 800)
        assert agent.taken == {each: numbers(range(100)) for each in range(8)}

    play(story, partitions=8)


class Ordinary(Agent):
    """Beside the runs an agent of Faust's own, with one event a record; `singles` is what it got.

    Its messages are `singles`; `gate` holds it up; with `by_hand` it acks each itself.
    """

    by_hand = False

    def __init__(self, stack: Stack, tmp_path: Path, name: str, partitions: int) -> None:
        self.other = f"{name}-single"
        self.singles: list[Any] = []
        self.gate: asyncio.Event | None = None
        super().__init__(stack, tmp_path, name, partitions)

    def attach(self, app: LedgerApp) -> None:
        async def single(stream: Any) -> None:
            async for event in (stream.noack() if self.by_hand else stream).events():
                if self.gate is not None:
                    await self.gate.wait()
                self.singles.append(event.message)
                if self.by_hand:
                    event.ack()
                self.moved.set()

        app.agent(app.topic(self.other, key_type=bytes, value_type=bytes), name="single")(single)

    def got(self, partition: int) -> list[bytes]:
        return [each.value for each in self.singles if each.partition == partition]

    async def has_committed(self, wanted: dict[int, int]) -> None:
        """Return once Kafka has these offsets of the ordinary topic."""
        async with asyncio.timeout(SECONDS):
            while await committed(self, self.other) != wanted:  # noqa: ASYNC110 - Kafka's
                await asyncio.sleep(0.1)


OrdinaryStory = Callable[[Ordinary, AIOKafkaProducer], Awaitable[None]]


@pytest.fixture
def play_beside(stack: Stack, tmp_path: Path, new_id: Callable[..., str]) -> Callable[..., None]:
    """Plays a story on a topic of runs and an ordinary one, `other`."""
    os.environ.pop("http_proxy", None)

    def played(story: OrdinaryStory, partitions: int = 2) -> None:
        async def run() -> None:
            agent = Ordinary(stack, tmp_path, new_id("delivery"), partitions)
            name = agent.topic.name
            async with (
                topic(stack, name, partitions) as producer,
                topic(stack, agent.other, partitions),
            ):
                await story(agent, producer)

        asyncio.run(run())

    return played


@pytest.mark.parametrize("by_hand", [False, True], ids=["acked by Faust", "acked by hand"])
def test_an_agent_with_one_event_a_record_works_beside_one_with_runs(
    play_beside: Callable[..., None], by_hand: bool
) -> None:
    async def story(agent: Ordinary, producer: AIOKafkaProducer) -> None:
        agent.by_hand = by_hand
        name, other = agent.topic.name, agent.other
        await publish(producer, other, 0, range(150))
        await producer.send_and_wait(
            other, b"150", b"key", partition=0, headers=[("a", b"b")], timestamp_ms=1_234_567
        )
        async with agent.running() as app:
            await publish(producer, name, 0, range(500))
            await publish(producer, other, 1, range(300))
            await publish(producer, other, 0, range(151, 400))
            await agent.until(lambda: agent.count() == 500 and len(agent.singles) == 700)
            await agent.has_committed({0: 400, 1: 300})
            # What comes right before the end is committed on stopping.
            await publish(producer, other, 0, range(400, 410))
            await agent.until(lambda: len(agent.singles) == 710)
            generation = app.consumer_generation_id
        assert agent.taken[0] == numbers(range(500))
        assert [agent.got(each) for each in (0, 1)] == [numbers(range(410)), numbers(range(300))]
        message = next(each for each in agent.singles if each.key)
        assert (message.key, message.headers) == (b"key", (("a", b"b"),))
        assert (message.value, message.offset, message.timestamp) == (b"150", 150, 1_234.567)
        assert message.generation_id == generation
        await agent.has_committed({0: 410, 1: 300})

        # Its successor goes on there; the runs' one at what its state says, whatever is committed.
        assert (await committed(agent))[0] == 500
        await publish(producer, name, 0, range(500, 600))
        await publish(producer, other, 0, range(410, 500))
        agent.at[0], agent.taken[0] = 450, agent.taken[0][:450]
        agent.app = agent.new_app()
        async with agent.running():
            await agent.until(lambda: agent.count() == 600 and len(agent.singles) == 800)
            await publish(producer, other, 1, range(300, 301))
            await agent.until(lambda: len(agent.singles) == 801)
        assert agent.taken[0] == numbers(range(600))
        assert [agent.got(each) for each in (0, 1)] == [numbers(range(500)), numbers(range(301))]

    play_beside(story)


def test_what_is_lost_on_its_way_to_an_ordinary_agent_is_read_again(
    play_beside: Callable[..., None],
) -> None:
    async def story(agent: Ordinary, producer: AIOKafkaProducer) -> None:
        async with agent.running() as app:
            await publish(producer, agent.other, 0, range(10))
            await agent.until(lambda: len(agent.singles) == 10)
            rewound, lost = noting_rewinds(app), losing_the_next(agent, app)
            await publish(producer, agent.other, 0, range(10, 20))
            await agent.until(lambda: bool(lost))
            await publish(producer, agent.other, 0, range(20, 30))
            await agent.until(lambda: len(agent.singles) >= 30)
            await agent.has_committed({0: 30})
        assert agent.got(0) == numbers(range(30))
        assert {*rewound} == {(TP(agent.other, 0), 10)}

    play_beside(story)


def test_an_ordinary_agent_that_is_held_up_holds_up_no_runs(
    play_beside: Callable[..., None],
) -> None:
    async def story(agent: Ordinary, producer: AIOKafkaProducer) -> None:
        agent.gate = asyncio.Event()
        async with agent.running() as app:
            await publish(producer, agent.other, 0, range(2_000))
            await publish(producer, agent.other, 1, range(500))
            # It has all that its queue takes, many times fewer; the rest waits with the consumer.
            buffered = app.consumer._buffered_partitions
            await agent.until_seen(lambda: len(buffered) == 2)
            await publish(producer, agent.topic.name, 0, range(300))
            await agent.until(lambda: agent.count() == 300)
            assert not agent.singles
            agent.gate.set()
            await agent.until(lambda: len(agent.singles) == 2_500)
            await agent.has_committed({0: 2_000, 1: 500})
        assert [agent.got(each) for each in (0, 1)] == [numbers(range(2_000)), numbers(range(500))]

    play_beside(story)


def test_a_rebalance_loses_nothing_of_an_ordinary_topic(
    play_beside: Callable[..., None], stack: Stack, tmp_path: Path
) -> None:
    async def story(agent: Ordinary, producer: AIOKafkaProducer) -> None:
        other = Ordinary(stack, tmp_path / "other", agent.topic.name, 4)
        other.at, other.taken, other.moved = agent.at, agent.taken, agent.moved
        other.singles, other.app = agent.singles, other.new_app()

        def seen(partition: int, end: int) -> bool:
            return {*agent.got(partition)} == {*numbers(range(end))}

        def all_seen(end: int) -> bool:
            return all(seen(partition, end) for partition in range(4))

        agent.gate = other.gate = asyncio.Event()
        async with agent.running() as first:
            agent.gate.set()
            for partition in range(4):
                await publish(producer, agent.other, partition, range(100))
            await agent.until(lambda: all_seen(100))
            agent.gate.clear()
            for partition in range(4):
                await publish(producer, agent.other, partition, range(100, 400))
            await agent.until_seen(lambda: bool(first.consumer._singles))
            async with other.running() as second:
                await agent.until_seen(lambda: bool(second.consumer.opened))
                agent.gate.set()
                await agent.until(lambda: all_seen(400))
                for partition in range(4):
                    await publish(producer, agent.other, partition, range(400, 500))
                await agent.until(lambda: all_seen(500))
                owners = first.consumer.opened, second.consumer.opened
                assert all(any(tp.topic == agent.other for tp in each) for each in owners)
            # Handed back what the other had acked, it goes on there.
            await agent.until_seen(lambda: len(first.consumer.opened) == 8)
            for partition in range(4):
                await publish(producer, agent.other, partition, range(500, 510))
            await agent.until(lambda: all_seen(510))
            await agent.has_committed(dict.fromkeys(range(4), 510))

    play_beside(story, partitions=4)

"""A simulated process: the real agents on an app, a consumer, disks and a thread that are not."""

import asyncio
import contextvars
import logging
from collections import Counter, deque
from collections.abc import MutableSet
from functools import cache

from faust.transport.drivers import aiokafka as driver

from agents import wiring
from agents.history import HistoryStage
from agents.progress import Progress
from agents.runtime.app import LeaseLost, LedgerApp, lease
from agents.runtime.membership import Membership
from agents.runtime.run_consumer import RunConsumer
from agents.runtime.runs import Run, joined
from agents.runtime.runtime import Runtime
from agents.runtime.stages import Stages
from ledger.gl.journal import JournalUnavailable
from ledger.health.application import Health
from ledger.health.partitions import current_partition
from ledger.settings import Settings
from ledger.streaming.table import Overtaken
from tests.simulation.kafka import SimLog
from tests.simulation.loop import PROCESS

UNFLUSHED = 8
"""Writes of a store that a crash may take back."""


class Dead(BaseException):
    """The process is no more; nothing of it runs on."""


class Ordered(MutableSet):
    """A set that is walked in the order of adding, whatever the hashes are today."""

    def __init__(self, items=()):
        self._items = dict.fromkeys(items)

    def __contains__(self, item):
        return item in self._items

    def __iter__(self):
        return iter(list(self._items))

    def __len__(self):
        return len(self._items)

    def add(self, item):
        self._items[item] = None

    def discard(self, item):
        self._items.pop(item, None)

    def clear(self):
        self._items.clear()


class Folder:
    """Where a store lives: the disk outlives the process."""

    def __init__(self, process, path=""):
        self.process, self.path = process, path

    def __truediv__(self, name):
        return Folder(self.process, f"{self.path}/{name}")


class MemoryStore:
    """Store without RocksDB: a write is there whole, after all those before it.

    The last `UNFLUSHED` may be gone when the process dies.
    """

    def __init__(self, folder):
        self._process, self._path = folder.process, folder.path
        self._kept = folder.process.disk.setdefault(folder.path, {})
        self._undo = folder.process.unflushed.setdefault(folder.path, deque(maxlen=UNFLUSHED))
        self.get = self._kept.get

    def get_all(self, keys):
        return list(map(self.get, keys))

    def write(self, puts, deletes=()):
        self._process.alive()
        puts, deletes = dict(puts), list(deletes)
        self._undo.append({key: self._kept.get(key) for key in (*puts, *deletes)})
        for key in deletes:
            self._kept.pop(key, None)
        self._kept.update(puts)
        # The balances' is written seldom, and then everything after it counts.
        self._process.perhaps_dies(0.2 if "balances" in self._path else 0.05)

    def scan(self, start=b"", end=None):
        for key in sorted(self._kept):
            if key >= start and (end is None or key < end):
                yield key, self._kept[key]


class Base(driver.Consumer):
    """In Faust's place, behind RunConsumer."""

    def __init__(self, process):
        self.app, self._thread, self.process = process.app, Fetcher(process), process
        self.log = logging.getLogger("consumer")
        self._read_offset, self.flow_active = {}, True
        self.on_init()
        self.opened = Ordered()

    should_stop = False

    def on_init(self):
        pass

    def assignment(self):
        return self._thread.assigned

    def pause_partitions(self, tps):
        pass

    def resume_partitions(self, tps):
        pass

    async def on_partitions_revoked(self, revoked):
        pass

    def __del__(self):
        pass


class SimConsumer(RunConsumer, Base):
    """RunConsumer as it is, on partitions in memory."""


class Fetcher:
    """In RunThread's place: fetches from assigned partitions and labels what it found."""

    def __init__(self, process):
        self.process, self.world = process, process.world
        self.assigned, self.ends, self.paused, self.held = Ordered(), {}, Ordered(), Ordered()
        self.seeks = Counter()
        self.arrived_runs = deque()
        self.wake = asyncio.Event()
        self.arrival = asyncio.Event()

    def assign(self, tps):
        self.assigned, self.paused = Ordered(tps), Ordered()
        self.ends.clear()
        self.wake.set()

    def pause(self, tps, *, paused):
        for tp in tps:
            (self.paused.add if paused else self.paused.discard)(tp)
        self.wake.set()

    async def seek_to(self, tp, offset):
        await self.process.wait(self.world.latency() / 4)
        if tp not in self.assigned:
            return False
        self.ends[tp] = offset
        self.seeks[tp] += 1
        self.wake.set()
        # The answer comes from another thread, perhaps after what is read again.
        await self.process.wait(self.world.latency())
        return True

    def unconfirmed(self):
        return self.process.unconfirmed()

    async def arrived(self, timeout):  # noqa: ASYNC109 - RunThread's
        while not self.arrived_runs:
            self.arrival.clear()
            await self.arrival.wait()
        found, runs = self.arrived_runs, []
        while found:
            runs.append(found.popleft())
        return joined(runs)

    async def fetch(self):
        """Without end."""
        while True:
            self.wake.clear()
            ready = [tp for tp in self.ends if self._has(tp) and self._may(tp)]
            if not ready:
                for tp in self.ends:
                    self.world.partition(*tp).waiting.append(self.wake.set)
                await self.wake.wait()
            await self.process.wait(self.world.latency())
            for tp in ready:
                if self.world.chance("slow", 0.1):
                    self._hold(tp)
                for _ in range(self.world.random.choice((1, 1, 4))):
                    if tp in self.assigned and tp in self.ends and self._may(tp):
                        self._hand_on(tp)

    def _hold(self, tp):
        """Nothing of it comes for a while."""
        seconds = 1.5 * self.world.dice("slow").random()
        self.held.add(tp)
        self.world.loop.call_later(seconds, self._let_go, tp)

    def _let_go(self, tp):
        self.held.discard(tp)
        self.wake.set()

    def _may(self, tp):
        return tp not in self.paused and tp not in self.held

    def _has(self, tp):
        offsets = self.world.partition(*tp).offsets
        return bool(offsets) and offsets[-1] >= self.ends[tp]

    def _hand_on(self, tp):
        world, start = self.world, self.ends[tp]
        where = world.partition(*tp)
        if world.chance("repeat", 0.1):
            start = max(start - world.dice("repeat").randint(1, 5), 0)
        found = where.between(start, where.end)
        if not found:
            return
        taken = found[: world.random.choice((1, 2, 5, 100))]
        end = taken[-1].offset + 1
        if len(taken) < len(found):
            end = found[len(taken)].offset if world.random.random() < 0.5 else end
            # Only with something behind it: RunConsumer.getmany takes care of that.
            if world.chance("lost_run", 0.5):
                self.ends[tp] = end
                return
        elif world.random.random() < 0.5:
            end = where.end
        self.ends[tp] = end
        self.arrived_runs.append(Run(tp, start, end, taken, self.seeks[tp]))
        self.arrival.set()


class Stream:
    """What an agent iterates over."""

    def __init__(self):
        self.queue = asyncio.Queue()

    def noack(self):
        return self

    async def events(self):
        while True:
            yield await self.queue.get()


class SimApp:
    """As much of a LedgerApp as the consumer and the stages ask for; the methods are its own."""

    should_stop = False
    serve, _serve, do = LedgerApp.serve, LedgerApp._serve, LedgerApp.do

    def __init__(self, process):
        world = process.world
        self.process = process
        self.consumer_generation_id = 0
        self.tasks, self.streams = [], {}
        self.consumer = self._consumer = None
        membership = Membership(self, world.names.transactions.name)
        health = Health(lambda: world.loop.now)
        self.runtime = Runtime(
            process.settings, world.names, SimLog(process, self.require_lease), world.codec,
            Folder(process), health, membership, process.fault,
        )  # fmt: skip
        self.stages = Stages(self.runtime)

    def require_lease(self):
        runtime = self.runtime
        lease(runtime.membership, runtime.health, runtime.settings.session_timeout_seconds)

    def task(self, work):
        self.tasks.append(work)
        return work

    def topic(self, name, schema):
        return name

    def agent(self, topic, name):
        def take(work):
            self.streams[topic] = stream = Stream()
            self.tasks.append(lambda: work(stream))

        return take


class Faulty:
    """The shared database as one process reaches it."""

    def __init__(self, process):
        self._process, self._world = process, process.world

    def _answers(self):
        down = self._world.loop.now < self._world.database_away_until and not self._world.calm
        if down or self._world.chance("journal_no", 0.08):
            raise JournalUnavailable("it does not answer")

    def _committed(self):
        """What was asked for is done; perhaps nobody learns of it."""
        self._process.perhaps_dies()
        if self._world.chance("journal_unknown", 0.1):
            raise JournalUnavailable("the connection broke at the end")


class FaultyJournal(Faulty):
    """Its MemoryJournal."""

    def prepare(self, posting):
        return self._world.journal.prepare(posting)

    def post_all(self, prepared):
        self._answers()
        self._world.require_postable(prepared)
        found = self._world.journal.post_all(prepared)
        self._world.oracle.posted(prepared)
        if self._world.trace is not None:
            ends = {each.posting.shard: each.after.end for each in prepared}
            self._world.note(f"journal: posted {ends}", self._process)
        self._committed()
        return found

    def watermark(self, shard):
        self._answers()
        return self._world.journal.watermark(shard)

    def watermarks(self):
        self._answers()
        return self._world.journal.watermarks()

    def snapshot(self, shard, since):
        self._answers()
        return self._world.journal.snapshot(shard, since)

    def voids(self, shard):
        self._answers()
        return self._world.journal.voids(shard)


class FaultyHistory(Faulty):
    """Its MemoryHistory."""

    def positions(self):
        self._answers()
        return self._world.history.positions()

    def fold(self, folds):
        self._answers()
        self._world.oracle.folding(folds)
        self._world.history.fold(folds)
        if self._world.trace is not None:
            ends = {each.shard: each.runs[-1].after.end for each in folds}
            self._world.note(f"history: folded {ends}", self._process)
        self._committed()

    def tidy(self, shards, *, idle):
        self._answers()
        return self._world.history.tidy(shards, idle=idle)


@cache
def settings_of(settings, window_days):
    """The world's, or with another window; made once, for that takes longer than a process lives."""
    given = {} if window_days is None else {"window_days": window_days}
    return Settings(**settings.model_dump(exclude_unset=True) | given)


class Process:
    """`name` has a disk; `kind` is stream, posting or history. Dead for good once it died."""

    def __init__(self, world, name, kind):
        self.world, self.name, self.kind = world, name, kind
        self.disk, self.unflushed = world.disks.setdefault((name, kind), {}), {}
        self.dead, self.confirmed, self.tasks = False, None, []
        # Somebody has set a policy of their own for it: it must not decide.
        self.may_decide = not world.chance("settings", 0.15)
        window = world.dice("settings").choice((1, 90))
        self.settings = settings_of(world.settings, None if self.may_decide else window)
        self.thread_free_at = 0.0
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)
        self.context.run(self._start)

    def _start(self):
        self.app = app = SimApp(self)
        current_partition.set(app.runtime.health.own)
        if self.kind == "stream":
            app.serve(wiring.stream(app.runtime, Progress(app.runtime)))
        elif self.kind == "posting":
            app.serve(wiring.posting(app.runtime, FaultyJournal(self)))
        else:
            progress = Progress(app.runtime)
            stage = HistoryStage(app.runtime, progress, FaultyHistory(self))
            app.serve(wiring.history(stage, progress))
        app.consumer = app._consumer = SimConsumer(self)
        for work in (*app.tasks, app.consumer._thread.fetch, self._deliver):
            self.spawn(work())

    def lose_unflushed(self, dice):
        """Of each store the last writes, some or none."""
        for path, undo in self.unflushed.items():
            kept, lost = self.disk[path], dice.randrange(len(undo) + 1)
            for _ in range(lost):
                before = undo.pop()
                kept.update((key, value) for key, value in before.items() if value is not None)
                for key in (key for key, value in before.items() if value is None):
                    kept.pop(key, None)
            if lost:
                self.world.note(f"loses the last {lost} writes of {path}", self)

    def spawn(self, work):
        task = self.world.loop.create_task(work, context=self.context)
        self.tasks.append(task)
        return task

    async def _deliver(self):
        while True:
            async for tp, message in self.app.consumer.getmany(1.0):
                self.app.streams[tp.topic].queue.put_nowait(message)

    def wait(self, seconds):
        """Passes only while the process lives."""
        done = self.world.loop.create_future()
        self.world.loop.call_later(seconds, self._wake, done)
        return done

    def _wake(self, done):
        if not (self.dead or done.done()):
            done.set_result(None)

    async def until(self, future):
        """The result of what the world does, unless the process has died meanwhile."""
        found = await asyncio.shield(future)
        if self.dead:
            await self.world.loop.create_future()
        return found

    async def on_thread(self, work):
        """On the process's one thread."""
        world = self.world
        seconds = world.latency()
        if world.chance("journal_hang", 0.06):
            seconds = 180 * world.dice("journal_hang").random() ** 3
        start = max(world.loop.now, self.thread_free_at)
        self.thread_free_at = start + seconds
        await self.wait(start - world.loop.now + seconds)
        try:
            return work()
        finally:
            await self.wait(world.latency())

    def unconfirmed(self):
        """Seconds since the broker knew it."""
        return 0.0 if self.confirmed is None else self.world.loop.now - self.confirmed

    def alive(self):
        if self.dead:
            raise Dead

    def perhaps_dies(self, probability=0.02):
        """At a moment that matters: just after an effect."""
        if self.world.chance("crash", probability):
            self.world.note("is killed", self)
            self.world.died(self)

    def fault(self, error, doing):
        """It stops by itself."""
        if isinstance(error, GeneratorExit):
            return
        refused = not self.may_decide and "contradict" in str(error)
        if not (self.dead or refused or isinstance(error, LeaseLost | Overtaken)):
            self.world.fail(f"fault while {doing}: {error!r}", error)
        self.world.note(f"stops: {type(error).__name__} while {doing}", self)
        self.world.died(self)
        raise Dead

    def __repr__(self):
        return f"{self.name}.{self.kind}"

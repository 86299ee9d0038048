"""Kafka as the ledger sees it: partitions in memory, and `Log` on top with everything that fails.

What is real of Log: its queues (what waits for a partition goes together), the lease, the waiting.
"""

from bisect import bisect_left
from operator import itemgetter

from aiokafka import ConsumerRecord

from ledger.errors import InvariantBroken, Unavailable
from ledger.settings import Settings
from ledger.streaming.log import BATCH_BYTES, AppendUnknown, Log

COMPACTED_AFTER = 2.0
"""Virtual seconds; longer than it takes until what a replaced worker wrote is set right."""
SIMULATED = Settings(bootstrap_servers="simulated:1")


class Partition:
    """Records by offset, with the holes that control records and compaction leave."""

    def __init__(self, world, topic, number):
        self.world, self.topic, self.number = world, topic, number
        self.records, self.offsets, self.end = [], [], 0
        self.away_until = 0.0
        self.waiting = []
        self.ahead_ms = 0

    def land(self, records):
        """Append a batch; the offset of its first record."""
        world = self.world
        if world.chance("holes", 0.1):
            self.end += 1
        if world.chance("foreign", 0.1) and self.topic in world.internal:
            self._put([world.foreign(self.topic, records)])
        first, made = self.end, self._put(records)
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each()
        world.oracle.landed(self, made)
        return first

    def _put(self, records):
        first, time = self.end, self.world.present() // 1000 + self.ahead_ms
        made = [
            ConsumerRecord(self.topic, self.number, offset, time, 1, key, value, None, 0, 0, ())
            for offset, (key, value) in enumerate(records, first)
        ]
        self.records += made
        self.offsets += range(first, first + len(made))
        self.end = first + len(made)
        return made

    def between(self, start, end):
        """The records at offsets [start, end)."""
        return self.records[bisect_left(self.offsets, start) : bisect_left(self.offsets, end)]

    def compact(self):
        """Of each key the last stays, and whatever is young: Kafka compacts what is days old."""
        young = self.world.present() // 1000 - int(COMPACTED_AFTER * 1000)
        last = {each.key: each.offset for each in self.records if each.timestamp < young}
        self.records = [
            each
            for each in self.records
            if each.timestamp >= young or last[each.key] == each.offset
        ]
        self.offsets = [record.offset for record in self.records]


class SimLog(Log):
    """A process's Log."""

    def __init__(self, process, lease):
        super().__init__(SIMULATED, lease=lease)
        self._process, self._world = process, process.world

    async def _append(self, topic, partition, records):
        process, world, records = self._process, self._world, list(records)
        where = world.partition(topic, partition)
        if topic == world.names.balances.name:
            # They come in the order of a set, and a reader takes a few at a time: a seed must be
            # the same again.
            records.sort(key=itemgetter(0))
        await process.wait(world.latency())
        self._reach(where)
        if sum(len(key or b"") + len(value or b"") for key, value in records) > BATCH_BYTES:
            raise InvariantBroken(f"A run for {topic}[{partition}] outgrew a record batch.")
        if world.chance("failed_append", 0.08):
            raise Unavailable("no connection")
        self.require_lease()
        world.oracle.sending(process, topic, records)
        late = world.chance("late_append", 0.2 if "changelog" in topic else 0.06)
        seconds = 0.05 + 5 * world.dice("late_append").random() ** 2 if late else world.latency()
        sent = world.loop.create_future()
        world.loop.call_later(seconds, self._land, where, records, sent)
        if "changelog" in topic:
            process.perhaps_dies(0.05)
        if late and world.chance("late_append", 0.7):
            await process.wait(seconds * world.dice("late_append").random())
            raise AppendUnknown("timed out while it was under way")
        offset = await process.until(sent)
        if world.chance("lost_ack", 0.1):
            raise AppendUnknown("the answer was lost")
        await process.wait(world.latency())
        return offset

    def _land(self, where, records, sent):
        world, process = self._world, self._process
        if process.dead and world.random.random() < 0.5:
            return
        first = where.land(records)
        if world.trace is not None:
            world.note(
                f"{where.topic}[{where.number}] {first}: {world.oracle.show(where, first)}", process
            )
        if not sent.done():
            sent.set_result(first)
        process.perhaps_dies()

    def _reach(self, where):
        world = self._world
        if world.chance("leader_change", 0.02):
            where.away_until = world.loop.now + world.dice("leader_change").uniform(0.1, 3)
        if where.away_until > world.loop.now and not world.calm:
            raise Unavailable("no leader")

    async def read(self, topic, partition, start, until=None):
        where, process = self._world.partition(topic, partition), self._process
        end = (await self.bounds(topic, partition))[1] if until is None else until
        if start > end:
            raise InvariantBroken(f"{topic}[{partition}] ends at {end}, {start} had been reached")
        while start < end:
            await process.wait(self._world.latency())
            self._reach(where)
            found = where.between(start, end)
            if found:
                found = found[: self._world.random.randint(1, 8)]
                yield found
            start = found[-1].offset + 1 if found else end

    async def follow(self, topic, partition, start):
        where = self._world.partition(topic, partition)
        while True:
            if found := where.between(start, where.end):
                start = found[-1].offset + 1
                yield found
            await self._process.until(self._more(where))
            await self._process.wait(self._world.latency())
            if self._world.chance("reference", 0.3):
                # Whoever gets a shard meanwhile knows less than who had it.
                await self._process.wait(10 * self._world.dice("reference").random())

    async def follow_last(self, topic, partitions, *, gather_seconds=0.0):
        wheres = [self._world.partition(topic, each) for each in partitions]
        starts = [where.offsets[-1] if where.offsets else 0 for where in wheres]
        while True:
            more = self._world.loop.create_future()
            for index, where in enumerate(wheres):
                if found := where.between(starts[index], where.end):
                    starts[index] = found[-1].offset + 1
                    yield found
            for where in wheres:
                self._more(where, more)
            await self._process.until(more)
            await self._process.wait(self._world.latency())

    def _more(self, where, future=None):
        future = future or self._world.loop.create_future()
        where.waiting.append(lambda: future.done() or future.set_result(None))
        return future

    async def bounds(self, topic, partition):
        where = self._world.partition(topic, partition)
        await self._process.wait(self._world.latency())
        self._reach(where)
        return 0, where.end

    async def topic_id(self, topic):
        return self._world.made_again.get(topic, topic)

    async def ends(self, tps):
        await self._process.wait(self._world.latency())
        found = {tp: self._world.partition(*tp) for tp in tps}
        for where in found.values():
            self._reach(where)
        return {tp: where.end for tp, where in found.items()}

    async def last_of(self, topic, partitions):
        wheres = [self._world.partition(topic, each) for each in partitions]
        await self._process.wait(self._world.latency())
        for where in wheres:
            self._reach(where)
        return [where.records[-1] for where in wheres if where.records]

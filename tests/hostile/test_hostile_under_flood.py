"""Nine records of ten refused: what is left for the good ones.

Measured at saturation, with good records alone and in a flood by turns, of as many bytes each: by the
processor time of the application that is the first to have none left, for a machine that others
use too moves rates more than a flood does. Then at a fifth of the rate that the good ones had alone:
in the flood at least half of them must be reconciled in that time.
"""

import asyncio
import random
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from statistics import median
from typing import Any, NamedTuple
from uuid import uuid4

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from ledger.streaming import connection
from tests import builders
from tests.hostile import raw
from tests.hostile.conftest import SEED, Attacked
from tests.waiting import PATIENCE
from tests.wire import present

GOOD = 2_000
BESIDE = 9
ROUNDS = 2
TOGETHER = 1_000
SHARE = 5
PACED_SECONDS, TICK = 5.0, 0.1


class Cost(NamedTuple):
    """Seconds of processor time, and of the clock."""

    worked: float
    took: float


Keyed = tuple[bytes, bytes]
Batches = dict[int, list[bytes]]


class Flood:
    """Records of one run, and how long it takes until all of them are reconciled."""

    def __init__(self, attacked: Attacked) -> None:
        self.attacked, self.settings = attacked, attacked.stack.settings
        self.name, self.number = f"f{uuid4().hex[:6]}", 0
        self.chance = random.Random(SEED)
        self.topic = f"{self.settings.prefix}.transactions"
        self.reached: dict[int, int] = defaultdict(int)

    def good(self, **changes: object) -> Keyed:
        """A transaction of two entries over ten thousand accounts."""
        self.number += 1
        accounts = {
            "debit": f"assets:flood:{self.chance.randrange(10_000)}",
            "credit": f"liabilities:flood:{self.chance.randrange(10_000)}",
        }
        made = builders.draft(
            f"{self.name}-{self.number}",
            at=present(),
            **(accounts | changes),  # type: ignore[arg-type]
        )
        return made["transaction_id"].encode(), self.attacked.wire.encode(made)

    def unreadable(self) -> Keyed:
        key, value = self.good()
        return key, b"\xff" + value[1:]

    def strange_id(self) -> Keyed:
        key, value = self.good()
        return key, b"\0" + self.chance.randrange(10**6, 2**32).to_bytes(4) + value[5:]

    def reversing_nothing(self) -> Keyed:
        """Read whole, checked whole, looked up, and refused by the last of all rules."""
        return self.good(reverses=f"nobody-{self.number}")

    def batches(self, good: int, bad: Callable[[], Keyed] | None) -> Batches:
        """That many, with nine of the bad ones after each."""
        parts: dict[int, list[Keyed]] = defaultdict(list)
        for _ in range(good):
            for made in (self.good(), *(bad() for _ in range(BESIDE if bad else 0))):
                parts[self.attacked.wire.shard_of(made[0])].append(made)
        return {
            shard: [batch(part[at : at + TOGETHER]) for at in range(0, len(part), TOGETHER)]
            for shard, part in parts.items()
        }

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Ready to send, and to hear what is reconciled."""
        prefix = self.settings.prefix
        consumer = AIOKafkaConsumer(**connection.kafka(self.settings), fetch_max_wait_ms=20)
        await consumer.start()
        shards = range(self.settings.shards)
        consumer.assign([TopicPartition(f"{prefix}.progress", shard) for shard in shards])
        await consumer.seek_to_end()
        try:
            async with raw.opened(self.settings, self.topic) as client:
                self.consumer, self.client = consumer, client
                yield
        finally:
            await consumer.stop()

    async def send(self, batches: Batches) -> None:
        await raw.append(self.client, self.topic, batches)

    async def reconciled(self) -> None:
        """Return when everything in the log is."""
        tps = [TopicPartition(self.topic, shard) for shard in range(self.settings.shards)]
        ends = {tp.partition: end for tp, end in (await self.consumer.end_offsets(tps)).items()}
        async with asyncio.timeout(PATIENCE):
            while any(self.reached[shard] < end for shard, end in ends.items()):
                for records in (await self.consumer.getmany(timeout_ms=200)).values():
                    row = self.attacked.wire.codec.decode("Progress", records[-1].value)
                    self.reached[row["shard"]] = row["end"]

    async def cost(self, bad: Callable[[], Keyed] | None) -> Cost:
        """With all there is to do at once."""
        batches = self.batches(GOOD, bad)
        began, worked = time.monotonic(), self.worked()
        await self.send(batches)
        await self.reconciled()
        return Cost(self.worked() - worked, time.monotonic() - began)

    def worked(self) -> float:
        """Seconds of processor time of the stream application, the first to be busy all the time."""
        [pid] = [pid for name, (pid, _) in self.attacked.stack.agents().items() if "stream" in name]
        return sum(psutil.Process(pid).cpu_times()[:2])

    async def paced(self, rate: float, bad: Callable[[], Keyed]) -> float:
        """Good ones reconciled a second, when `rate` come, evenly, with nine times as many bad."""
        ticks = round(PACED_SECONDS / TICK)
        each = max(round(rate * TICK), 1)
        made = [self.batches(each, bad) for _ in range(ticks)]
        began = time.monotonic()
        for tick, batches in enumerate(made):
            await asyncio.sleep(began + tick * TICK - time.monotonic())
            await self.send(batches)
        await self.reconciled()
        return each * ticks / (time.monotonic() - began)


def batch(part: Sequence[Keyed]) -> bytes:
    return raw.batch([raw.record(at, key, value) for at, (key, value) in enumerate(part)])


AT_LEAST = {"unreadable": 0.25, "strange_id": 0.15, "reversing_nothing": 0.15}
"""Of the rate that good ones have alone, at saturation; docs/hostile-input.md has what was seen."""


@pytest.mark.traces
def test_good_traffic_gets_through(attacked: Attacked, command: Any) -> None:
    """Last: a hundred thousand records more are what every audit after it would read."""
    flood = Flood(attacked)
    with attacked.wire.resting(), attacked.unharmed():
        attacked.wire.run(measured(flood), 900)
    assert command("reconcile")["breaks"] == []


async def measured(flood: Flood) -> None:
    async with flood.opened():
        await flood.cost(None)
        alone: list[Cost] = []
        shares: dict[str, list[float]] = defaultdict(list)
        for _ in range(ROUNDS):
            for kind in AT_LEAST:
                alone.append(await flood.cost(None))
                beside = await flood.cost(getattr(flood, kind))
                shares[kind].append(alone[-1].worked / beside.worked)
        found = {kind: round(median(each), 2) for kind, each in shares.items()}
        rate = GOOD / median(each.took for each in alone)
        each = median(each.worked for each in alone) / GOOD * 1e6
        sys.stderr.write(f"  alone {rate:,.0f}/s, {each:.0f} us; beside nine refused: {found}\n")
        assert all(found[kind] >= least for kind, least in AT_LEAST.items()), found
        for kind in ("strange_id", "reversing_nothing"):
            got = await flood.paced(rate / SHARE, getattr(flood, kind))
            sys.stderr.write(f"  {rate / SHARE:,.0f}/s beside {kind}: {got:,.0f}/s\n")
            assert got >= rate / SHARE / 2

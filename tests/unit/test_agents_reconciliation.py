"""What a shard does with posted messages that did not come in order."""

import asyncio

from faust.types import TP

from agents.reconciliation import ReconciliationShard
from agents.runtime.room import Room
from agents.runtime.runs import Run
from ledger.streaming.registry import Codec
from tests.runtimes import runtime

POSTED = TP("posted", 0)


class Consumer:
    """Reads again at once: then what was under way still comes, and what was read again behind it."""

    def __init__(self, under_way, read_again):
        self.arriving, self.asked = [under_way, read_again], []

    async def rewind(self, run, position):
        self.asked.append((run.start, position))
        while self.arriving:
            self.into.append(self.arriving.pop(0))


def test_what_was_read_again_is_taken_behind_a_run_with_a_gap(tmp_path):
    consumer = Consumer(Run(POSTED, 2, 3, []), Run(POSTED, 0, 3, [], seek=1))
    made = runtime(tmp_path, codec=Codec({"Stripe": 1}), consumer=consumer)
    shard = ReconciliationShard(made, 0, None, None, Room(1))
    consumer.into = shard._comparing._posted
    assert asyncio.run(shard.take(Run(POSTED, 1, 2, []))) == 3
    assert consumer.asked == [(1, 0), (2, 0)]

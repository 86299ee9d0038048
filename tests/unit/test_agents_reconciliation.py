"""What a shard does with posted messages that did not come in order."""

import asyncio
from types import SimpleNamespace

from faust.types import TP

from agents.reconciliation import ReconciliationShard, Room
from agents.runtime.runs import Run
from ledger.settings import Settings
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics

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
    app = SimpleNamespace(
        codec=Codec({"Stripe": 1}), data=tmp_path, log_=None, names=topics(Settings()), consumer=consumer
    )  # fmt: skip
    shard = ReconciliationShard(app, 0, Room())
    consumer.into = shard._posted
    assert asyncio.run(shard.take_posted(Run(POSTED, 1, 2, []))) == 3
    assert consumer.asked == [(1, 0), (2, 0)]

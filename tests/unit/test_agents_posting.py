"""What waits for the database goes together; what fails in company is tried alone."""

import asyncio
import threading

import pytest

from agents import poster as module
from agents.poster import Poster
from ledger.domain.run import Watermark
from ledger.errors import InvariantBroken
from ledger.gl.journal import JournalUnavailable, Posting
from ledger.gl.memory import MemoryJournal
from ledger.health.partitions import HANGING_SECONDS, PartitionHealth, State, current_partition
from tests.integration.gl_runs import Chain, moved


class Slow(MemoryJournal):
    """Waits for `gate`; refuses postings of the shards in `bad`."""

    def __init__(self):
        super().__init__()
        self.gate, self.under_way = threading.Event(), threading.Event()
        self.bad, self.asked = set(), []

    def post_all(self, prepared):
        shards = [each.posting.shard for each in prepared]
        self.asked.append(shards)
        self.under_way.set()
        assert self.gate.wait(10)
        if self.bad.intersection(shards):
            raise InvariantBroken("no")
        return super().post_all(prepared)


def posting(shard):
    return Posting(shard, Watermark(), [Chain(shard).run(moved(0, 1))])


def test_what_comes_while_one_is_under_way_goes_together():
    async def story():
        journal = Slow()
        poster = Poster(journal)
        first = asyncio.ensure_future(poster.post(posting(0), 10))
        await asyncio.to_thread(journal.under_way.wait, 10)
        others = [asyncio.ensure_future(poster.post(posting(each), 10)) for each in (1, 2, 3)]
        await asyncio.sleep(0)
        journal.gate.set()
        found = await asyncio.gather(first, *others)
        assert journal.asked == [[0], [1, 2, 3]]
        assert all(len(totals) == 2 for totals in found)
        assert [journal.watermark(each).end for each in range(4)] == [1, 1, 1, 1]

    asyncio.run(story())


def test_what_fails_in_company_is_tried_alone():
    async def story():
        journal = Slow()
        journal.gate.set()
        journal.bad = {1}
        poster = Poster(journal)
        found = await asyncio.gather(
            *(poster.post(posting(each), 10) for each in (0, 1)), return_exceptions=True
        )
        assert [type(each) for each in found] == [JournalUnavailable, JournalUnavailable]
        found = await asyncio.gather(
            *(poster.post(posting(each), 10) for each in (0, 1)), return_exceptions=True
        )
        assert len(found[0]) == 2
        assert type(found[1]) is InvariantBroken
        assert journal.asked == [[0, 1], [0], [1]]
        # Once well, they go together again.
        journal.bad = set()
        await poster.post(posting(1), 10)
        await asyncio.gather(*(poster.post(posting(each), 10) for each in (2, 3)))
        assert journal.asked[3:] == [[1], [2, 3]]

    asyncio.run(story())


def test_only_so_much_goes_together(monkeypatch):
    monkeypatch.setattr(module, "POST_BYTES", 25)

    async def story():
        journal = Slow()
        journal.gate.set()
        poster = Poster(journal)
        await asyncio.gather(*(poster.post(posting(each), 10) for each in range(4)))
        await poster.post(posting(4), 50)
        assert journal.asked == [[0, 1], [2, 3], [4]]

    asyncio.run(story())


def test_what_is_no_posting_is_refused_before_it_waits():
    async def story():
        journal = Slow()
        with pytest.raises(InvariantBroken):
            await Poster(journal).post(Posting(1, *posting(0)[1:]), 10)
        assert journal.asked == []

    asyncio.run(story())


def test_a_look_that_hangs_is_seen_and_finds_every_shard():
    class Hanging(Slow):
        def watermarks(self):
            self.under_way.set()
            assert self.gate.wait(10)
            return super().watermarks()

    async def story():
        now = 0.0
        place, journal = PartitionHealth(lambda: now, state=State.GOING_ON), Hanging()
        current_partition.set(place)
        poster = Poster(journal)
        look = asyncio.ensure_future(poster.look())
        await asyncio.to_thread(journal.under_way.wait, 10)
        assert place.status().state is State.GOING_ON
        now = HANGING_SECONDS + 1
        assert place.status()[:3] == (State.WAITING, 0.0, "ask the general ledger's database")
        journal.gate.set()
        assert await look == {}
        assert place.status().state is State.GOING_ON
        await poster.post(posting(2), 10)
        assert await poster.look() == {2: journal.watermark(2)}

    asyncio.run(story())

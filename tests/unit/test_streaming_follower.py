"""Following in the background: who waits knows what was taken, and why nothing more comes."""

import asyncio

import pytest
from aiokafka import TopicPartition

from ledger.errors import LedgerError, Unavailable
from ledger.streaming.follower import Follower

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


class Reader:
    """Gives the lists that are put into `coming`; an exception is raised."""

    def __init__(self):
        self.coming, self.at, self.end = asyncio.Queue(), {}, {}

    def assign(self, starts):
        self.at = dict(starts)
        self.end = dict(starts)

    def land(self, tp, *records):
        self.end[tp] += len(records)
        self.coming.put_nowait((tp, list(records)))

    async def fetch(self):
        found = await self.coming.get()
        if isinstance(found, Exception):
            raise found
        tp, records = found
        self.at[tp] += len(records)
        return records

    async def positions(self):
        return dict(self.at)

    async def ends(self, partitions):
        return {tp: self.end[tp] for tp in partitions}


def played(story):
    async def scene():
        taken = []

        async def take(records):
            # A turn of the loop, in which nobody may be told already.
            await asyncio.sleep(0)
            taken.extend(records)

        reader = Reader()
        follower = Follower(reader, take)
        try:
            await story(follower, reader, taken)
        finally:
            await follower.close()

    asyncio.run(scene())


def test_it_has_caught_up_when_all_that_is_there_was_taken():
    async def story(follower, reader, taken):
        follower.start({A: 3, B: 0})
        await follower.caught_up()
        assert taken == []
        reader.land(A, "a", "b")
        reader.land(B, "c")
        await follower.caught_up()
        assert taken == ["a", "b", "c"]

    played(story)


def test_who_waits_is_asked_again_after_each_reading():
    async def story(follower, reader, taken):
        follower.start({A: 0})
        waiting = asyncio.create_task(follower.wait_until(lambda: "b" in taken))
        reader.land(A, "a")
        await follower.caught_up()
        assert not waiting.done()
        reader.land(A, "b")
        await asyncio.wait_for(waiting, 5)

    played(story)


def test_what_ends_the_reading_is_raised_to_all_who_wait_and_who_come_later():
    async def story(follower, reader, taken):
        follower.start({A: 0})
        waiting = asyncio.create_task(follower.wait_until(lambda: False))
        await asyncio.sleep(0)
        reader.coming.put_nowait(Unavailable("gone"))
        with pytest.raises(Unavailable, match="gone"):
            await asyncio.wait_for(waiting, 5)
        with pytest.raises(Unavailable, match="gone"):
            await follower.caught_up()

    played(story)


def test_one_that_was_never_started_or_is_closed_says_so():
    async def story(follower, reader, taken):
        with pytest.raises(LedgerError, match="never started"):
            await follower.caught_up()
        follower.start({A: 0})
        await follower.close()
        with pytest.raises(LedgerError, match="closed"):
            await follower.wait_until(lambda: False)

    played(story)

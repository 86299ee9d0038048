"""A balances topic that lost what was there is noticed, and coverage names which topic it is about."""

import asyncio
from types import SimpleNamespace

import pytest

from agents.public_balances import PublicBalances
from ledger.streaming import messages
from ledger.streaming.messages import Extent
from ledger.streaming.registry import Codec

CODEC = Codec({"Coverage": 1, "Balance": 2})


class Log:
    """One partition of the balances, and its coverage."""

    def __init__(self):
        self.topic, self.start, self.end, self.coverage = "one", 0, 0, []

    async def topic_id(self, topic):
        return self.topic

    async def bounds(self, topic, partition):
        return self.start, self.end

    async def last_of(self, topic, partitions):
        return (
            [SimpleNamespace(topic=topic, partition=0, offset=0, value=self.coverage[-1])]
            if self.coverage
            else []
        )

    async def append_absolute(self, topic, partition, records):
        if topic == "coverage":
            self.coverage.append(records[0][1])
            return len(self.coverage) - 1
        first = self.end
        self.end += len(records)
        return first

    def make_again(self, topic="two", end=0):
        self.topic, self.start, self.end = topic, 0, end

    def covers(self):
        return messages.extent_in(CODEC, SimpleNamespace(value=self.coverage[-1]))


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def public(log):
    names = SimpleNamespace(
        balances=SimpleNamespace(name="balances"), coverage=SimpleNamespace(name="coverage")
    )
    return PublicBalances(SimpleNamespace(log=log, codec=CODEC, topics=names), 0)


def done(coroutine):
    return asyncio.run(coroutine)


def test_coverage_names_the_topic_and_what_of_it(log, public):
    log.start, log.end = 3, 5
    done(public.open())
    done(public.append([(b"k", b"v")]))
    done(public.cover([7]))
    assert log.covers() == Extent("one", 3, 6)
    assert not public.is_lost


@pytest.mark.parametrize("end", [0, 1, 100])
def test_one_that_was_made_again_is_noticed_when_it_is_opened(log, public, end):
    done(public.open())
    done(public.append([(b"k", b"v")] * 4))
    done(public.cover([7]))
    log.make_again(end=end)
    done(public.open())
    assert public.is_lost
    done(public.append([(b"k", b"v")]))
    done(public.cover([7]))
    assert log.covers() == Extent("two", 0, end + 1)
    done(public.open())
    assert not public.is_lost


def test_one_that_was_made_again_is_noticed_while_it_is_open(log, public):
    done(public.open())
    done(public.append([(b"k", b"v")] * 4))
    public.note_id("one")
    assert not public.is_lost
    public.note_id("two")
    assert public.is_lost
    done(public.open())
    log.make_again()
    public.is_lost = False
    done(public.append([(b"k", b"v")]))
    assert public.is_lost


def test_one_that_ends_or_begins_elsewhere_has_lost_something(log, public):
    done(public.open())
    done(public.append([(b"k", b"v")] * 4))
    done(public.cover([7]))
    log.end = 3
    done(public.open())
    assert public.is_lost
    log.start, log.end = 2, 9
    done(public.open())
    assert public.is_lost


def test_coverage_of_an_earlier_version_names_none_and_is_believed(log, public):
    log.end = 4
    log.coverage.append(messages.coverage(CODEC, 0, Extent("", 0, 4), [7])[1])
    done(public.open())
    assert not public.is_lost

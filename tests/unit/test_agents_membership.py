"""Pauses of several owners, and one stage a topic."""

from types import SimpleNamespace

import pytest
from faust.types import TP

from agents.runtime.stages import Stages
from tests.runtimes import runtime

A, B = TP("t", 0), TP("t", 1)


class Consumer:
    """Partitions that are open, and those of them that are paused."""

    def __init__(self, *opened):
        self.opened, self.paused = set(opened), set()

    def pause_partitions(self, tps):
        self.paused |= tps

    def resume_partitions(self, tps):
        self.paused -= tps


def member(*opened):
    consumer = Consumer(*opened)
    return runtime(None, codec=None, consumer=consumer).membership, consumer


def test_a_pause_lasts_until_each_of_its_owners_has_resumed():
    membership, consumer = member(A, B)
    lane, stage = object(), object()
    membership.pause(A, lane)
    membership.pause(A, stage)
    membership.pause(A, stage)
    membership.resume(A, stage)
    assert consumer.paused == {A}, "the lane is full still"
    membership.resume(A, lane)
    assert consumer.paused == set()


def test_who_has_not_paused_does_not_resume():
    """A stage that looks around once a second must not wake a lane that is full, or stopped."""
    membership, consumer = member(A)
    membership.pause(A, "a lane")
    membership.resume(A, "a stage")
    assert consumer.paused == {A}


def test_a_partition_that_is_opened_again_has_no_pause_of_before():
    membership, consumer = member(A)
    membership.pause(A, "a lane that stopped")
    consumer.opened.discard(A)
    membership.resume(A, "a lane that stopped")
    assert consumer.paused == {A}, "it is fetched from once it is open"
    membership.pause(A, "a lane that stopped")
    membership.opened(A)
    consumer.opened.add(A)
    consumer.resume_partitions({A})
    membership.pause(A, "a stage")
    membership.resume(A, "a stage")
    assert consumer.paused == set()


def test_a_topic_has_one_stage():
    made = runtime(None, codec=None)
    stages = Stages(made)
    stages.add(SimpleNamespace(name="posting", topic=made.topics.decisions, take=None))
    with pytest.raises(ValueError, match=r"ledger.decisions has a stage already, posting"):
        stages.add(SimpleNamespace(name="totals", topic=made.topics.decisions, take=None))

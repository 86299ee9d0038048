"""Partitions beyond the ledger's belong to nobody; what differs of a topic is an alarm while it does."""

import pytest
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.types import TP

from agents.runtime.app import LedgerApp, shown_partitions
from agents.runtime.assignor import Ours
from agents.runtime.topic_watch import TopicWatch
from ledger.health.application import Health
from ledger.settings import Settings
from ledger.streaming.registry import Codec
from ledger.streaming.topic_rules import TopicDifference
from tests.runtimes import runtime

SETTINGS = Settings(shards=4, balance_partitions=3)
STREAM = ("ledger.transactions", "ledger.posted", "ledger.stripes")


class Cluster:
    """So many partitions of each topic."""

    def __init__(self, **counts):
        self.counts = {f"ledger.{name}": count for name, count in counts.items()}

    def partitions_for_topic(self, topic):
        count = self.counts.get(topic)
        return None if count is None else set(range(count))


def shared_out(tmp_path, cluster, workers=2):
    """Partitions by worker and topic."""
    app = LedgerApp("stream", SETTINGS, Codec({}), tmp_path)
    assignor = app.assignor
    members = {
        f"w{each}": ConsumerProtocolMemberMetadata(
            assignor.version, list(STREAM), assignor._metadata.dumps()
        )
        for each in range(workers)
    }
    found = assignor.assign(cluster, members)
    return {
        name: {topic: sorted(partitions) for topic, partitions in given.assignment}
        for name, given in found.items()
    }


@pytest.mark.parametrize(
    "counts",
    [
        {"transactions": 4, "posted": 4, "stripes": 3},
        {"transactions": 5, "posted": 4, "stripes": 3},
        {"transactions": 4, "posted": 6, "stripes": 5},
        {"transactions": 3, "posted": 4, "stripes": 3},
    ],
)
def test_the_ledgers_partitions_are_shared_out_and_shards_stay_together(tmp_path, counts):
    found = shared_out(tmp_path, Cluster(**counts))
    for topic, count in (("ledger.transactions", 4), ("ledger.posted", 4), ("ledger.stripes", 3)):
        given = [partition for each in found.values() for partition in each.get(topic, [])]
        assert sorted(given) == list(range(count)), topic
    for each in found.values():
        assert each["ledger.transactions"] == each["ledger.posted"]


def test_a_topic_that_is_not_there_is_nobodys():
    ours = Ours(Cluster(other=9), {"ledger.posted": 4})
    assert ours.partitions_for_topic("ledger.posted") is None
    assert ours.partitions_for_topic("ledger.other") == set(range(9))


def test_what_differs_is_an_alarm_until_it_is_mended(caplog):
    health = Health()
    watch = TopicWatch(runtime(None, codec=None, health=health))
    one = TopicDifference(
        "ledger.decisions", "retention.ms", "5", "-1", "it is lost", "alter it", "-1"
    )
    two = TopicDifference("ledger.posted", "partitions", "5", "4", "nobody's", "see the page")
    known = TopicDifference("ledger.posted", "partitions", "5", "4", "x", "y", ignored=True)
    watch.note([one, known])
    assert health.alarms == (str(one),)
    assert [record.levelname for record in caplog.records] == ["CRITICAL"]
    watch.note([one, two])
    assert health.alarms == (str(one), str(two))
    watch.note([one, two])
    assert len(caplog.records) == 2, "said once"
    watch.note([])
    assert health.alarms == ()
    assert [record.levelname for record in caplog.records[2:]] == ["WARNING", "WARNING"]
    assert "No longer so: ledger.decisions: retention.ms is 5" in caplog.text


def test_what_is_assigned_is_shown_in_spans():
    some = {TP("ledger.transactions", each) for each in (0, 1, 2, 5)} | {TP("ledger.posted", 7)}
    assert shown_partitions(some) == "ledger.posted 7, ledger.transactions 0-2 5"
    assert shown_partitions(()) == ""

"""Sharing out partitions: those of the ledger, whatever a topic has."""

from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor


class Assignor(PartitionAssignor):
    """Faust's own, which sees of each topic as many partitions as the ledger has.

    Faust gives topics of one size the same partitions: with one partition added to a topic its
    shards would go to other workers than what follows them. What is in a partition beyond is
    nobody's, and the watch over the topics alarms (agents/runtime/topic_watch.py).
    """

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        """As Faust's; partitions by member."""
        counts = {topic.name: topic.partitions for topic in self.app.runtime.topics.all()}
        return super().assign(Ours(cluster, counts), member_metadata)


class Ours:
    """The part of a cluster that the assignor asks, with so many partitions of each topic."""

    def __init__(self, cluster: Any, counts: dict[str, int]) -> None:
        self._cluster, self._counts = cluster, counts

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """None for a topic that is not there.

        Of one that is there all: a partition that is missing has an opener that waits and says so.
        """
        found: set[int] | None = self._cluster.partitions_for_topic(topic)
        return set(range(self._counts[topic])) if found and topic in self._counts else found

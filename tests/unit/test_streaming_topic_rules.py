"""What of a topic's settings the ledger rests on, and how a difference is told."""

from dataclasses import replace

import pytest

from ledger.settings import Settings
from ledger.streaming.topic_look import TopicsFound
from ledger.streaming.topic_rules import ActualTopic, differences, rules, told
from ledger.streaming.topics import Topic, differing, topics

SETTINGS = Settings(shards=4, balance_partitions=3, bootstrap_servers="broker:1")
NAMES = topics(SETTINGS)


def right(topic: Topic, copies: int = 1) -> ActualTopic:
    """As a broker of today has it."""
    config: dict[str, str | None] = {
        name: rule.value for name, rule in rules(topic, copies).items()
    }
    config |= {"segment.bytes": str(1024**3), "segment.ms": "604800000"}
    return ActualTopic(topic.partitions, copies, config)


def changed(topic: Topic, copies: int = 1, **config: str | None) -> list[tuple[str, str, str]]:
    """The differences when some settings are others: setting, has, must."""
    has = right(topic, copies)
    assert has.config is not None
    other = {name.replace("_", "."): value for name, value in config.items()}
    found = differences(
        topic, replace(has, config=dict(has.config) | other), copies=copies, servers="broker:1"
    )
    return [(each.setting, each.has, each.must) for each in found]


@pytest.mark.parametrize("topic", NAMES.all(), ids=lambda topic: topic.name)
@pytest.mark.parametrize("copies", [1, 2, 3])
def test_a_topic_as_it_is_made_is_right(topic: Topic, copies: int) -> None:
    assert changed(topic, copies) == []


@pytest.mark.parametrize(
    ("name", "setting", "value", "must"),
    [
        ("transactions", "message.timestamp.type", "CreateTime", "LogAppendTime"),
        ("transactions", "compression.type", "producer", "uncompressed"),
        ("transactions", "max.message.bytes", "2097152", "1048576"),
        ("transactions", "max.message.bytes", "524288", "1048576"),
        ("transactions", "retention.ms", "604800000", "-1"),
        ("transactions", "retention.bytes", "1000", "-1"),
        ("decisions", "cleanup.policy", "compact", "delete"),
        ("decisions", "cleanup.policy", "compact,delete", "delete"),
        ("decisions", "retention.ms", "604800000", "-1"),
        ("decisions", "local.retention.ms", "1000", "-2 or -1"),
        ("decisions", "local.retention.bytes", "1000", "-2 or -1"),
        ("decisions", "compression.type", "zstd", "producer or uncompressed"),
        ("decisions", "max.message.bytes", "1048588", "at least 16777216"),
        ("decisions", "segment.bytes", "1048576", "at least 16777216"),
        ("decisions", "unclean.leader.election.enable", "true", "false"),
        ("reference", "cleanup.policy", "compact", "delete"),
        ("reference", "retention.ms", "604800000", "-1"),
        ("reference", "compression.type", "gzip", "uncompressed"),
        ("stripes", "cleanup.policy", "delete", "compact"),
        ("balances", "cleanup.policy", "compact,delete", "compact"),
        ("balances", "delete.retention.ms", "0", "at least 86400000"),
        ("progress", "unclean.leader.election.enable", "true", "false"),
    ],
)
def test_each_setting_that_matters_is_named(name: str, setting: str, value: str, must: str) -> None:
    topic = getattr(NAMES, name)
    assert changed(topic, **{setting.replace(".", "_"): value}) == [(setting, value, must)]


def test_what_changes_speed_alone_is_nobodys_business() -> None:
    given = {"segment_ms": "1", "min_cleanable_dirty_ratio": "0.9", "min_compaction_lag_ms": "1"}
    for topic in NAMES.all():
        assert changed(topic, **given) == []
    assert changed(NAMES.decisions, max_message_bytes=str(2**30), segment_bytes=str(2**30)) == []
    assert changed(NAMES.decisions, compression_type="uncompressed", local_retention_ms="-1") == []


@pytest.mark.parametrize(
    ("copies", "has", "wrong"),
    [(1, "1", False), (2, "1", True), (3, "1", True), (3, "2", False), (3, "3", False),
     (1, "2", True), (3, "4", True), (3, "many", True)],
)  # fmt: skip
def test_as_many_copies_in_sync_as_make_an_acknowledgement_mean_something(
    copies: int, has: str, wrong: bool
) -> None:
    found = changed(NAMES.decisions, copies, min_insync_replicas=has)
    assert [each[:2] for each in found] == [("min.insync.replicas", has)] * wrong


def test_a_setting_that_an_older_broker_does_not_know_is_no_difference() -> None:
    assert changed(NAMES.decisions, local_retention_ms=None, local_retention_bytes=None) == []
    assert changed(NAMES.decisions, retention_ms=None) == [("retention.ms", "not set", "-1")]


def test_more_and_fewer_partitions_fewer_copies_and_no_topic() -> None:
    topic, has = NAMES.transactions, right(NAMES.transactions)

    def found(
        has: ActualTopic | None, copies: int = 1, *, ignore: bool = False
    ) -> list[tuple[str, ...]]:
        told = differences(topic, has, copies=copies, servers="b", ignore_added=ignore)
        assert all(each.mend is None for each in told)
        return [(each.setting, each.has, each.must) for each in told if not each.ignored]

    assert found(replace(has, partitions=5)) == [("partitions", "5", "4")]
    assert found(replace(has, partitions=5), ignore=True) == []
    stray = replace(has, partitions=5, stray=7)
    assert found(stray, ignore=True) == [("partitions", "5, with 7 records beyond", "4")]
    assert found(replace(has, partitions=3), ignore=True) == [("partitions", "3", "4")]
    assert found(has, 3) == [("replication factor", "1", "at least 3")]
    assert found(None) == [("topic", "missing", "there")]


def test_a_difference_says_where_what_why_and_how_to_mend_it() -> None:
    has = right(NAMES.decisions)
    assert has.config is not None
    wrong = replace(has, config=dict(has.config) | {"retention.ms": "5", "cleanup.policy": "x"})
    found = differences(NAMES.decisions, wrong, copies=1, servers="broker:1")
    said = told(found)
    assert "2 settings" in said
    assert (
        "ledger.decisions: retention.ms is 5 and must be -1: what is deleted of it is lost to the "
        "ledger. What to do: kafka-configs.sh --bootstrap-server broker:1 --alter --entity-type "
        "topics --entity-name ledger.decisions --add-config retention.ms=-1"
    ) in said
    assert "`faust-ledger topics create`" in said
    missing = told(differences(NAMES.reference, None, copies=1, servers="b"))
    assert "docs/runbooks/topic-lost.md" in missing


def test_what_a_user_may_not_look_at_is_no_difference() -> None:
    there = {topic.name: right(topic) for topic in NAMES.all()}
    assert differing(SETTINGS, TopicsFound(there)) == []
    del there["ledger.posted"]
    assert [each.topic for each in differing(SETTINGS, TopicsFound(there))] == ["ledger.posted"]
    assert differing(SETTINGS, TopicsFound(there, ["ledger.posted"])) == []
    shapes = {name: replace(has, config=None) for name, has in there.items()}
    assert differing(SETTINGS, TopicsFound(shapes, [topic.name for topic in NAMES.all()])) == []


def test_the_settings_of_another_ledger_differ_everywhere() -> None:
    other = SETTINGS.model_copy(update={"shards": 8})
    there = {topic.name: right(topic) for topic in NAMES.all()}
    found = {each.topic for each in differing(other, TopicsFound(there))}
    assert found == {f"ledger.{name}" for name in (
        "transactions", "decisions", "posted", "stripes-changelog", "breaks", "rejects", "progress",
    )}  # fmt: skip

"""What a topic's settings must be for the ledger to be right, and how they differ. Pure.

Left out on purpose: what changes speed or room alone (segment.ms, min.cleanable.dirty.ratio), what
no reader rests on (min.compaction.lag.ms: only the newest of a key counts), and
message.timestamp.before.max.ms and after.max.ms, which a broker ignores where it gives the time.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledger.streaming.topics import Topic

PAGE = "docs/runbooks/topic-settings.md"
LOST_PAGE = "docs/runbooks/topic-lost.md"
COPIES = "replication factor"
PARTITIONS = "partitions"
MISSING = "topic"
DAY_MS = 24 * 60 * 60 * 1000
IN_SYNC = 2
"""Copies that must have a record before it counts, where there are as many."""


@dataclass(frozen=True, slots=True)
class ActualTopic:
    """A topic as the broker has it.

    `copies`: the fewest of any partition. `config`: effective values, the broker's defaults
    included; None where this user may not see them. `stray`: records in partitions beyond the
    ledger's.
    """

    partitions: int
    copies: int
    config: Mapping[str, str | None] | None = None
    stray: int = 0


@dataclass(frozen=True, slots=True)
class TopicRule:
    """One setting: `value` mends it, `must` says what is right, `holds` decides."""

    value: str
    must: str
    why: str
    holds: Callable[[str], bool]
    newer: bool = False
    """Older brokers do not know it."""


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """One setting of one topic that is not as it must be; `mend` is the value that mends it.

    `mend` is None where no setting of the topic does. `ignored`: more partitions, and the settings
    say that these are known of.
    """

    topic: str
    setting: str
    has: str
    must: str
    why: str
    command: str
    mend: str | None = None
    ignored: bool = False

    def __str__(self) -> str:
        return (
            f"{self.topic}: {self.setting} is {self.has} and must be {self.must}: {self.why}. "
            f"What to do: {self.command}"
        )


def rules(topic: "Topic", copies: int) -> dict[str, TopicRule]:
    """By setting, of a topic with so many copies of each partition."""
    found = {
        name: _exactly(value, _WHY[name, value] if (name, value) in _WHY else _WHY[name, ""])
        for name, value in topic.config.items()
        if (name, value) in _WHY or (name, "") in _WHY
    }
    size = int(topic.config["max.message.bytes"])
    if not topic.foreign:
        found["max.message.bytes"] = _at_least(size, "a larger batch would be refused")
        found["compression.type"] = TopicRule(
            "producer", "producer or uncompressed", "readers may not know the broker's compression",
            {"producer", "uncompressed"}.__contains__,
        )  # fmt: skip
    found["segment.bytes"] = _at_least(size, "no batch may be larger than a segment")
    enough = min(IN_SYNC, copies)
    found["min.insync.replicas"] = TopicRule(
        str(enough), f"from {enough} to {copies}",
        "what was acknowledged is on so many brokers, and none can be appended above all of them",
        lambda has: enough <= int(has) <= copies,
    )  # fmt: skip
    found["unclean.leader.election.enable"] = _exactly(
        "false", "a replica that lacks what was acknowledged would lead, and cut the log"
    )
    if topic.config["cleanup.policy"] == "compact":
        found["delete.retention.ms"] = _at_least(
            DAY_MS, "who reads from the beginning must still see that a row was taken out"
        )
    else:
        for name in ("local.retention.ms", "local.retention.bytes"):
            found[name] = TopicRule(
                "-2", "-2 or -1", "the brokers' own disks keep the whole record",
                {"-1", "-2"}.__contains__, newer=True,
            )  # fmt: skip
    return found


_KEPT = "what is deleted of it is lost to the ledger"
_WHY = {
    ("cleanup.policy", "delete"): "compaction would take records out of it that are still needed",
    ("cleanup.policy", "compact"): "deleting by age would take rows that are the newest of a key",
    ("retention.ms", "-1"): _KEPT,
    ("retention.bytes", "-1"): _KEPT,
    ("message.timestamp.type", ""): "times are the broker's clock, the same on every replay",
    ("compression.type", ""): "only unpacked does the size limit hold in a worker's memory",
    ("max.message.bytes", ""): "clients and workers count on exactly this limit",
}  # fmt: skip


def _exactly(value: str, why: str) -> TopicRule:
    # A list of policies comes in any order.
    wanted = set(value.split(","))
    return TopicRule(
        value, value, why, lambda has: set(has.replace(" ", "").split(",")) == wanted
    )  # fmt: skip


def _at_least(value: int, why: str) -> TopicRule:
    return TopicRule(str(value), f"at least {value}", why, lambda has: int(has) >= value)


def differences(
    topic: "Topic",
    has: ActualTopic | None,
    *,
    copies: int,
    servers: str,
    ignore_added: bool = False,
) -> list[TopicDifference]:
    """How a topic differs from what it must be; `has` None for one that is not there.

    `copies`: those that the settings ask for. `servers`: for the commands. `ignore_added`: the
    settings say that partitions beyond the ledger's are known of.
    """
    if has is None:
        missing = "nothing of what it held can be read"
        command = f"if it was lost, {LOST_PAGE}; in a new ledger, `faust-ledger topics create`"
        return [TopicDifference(topic.name, MISSING, "missing", "there", missing, command)]
    return [
        *_of_partitions(topic, has, ignore_added=ignore_added),
        *_of_copies(topic, has, copies, servers),
        *_of_config(topic, has, servers),
    ]


def _of_partitions(
    topic: "Topic", has: ActualTopic, *, ignore_added: bool
) -> Iterator[TopicDifference]:
    if has.partitions == topic.partitions:
        return
    if has.partitions < topic.partitions:
        why = "the rest of the shards, or of the accounts, have no place in it"
    else:
        why = (
            "default partitioners send keys to other partitions now, where they are refused, "
            "and what is in the partitions beyond is nobody's"
        )
    stray = f", with {has.stray} records beyond" if has.stray else ""
    yield TopicDifference(
        topic.name, PARTITIONS, f"{has.partitions}{stray}", str(topic.partitions), why, PAGE,
        ignored=ignore_added and has.partitions > topic.partitions and not has.stray,
    )  # fmt: skip


def _of_copies(
    topic: "Topic", has: ActualTopic, copies: int, servers: str
) -> Iterator[TopicDifference]:
    if has.copies < copies:
        yield TopicDifference(
            topic.name, COPIES, str(has.copies), f"at least {copies}",
            "the loss of a broker's disk must lose nothing",
            f"kafka-reassign-partitions.sh --bootstrap-server {servers}, see {PAGE}",
        )  # fmt: skip


def _of_config(topic: "Topic", has: ActualTopic, servers: str) -> Iterator[TopicDifference]:
    if has.config is None:
        return
    for name, rule in rules(topic, has.copies).items():
        value = has.config.get(name)
        if value is None and rule.newer:
            continue
        if value is None or not _holds(rule, value):
            yield TopicDifference(
                topic.name, name, "not set" if value is None else value, rule.must, rule.why,
                f"kafka-configs.sh --bootstrap-server {servers} --alter --entity-type topics "
                f"--entity-name {topic.name} --add-config {name}={rule.value}",
                mend=rule.value,
            )  # fmt: skip


def _holds(rule: TopicRule, value: str) -> bool:
    try:
        return rule.holds(value)
    except ValueError:
        return False


def told(found: list[TopicDifference]) -> str:
    """One message of all of them, for a person."""
    lines = "\n".join(f"  {each}" for each in found)
    hint = (
        "`faust-ledger topics create`, as a user who may alter topics, sets all that a setting "
        "mends. "
        if any(each.mend is not None for each in found)
        else ""
    )
    return (
        f"{len(found)} settings of the topics are not what the ledger rests on:\n{lines}\n"
        f"{hint}See {PAGE}."
    )

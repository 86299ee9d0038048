"""Topics whose settings or partitions were changed by somebody: named, mended, refused in time."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from agents.runtime.topic_watch import require_topics
from ledger.client.balances import BalanceReader
from ledger.client.beyond import recover
from ledger.client.blocking import BlockingPublisher
from ledger.client.imports import Importer
from ledger.client.outcomes import OutcomeWatch
from ledger.client.past import Past
from ledger.client.publisher import Publisher
from ledger.client.resend import RejectedRecord, resend
from ledger.client.shards import as_founded
from ledger.clock import now
from ledger.domain.partition import partition_of
from ledger.domain.policy import DAY
from ledger.errors import LedgerError, Unavailable
from ledger.health.exits import Exit
from ledger.settings import Settings
from ledger.stack.prepare import prepare
from ledger.streaming import topics
from ledger.streaming.founding import found
from ledger.streaming.log import Log
from ledger.streaming.reader import LOOKUP_SECONDS
from ledger.streaming.registry import codec_of
from ledger.streaming.topic_look import TopicAdmin
from tests.conftest import Finished, Stack
from tests.integration.elsewhere import admin_does, log_does
from tests.waiting import PATIENCE, until

SOON_SECONDS = 10.0
"""aiokafka would wait for 40 s for a partition that is not there."""
DRIFT = {
    "transactions": {"message.timestamp.type": "CreateTime", "compression.type": "producer"},
    "decisions": {"retention.ms": "604800000", "unclean.leader.election.enable": "true"},
    # As an earlier version made it.
    "reference": {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.2"},
    "stripes": {"cleanup.policy": "compact,delete", "delete.retention.ms": "60000"},
    "posted": {"max.message.bytes": "1048588"},
}


def alter(settings: Settings, changes: dict[str, dict[str, str]]) -> None:
    """As somebody with kafka-configs.sh would."""

    async def scenario() -> None:
        async with TopicAdmin(settings) as broker:
            await broker.alter({f"{settings.prefix}.{name}": to for name, to in changes.items()})

    asyncio.run(scenario())


def add_partition(settings: Settings, name: str, count: int) -> None:
    topic = f"{settings.prefix}.{name}"
    admin_does(settings, lambda admin: admin.create_partitions({topic: NewPartitions(count)}))
    until(lambda: any(found == (name, "partitions") for found, *_ in looked(settings)), "it shows")


def looked(settings: Settings) -> list[tuple[tuple[str, str], str, str]]:
    """What differs: topic and setting, has, must."""
    found, hidden = asyncio.run(topics.look(settings))
    assert hidden == []
    bare = f"{settings.prefix}."
    return [((each.topic.removeprefix(bare), each.setting), each.has, each.must) for each in found]


def refused(work: Coroutine[Any, Any, Any], words: str) -> None:
    """Within seconds, and with words that say what happened."""
    since = time.monotonic()
    with pytest.raises(LedgerError, match=words) as caught:
        asyncio.run(work)
    assert time.monotonic() - since < SOON_SECONDS
    assert "docs/runbooks/" in str(caught.value)


async def entered(client: Any) -> None:
    async with client:
        pass


def test_every_drift_is_named_and_mended(elsewhere: Settings) -> None:
    assert looked(elsewhere) == []
    alter(elsewhere, DRIFT)
    wanted = {
        (name, setting): value
        for name, values in DRIFT.items()
        for setting, value in values.items()
        if setting != "min.cleanable.dirty.ratio"
    }
    until(lambda: len(looked(elsewhere)) == len(wanted), "all of it is seen")
    assert {where: has for where, has, _ in looked(elsewhere)} == wanted
    refused(require_topics(elsewhere), rf"{len(wanted)} settings of the topics")
    done = asyncio.run(topics.bring_about(elsewhere))
    assert done.created == []
    assert {(each.topic.split(".", 1)[1], each.setting): each.has for each in done.mended} == wanted
    assert looked(elsewhere) == []
    asyncio.run(require_topics(elsewhere))
    assert asyncio.run(topics.bring_about(elsewhere)) == topics.Changes([], [])


def test_up_mends_and_says_so(elsewhere: Settings) -> None:
    """What `up` does once its services answer; twice changes and says nothing."""
    alter(elsewhere, {"reference": DRIFT["reference"], "posted": DRIFT["posted"]})
    until(lambda: len(looked(elsewhere)) == 2, "both show")
    said: list[str] = []
    prepare(elsewhere, say=said.append)
    assert looked(elsewhere) == []
    assert len(said) == 2
    assert said[1].startswith(
        f"mended {elsewhere.prefix}.reference: cleanup.policy was compact, is delete: "
    )
    prepare(elsewhere, say=said.append)
    assert len(said) == 2


def test_what_somebody_else_has_set_stays(elsewhere: Settings) -> None:
    alter(elsewhere, {"decisions": {"segment.ms": "86400000", "retention.ms": "5"}})
    until(lambda: looked(elsewhere), "it shows")
    asyncio.run(topics.bring_about(elsewhere))

    async def described(admin: AIOKafkaAdminClient) -> dict[str, str]:
        from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

        name = f"{elsewhere.prefix}.decisions"
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}

    config = admin_does(elsewhere, described)
    assert (config["segment.ms"], config["retention.ms"]) == ("86400000", "-1")


def test_a_topic_that_is_gone_is_named(elsewhere: Settings) -> None:
    name = f"{elsewhere.prefix}.reference"
    admin_does(elsewhere, lambda admin: admin.delete_topics([name]))
    until(lambda: looked(elsewhere) == [(("reference", "topic"), "missing", "there")], "it is gone")
    with pytest.raises(LedgerError, match=r"reference: topic is missing.*topic-lost\.md"):
        asyncio.run(require_topics(elsewhere))


def test_a_partition_added_to_the_transactions(elsewhere: Settings) -> None:
    add_partition(elsewhere, "transactions", 3)
    words = "transactions has 3 partitions and the setting shards says 2"
    refused(entered(Publisher(elsewhere)), words)
    refused(entered(Publisher(elsewhere, check=False)), words)
    refused(entered(OutcomeWatch(elsewhere)), words)
    refused(entered(Importer(elsewhere)), words)
    refused(resend(elsewhere, [RejectedRecord(b"k", b"v")], lambda receipt: None, seconds=5), words)
    with pytest.raises(LedgerError, match=words), BlockingPublisher(elsewhere):
        pass
    refused(require_topics(elsewhere), r"partitions is 3 and must be 2")
    with pytest.raises(LedgerError, match="3 partitions and the settings say 2"):
        asyncio.run(topics.bring_about(elsewhere))


def test_without_a_setting_topics_are_compared_among_themselves(elsewhere: Settings) -> None:
    """A client elsewhere knows where Kafka is and no more."""
    bare = Settings(
        bootstrap_servers=elsewhere.bootstrap_servers, registry_url=elsewhere.registry_url,
        prefix=elsewhere.prefix, data_dir=elsewhere.data_dir,
    )  # fmt: skip
    assert "shards" not in bare.model_fields_set

    async def shards(settings: Settings) -> int:
        async with Publisher(settings, check=False) as publisher:
            return publisher.shards

    assert asyncio.run(shards(bare)) == 2
    wrong = bare.model_copy(update={"shards": 8})
    refused(entered(Publisher(wrong)), "has 2 partitions and the setting shards says 8")
    add_partition(elsewhere, "transactions", 3)
    refused(entered(Publisher(bare)), r"transactions has 3 partitions; .*decisions has 2")


def found_policy(settings: Settings, **changes: Any) -> None:
    """The ledger of `settings` begins, with `changes` to its first policy."""
    first = settings.model_copy(update=changes)
    log_does(settings, lambda log: found(first, log, codec_of(settings), {}))


def test_the_policy_says_how_many_shards_there_are(
    elsewhere: Settings, cli: Callable[..., Finished], tmp_path: Path
) -> None:
    """Whatever is set, and although all topics have as many partitions as one another."""
    found_policy(elsewhere)
    place = {
        "bootstrap_servers": elsewhere.bootstrap_servers, "registry_url": elsewhere.registry_url,
        "prefix": elsewhere.prefix, "database_url": elsewhere.database_url,
    }  # fmt: skip
    bare = Settings(**place, balance_partitions=3)
    wrong = Settings(**place, balance_partitions=3, shards=8)
    words = r"shards is 8, and this ledger has 2 by its policy"

    async def shards(settings: Settings) -> int:
        async with Publisher(settings, check=False) as publisher:
            return publisher.shards

    assert asyncio.run(shards(bare)) == 2
    assert asyncio.run(as_founded(bare)).shards == 2
    for client in (
        Publisher(wrong), Publisher(wrong, check=False), OutcomeWatch(wrong), Importer(wrong),
        BalanceReader(wrong),
    ):  # fmt: skip
        refused(entered(client), words)
    refused(resend(wrong, [RejectedRecord(b"k", b"v")], lambda receipt: None, seconds=5), words)
    refused(as_founded(wrong), words)
    named = place | {"data_dir": tmp_path, "balance_partitions": 3}
    environment = {f"FAUST_LEDGER_{name.upper()}": str(value) for name, value in named.items()}
    for command in (
        ("balances",), ("reconcile",), ("verify",), ("topics", "check"), ("topics", "create"),
        ("replay", "--from", "2024-05-01", "--into", "nowhere"),
        ("rebuild", "ledger", "--into", "nowhere"), ("rebuild", "balances"), ("policy", "show"),
    ):  # fmt: skip
        done = cli(*command, code=3, **environment, FAUST_LEDGER_SHARDS="8")
        assert "this ledger has 2 by its policy" in done.err, command
    cli("topics", "check", **environment)
    for name in ("transactions", "decisions", "progress"):
        add_partition(elsewhere, name, 3)
    refused(entered(Publisher(bare)), "3 partitions and the ledger's policy says 2 shards")
    ignoring = bare.model_copy(update={"added_partitions": "ignore"})
    assert asyncio.run(shards(ignoring)) == 2


def test_how_long_ids_are_remembered_is_not_what_is_set_here(elsewhere: Settings) -> None:
    found_policy(elsewhere, window_days=10)

    def no_books() -> Any:
        raise LedgerError("no database here")

    past = Past(elsewhere, no_books, clock=now)
    assert past.window == 30 * DAY
    asyncio.run(past.find([]))
    assert past.window == 10 * DAY


def test_partitions_that_are_known_of_are_left_alone(elsewhere: Settings) -> None:
    add_partition(elsewhere, "transactions", 3)
    ignoring = elsewhere.model_copy(update={"added_partitions": "ignore"})

    async def scenario() -> int:
        await require_topics(ignoring)
        async with Publisher(ignoring, check=False) as publisher, OutcomeWatch(ignoring):
            return publisher.shards

    assert asyncio.run(scenario()) == 2
    assert asyncio.run(topics.bring_about(ignoring)).created == []

    async def stray() -> None:
        servers = elsewhere.bootstrap_servers
        async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
            await producer.send_and_wait(f"{elsewhere.prefix}.transactions", b"v", b"k", 2)

    asyncio.run(stray())
    # Nobody decides it, so it is an alarm again.
    assert looked(ignoring) == [(("transactions", "partitions"), "3, with 1 records beyond", "2")]
    with pytest.raises(LedgerError, match="with 1 records beyond"):
        asyncio.run(require_topics(ignoring))
    assert asyncio.run(recover(ignoring)) == (1, 1)
    assert looked(ignoring) == [(("transactions", "partitions"), "3", "2")]
    assert asyncio.run(recover(ignoring)) == (1, 0)
    home = partition_of(b"k", 2)

    places = [(f"{elsewhere.prefix}.transactions", each) for each in (0, 1)]
    ends = log_does(elsewhere, lambda log: log.ends(places))
    assert ends == {place: int(place[1] == home) for place in places}


@pytest.mark.parametrize("name", ["decisions", "posted", "progress", "stripes-changelog"])
def test_a_partition_added_to_any_other_topic(elsewhere: Settings, name: str) -> None:
    add_partition(elsewhere, name, 3)
    assert looked(elsewhere) == [((name, "partitions"), "3", "2")]
    refused(require_topics(elsewhere), "partitions is 3 and must be 2")


def test_a_partition_added_to_the_balances(elsewhere: Settings) -> None:
    """An account would be looked for where it is not."""
    add_partition(elsewhere, "balances", 4)
    refused(
        entered(BalanceReader(elsewhere, accounts=["assets:cash"])),
        "balances has 4 partitions and the setting balance_partitions says 3",
    )


def test_a_topic_with_fewer_partitions(elsewhere: Settings) -> None:
    name = f"{elsewhere.prefix}.decisions"
    admin_does(elsewhere, lambda admin: admin.delete_topics([name]))
    until(lambda: looked(elsewhere) == [(("decisions", "topic"), "missing", "there")], "it is gone")
    admin_does(elsewhere, lambda admin: admin.create_topics([NewTopic(name, 1, 1)]))
    until(lambda: (("decisions", "partitions"), "1", "2") in looked(elsewhere), "it is back")
    refused(require_topics(elsewhere), "partitions is 1 and must be 2")
    refused(entered(OutcomeWatch(elsewhere)), "decisions has 1 partitions and the setting shards")


def test_a_lookup_that_finds_nothing_holds_up_no_other(elsewhere: Settings) -> None:
    """It says which partition is not there; others are answered meanwhile."""
    name = f"{elsewhere.prefix}.decisions"

    async def scenario(log: Log) -> None:
        since = time.monotonic()
        absent = [asyncio.create_task(log.bounds(name, each)) for each in (7, 8, 9)]
        gone = asyncio.create_task(log.bounds(f"{name}.nowhere", 0))
        assert await log.bounds(name, 1) == (0, 0)
        assert await log.ends([(name, 0), (name, 5)]) == {(name, 0): 0}
        failed = await asyncio.gather(*absent, gone, return_exceptions=True)
        assert all(isinstance(each, Unavailable) for each in failed), failed
        assert f"{name}[8]" in str(failed[1])
        assert f"{name}.nowhere[0]" in str(failed[3])
        assert time.monotonic() - since < LOOKUP_SECONDS

    log_does(elsewhere, scenario)


def test_the_command_says_and_mends(
    elsewhere: Settings, cli: Callable[..., Finished], stack: Stack
) -> None:
    other = {
        f"FAUST_LEDGER_{name.upper()}": str(getattr(elsewhere, name))
        for name in ("prefix", "shards", "balance_partitions")
    }
    assert cli("topics", "check", "--json", **other).json == {
        "ok": True, "differences": [], "hidden": [],
    }  # fmt: skip
    alter(elsewhere, {"decisions": {"retention.ms": "5"}})
    until(lambda: looked(elsewhere), "it shows")
    said = cli("topics", "check", "--json", code=1, **other).json
    (found,) = said["differences"]
    assert (found["topic"], found["setting"], found["has"], found["must"]) == (
        f"{elsewhere.prefix}.decisions", "retention.ms", "5", "-1",
    )  # fmt: skip
    assert found["command"].endswith("--add-config retention.ms=-1")
    assert "retention.ms" in cli("topics", "check", code=1, **other).out
    done = json.loads(cli("topics", "create", "--json", **other).out)
    assert done["created"] == []
    assert [each["setting"] for each in done["mended"]] == ["retention.ms"]
    assert cli("topics", "create", **other).err.startswith("All topics exist")
    assert cli("topics", "check", **other).code == 0


def test_a_worker_does_not_start_on_settings_that_differ(
    elsewhere: Settings, stack: Stack, new_id: Callable[..., str], tmp_path: Any
) -> None:
    import os
    import subprocess
    import sys

    alter(elsewhere, {"transactions": {"message.timestamp.type": "CreateTime"},
                      "progress": {"cleanup.policy": "delete"}})  # fmt: skip
    until(lambda: len(looked(elsewhere)) == 2, "both show")
    names = ("prefix", "shards", "balance_partitions", "bootstrap_servers", "registry_url",
             "database_url", "service_database_url")  # fmt: skip
    environment = {f"FAUST_LEDGER_{name.upper()}": str(getattr(elsewhere, name)) for name in names}
    ended = subprocess.run(
        [sys.executable, "-m", "agents", "posting", "--data-dir", tmp_path, "--name", "w"],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert ended.returncode == Exit.SETTINGS, ended
    assert "2 settings of the topics are not what the ledger rests on" in ended.stderr
    assert "message.timestamp.type is CreateTime and must be LogAppendTime" in ended.stderr
    assert "cleanup.policy is delete and must be compact" in ended.stderr


def test_setup_changes_nothing_where_all_is_there(cli: Callable[..., Any]) -> None:
    assert cli("setup", "--json").json == {"done": []}

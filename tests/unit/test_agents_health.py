"""What an application tells the supervisor and Prometheus, and how it ends."""

import asyncio
import errno
import json
import sys
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from agents.__main__ import serve
from agents.runtime.app import LeaseLost, exit_of, lease
from agents.runtime.health import Ages, Answers, Behind
from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.health.application import Health
from ledger.health.exits import Exit
from ledger.settings import Settings
from ledger.streaming.table import Overtaken
from tests.runtimes import Clock

ORDER = ("outcome", "code", "stage", "shard", "partition", "state")


@pytest.fixture
def clock():
    return Clock(100.0)


@pytest.fixture
def health(clock):
    made = Health(clock)
    made.stages |= {"ledger.transactions": "intake", "ledger.posted": "reconciliation"}
    return made


@pytest.fixture
def told(health, tmp_path):
    return Answers("stream", Settings(), health, tmp_path)


def ready(told):
    status, _, body = asyncio.run(told.ready())
    return status, json.loads(body)


def samples(told):
    text = asyncio.run(told.metrics()).body.decode()
    return {
        (
            sample.name,
            *(sample.labels[each] for each in ORDER if each in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_ready_is_200_only_when_every_partition_goes_on(told, health, clock):
    assert ready(told)[0] == 503
    health.assign([("ledger.transactions", 0), ("ledger.transactions", 1)])
    status, said = ready(told)
    assert status == 503
    assert said["why"] == ["intake 0-1: opening for 0 s"]
    for partition in (0, 1):
        health.at(("ledger.transactions", partition)).opened()
    assert ready(told) == (200, ready(told)[1])
    health.at(("ledger.transactions", 1)).stop("The topic was truncated.")
    status, said = ready(told)
    assert (status, said["ready"]) == (503, False)
    assert said["why"] == ["intake 1: stopped for 0 s: The topic was truncated."]
    assert [row["state"] for row in said["partitions"]] == ["going on", "stopped"]
    health.at(("ledger.transactions", 1)).opened()
    health.alarms = ("ledger.decisions: retention.ms is 5.",)
    status, said = ready(told)
    assert (status, said["why"]) == (503, list(health.alarms))
    assert said["alarms"] == said["why"]
    assert samples(told)["faust_ledger_topic_differences",] == 1
    health.alarms = ()
    assert ready(told)[0] == 200
    health.at(("ledger.transactions", 1)).stop("The topic was truncated.")
    health.revoke()
    assert "the group shares them out" in ready(told)[1]["why"][0]


class OfKafka:
    """Figures of a process that the broker confirmed `age` seconds ago."""

    age = 0.0
    behind = None

    def unconfirmed(self):
        return self.age

    def lags(self):
        return {}


def test_no_stage_goes_on_without_a_broker(told, health):
    """Also where nothing waits for it; the reason is given once."""
    health.assign([("ledger.transactions", 0)])
    health.at(("ledger.transactions", 0)).opened()
    figures = OfKafka()
    told.add(figures)
    assert ready(told)[1]["partitions"][0]["state"] == "going on"
    figures.age = 7.0
    said = ready(told)[1]
    (row,) = said["partitions"]
    assert (row["state"], row["seconds"]) == ("waiting", 7.0)
    assert said["why"] == [row["why"]]
    assert "the broker has not confirmed" in row["why"]


def test_live_is_about_the_loop_alone(told, health, clock):
    health.loop.ran()
    assert asyncio.run(told.live()).status == 200
    clock.now += 31
    assert asyncio.run(told.live()).status == 503
    health.loop.ran()
    assert asyncio.run(told.live()).status == 200


def test_metrics_say_the_same(told, health, clock):
    health.assign([("ledger.transactions", 4), ("ledger.posted", 4)])
    health.at(("ledger.transactions", 4)).opened()
    health.counts.transactions["refused", "NOT_BALANCED"] += 2
    health.counts.runs["intake"] += 3
    health.counts.breaks[4] = 1
    clock.now += 7
    found = samples(told)
    assert found["faust_ledger_ready",] == 0
    assert found["faust_ledger_partition_state", "intake", "4", "going_on"] == 1
    assert found["faust_ledger_partition_state", "reconciliation", "4", "opening"] == 1
    assert found["faust_ledger_partition_state", "reconciliation", "4", "stopped"] == 0
    assert found["faust_ledger_partition_waiting_seconds", "reconciliation", "4"] == 7
    assert found["faust_ledger_partition_waiting_seconds", "intake", "4"] == 0
    assert found["faust_ledger_transactions_total", "refused", "NOT_BALANCED"] == 2
    assert found["faust_ledger_runs_total", "intake"] == 3
    assert found["faust_ledger_breaks_open", "4"] == 1
    assert found["faust_ledger_disk_free_bytes",] > 0


def test_the_oldest_unreconciled_is_as_old_as_the_look_that_saw_it_first():
    ages = Ages()
    assert ages.age(50.0, 0) == 0
    ages.note(100.0, 10, 0)
    ages.note(105.0, 10, 0)
    ages.note(110.0, 30, 9)
    assert ages.age(120.0, 0) == 20
    assert ages.age(120.0, 9) == 20
    assert ages.age(120.0, 10) == 10
    assert ages.age(120.0, 30) == 0
    ages.note(130.0, 31, 30)
    assert ages.age(131.0, 30) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("ours"), Exit.FAULT),
        (InvariantBroken("two shards"), Exit.BROKEN),
        (LeaseLost("paused"), Exit.REPLACED),
        (Overtaken("ahead"), Exit.REPLACED),
        (LedgerError("no such schema"), Exit.SETTINGS),
        (OSError(errno.ENOSPC, "No space left on device"), Exit.DISK),
        (Exception("IO error: Input/output error: While fsync"), Exit.DISK),
        (Exception("Corruption: block checksum mismatch"), Exit.DAMAGED),
    ],
)
def test_each_end_has_a_status_of_its_own(error, status):
    assert exit_of(error) == status


SESSION = 10


class Confirmed:
    """A membership, confirmed `age` seconds ago."""

    age = 0.0

    def unconfirmed(self):
        return self.age


def test_a_broker_that_is_away_is_waited_for_and_a_worker_that_was_paused_ends(health, clock):
    membership = Confirmed()
    health.loop.ran()
    lease(membership, health, SESSION)
    for _ in range(24):
        clock.now += 0.5
        health.loop.ran()
    membership.age = 12.0
    with pytest.raises(Unavailable, match="for 12 s"):
        lease(membership, health, SESSION)
    clock.now += 6
    membership.age = 18.0
    with pytest.raises(LeaseLost):
        lease(membership, health, SESSION)
    # It has woken up; that it slept is not forgotten before somebody has confirmed it.
    health.loop.ran()
    with pytest.raises(LeaseLost):
        lease(membership, health, SESSION)
    membership.age = 0.1
    lease(membership, health, SESSION)


def test_a_shard_s_history_says_how_far_it_is_behind(health, tmp_path):
    told = Answers("history", Settings(), health, tmp_path)
    figures = OfKafka()
    figures.behind = lambda shard: Behind(shard * 100, shard / 3)
    told.add(figures)
    health.assign([("ledger.decisions", shard) for shard in range(2)])
    rows = ready(told)[1]["partitions"]
    found = [(each["behind_transactions"], each["behind_seconds"]) for each in rows]
    assert found == [(0, 0.0), (100, 0.3)]
    text = asyncio.run(told.metrics()).body.decode()
    assert 'faust_ledger_history_behind_transactions{shard="1"} 100.0' in text
    assert 'faust_ledger_history_behind_seconds{shard="1"} 0.3' in text


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("mysql://u@h/d", "Begin database_url and service_database_url with"),
        ("oracle://u@h:1521/?service_name=s", "pip install 'oracledb"),
        ("oracle://u@h:1521/", "no service_name"),
    ],
)
def test_posting_that_can_never_connect_ends_and_says_why(address, said, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "oracledb", None)
    settings = Settings(database_url=address, service_database_url=address, history="off")
    app = SimpleNamespace(runtime=SimpleNamespace(settings=settings))
    with pytest.raises(SystemExit) as ended:
        serve("posting", app, None)
    assert ended.value.code == Exit.SETTINGS
    assert said in caplog.text

"""What `doctor` finds in the answers of workers, the database and the topics."""

import os
from dataclasses import replace

import pytest

from ledger.domain.run import Watermark
from ledger.health import doctor
from ledger.health.checks import directory
from ledger.health.checks.database import role
from ledger.health.checks.installation import Installation
from ledger.health.checks.processes import application
from ledger.health.checks.topics import Positions, losses
from ledger.health.rows import reasons
from ledger.settings import Settings
from ledger.stack import files
from ledger.stack.aot_cache import UNFINISHED
from ledger.streaming.topics import topics

NAMES = topics(Settings(shards=3))
AT = Watermark(10, 100, b"d" * 32, 1)
ENDED = 2**22 + 1
"""The number of no process: Linux gives them up to this."""


def positions(**changes):
    """Three shards of which all is posted and compared up to `AT`."""
    shards = range(3)
    whole = Positions(
        transactions=dict.fromkeys(shards, (0, 100)),
        decisions=dict.fromkeys(shards, (0, 10)),
        compared=dict.fromkeys(shards, AT),
        posted=dict.fromkeys(shards, AT),
        reference=(0, 4),
        decided_with=dict.fromkeys(shards, 4),
    )
    return replace(whole, **{name: getattr(whole, name) | each for name, each in changes.items()})


def test_a_whole_ledger_has_lost_nothing_nor_has_one_that_is_behind_or_new():
    assert list(losses(positions(), NAMES)) == []
    assert list(losses(positions(decisions={0: (0, 90)}, transactions={0: (0, 900)}), NAMES)) == []
    # Posted and not compared yet.
    assert list(losses(positions(compared={0: Watermark(4, 40)}), NAMES)) == []
    new = Positions(dict.fromkeys(range(3), (0, 0)), dict.fromkeys(range(3), (0, 0)), {}, {})
    assert list(losses(new, NAMES)) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decisions": {0: (0, 9), 2: (0, 0)}}, "decisions: it ends before what was posted"),
        (
            {"transactions": {0: (0, 99), 2: (0, 0)}},
            "transactions: it ends before what was decided",
        ),
        ({"decisions": {0: (11, 20), 2: (12, 20)}}, "decisions: it begins after what the database"),
        ({"posted": {0: Watermark(9, 90), 2: Watermark()}}, "it is from an older backup"),
        ({"decided_with": {0: 5, 1: 4, 2: 7}}, "reference: it ends before what was decided with"),
        (
            {"posted": {0: replace(AT, digest=b"e" * 32), 2: replace(AT, end=99)}},
            "followed another chain",
        ),
    ],
)
def test_each_loss_names_its_shards_and_the_fix(changes, words):
    found = list(losses(positions(**changes), NAMES))
    assert len(found) == 1, found
    assert words in found[0].detail
    assert "shards 0, 2, as 0: " in found[0].detail
    assert not found[0].well
    assert found[0].advice


def report(**changes):
    return {
        "ready": True, "why": [], "partitions": [], "last_exit": None, "restarts": 0,
    } | changes  # fmt: skip


def test_deleted_reference_data_is_a_loss():
    (found,) = losses(replace(positions(), reference=(2, 4)), NAMES)
    assert "reference: it begins at 2" in found.detail
    assert "topic-lost.md" in found.advice


def test_an_alarm_has_its_own_advice():
    alarm = "ledger.decisions: retention.ms is 5"
    (found,) = application("w", report(ready=False, why=[alarm], alarms=[alarm]))
    assert "topic-settings.md" in found.advice


def test_an_application_that_makes_no_progress_and_how_it_ended():
    ended = {"status": 74, "seconds": 9.0, "meaning": "The disk.", "advice": "make room"}
    row = {"stage": "posting", "partition": 0, "state": "stopped", "seconds": 1.0, "doing": "",
           "why": "no"}  # fmt: skip
    found = list(
        application("w", report(ready=False, why=reasons([row]), partitions=[row],
                                last_exit=ended, restarts=3))
    )  # fmt: skip
    assert [each.well for each in found] == [False, False]
    assert found[0].detail == "ended with 74 9 s ago, 3 times in all: The disk."
    assert found[0].advice == "make room"
    assert found[1].detail == "posting 0: stopped for 1 s: no"
    assert "`faust-ledger down` and `up`" in found[1].advice
    waiting = list(application("w", report(ready=False, why=["waiting for 3 s to x: y"])))
    assert "by itself" in waiting[0].advice


def test_an_application_that_recovered_is_reported_for_an_hour():
    ended = {"status": 75, "seconds": 60.0, "meaning": "Replaced.", "advice": "nothing"}
    (found,) = application("w", report(last_exit=ended))
    assert found.well
    assert list(application("w", report(last_exit=ended | {"seconds": 4000.0}))) == []
    assert list(application("w", report(last_exit=ended | {"status": -9}))) == []


@pytest.mark.parametrize(
    "words",
    [
        'connection failed: FATAL:  password authentication failed for user "ledger_service"',
        'FATAL:  too many connections for role "ledger_service"',
        'FATAL:  role "ledger_service" is not permitted to log in',
        'FATAL:  database "ledger" does not exist',
        "connection failed: fe_sendauth: no password supplied",
    ],
)
def test_an_error_of_postgresql_for_the_role_has_a_fix(words):
    (found,) = role(words + "\nmore")
    assert found.detail == words
    assert found.advice


def test_an_unavailable_server_is_no_finding_of_the_role():
    assert list(role("connection timeout expired")) == []


@pytest.fixture
def installation(tmp_path):
    """A data directory of this user without a stack, and an empty cache."""
    data_dir, cache = tmp_path / "data", tmp_path / "cache"
    for each in (data_dir, cache):
        each.mkdir(mode=0o700)
    return Installation(files.layout(data_dir), cache, me=None, record=None)


def amiss(check, installation):
    return [(each.name, each.advice) for each in check(installation) if not each.well]


def test_a_data_directory_that_others_can_read_is_named_with_the_fix(installation):
    place = installation.place
    place.identity_file.touch(mode=0o600)
    assert amiss(directory.secrecy, installation) == []
    place.root.chmod(0o755)
    place.identity_file.chmod(0o640)
    open_directory, open_file = amiss(directory.secrecy, installation)
    assert f"chmod 700 {place.root}" in open_directory[1]
    assert open_file[0] == place.identity_file.name
    assert f"chmod 600 {place.identity_file}" in open_file[1]


def test_files_of_a_crash_are_leftovers(installation):
    assert amiss(directory.leftovers, installation) == []
    left = installation.place.root / f".stack.json.{ENDED}{files.PARTIAL}"
    left.touch()
    (finding,) = directory.leftovers(installation)
    assert (finding.well, finding.detail) == (False, str(left))


def test_what_a_crash_left_is_removed_when_asked(installation, monkeypatch):
    """But not what a process still writes, nor what Java has finished and `up` takes."""
    monkeypatch.setenv("FAUST_LEDGER_CACHE_DIR", str(installation.cache))
    cache, own = installation.cache, installation.place.root
    kept = [
        own / f".stack.json.{os.getpid()}{files.PARTIAL}",
        cache / f".kafka-1-java-25.aot.{ENDED}{files.PARTIAL}",
    ]
    left = [
        cache / f".x.jar.{ENDED}.123{files.PARTIAL}",
        cache / f".registry-1-java-25.aot.{ENDED}{files.PARTIAL}",
        cache / f".registry-1-java-25.aot.{ENDED}{files.PARTIAL}{UNFINISHED}",
        own / f".stack.json.{ENDED}{files.PARTIAL}",
    ]
    for each in (*kept, *left):
        each.touch()
    folder = cache / f".registry.{ENDED}{files.PARTIAL}"
    (folder / "in").mkdir(parents=True)
    assert sorted(doctor.clean(own)) == sorted([*left, folder])
    assert all(each.exists() for each in kept)
    assert amiss(directory.leftovers, installation) == []


def test_a_data_directory_that_does_not_exist_is_well(installation):
    installation.place.root.rmdir()
    for check in (directory.ownership, directory.secrecy, directory.database_version):
        assert amiss(check, installation) == []


@pytest.mark.parametrize(
    "address", ["postgresql://u@127.0.0.1:1/d", "oracle://u:p@127.0.0.1:1/?service_name=s"]
)
def test_servers_of_ones_own_that_do_not_answer_are_named(installation, monkeypatch, address):
    for name, value in {
        "BOOTSTRAP_SERVERS": "127.0.0.1:1", "REGISTRY_URL": "http://127.0.0.1:1",
        "DATABASE_URL": address, "SERVICE_DATABASE_URL": address, "HISTORY": "off",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"FAUST_LEDGER_{name}", value)
    found = list(doctor.ledger(installation))
    assert [(each.name, each.well) for each in found] == [
        ("kafka", False), ("registry", False), ("general ledger", False),
    ]  # fmt: skip
    assert all(each.advice for each in found)
    assert "correct host" in found[-1].detail.lower()

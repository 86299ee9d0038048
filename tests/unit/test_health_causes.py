"""What `doctor` makes of what workers, the database and the topics say."""

from dataclasses import replace

import pytest

from ledger.domain.run import Watermark
from ledger.health import causes
from ledger.health.causes import Known, judged
from ledger.settings import Settings
from ledger.streaming.topics import topics

NAMES = topics(Settings(shards=3))
AT = Watermark(10, 100, b"d" * 32, 1)


def known(**changes):
    """Three shards of which all is posted and compared up to `AT`."""
    shards = range(3)
    whole = Known(
        transactions=dict.fromkeys(shards, (0, 100)),
        decisions=dict.fromkeys(shards, (0, 10)),
        compared=dict.fromkeys(shards, AT),
        posted=dict.fromkeys(shards, AT),
        reference=(0, 4),
        decided_with=dict.fromkeys(shards, 4),
    )
    return replace(whole, **{name: getattr(whole, name) | each for name, each in changes.items()})


def test_a_ledger_that_is_whole_is_well_and_so_is_one_that_is_behind_or_new():
    assert list(judged(known(), NAMES)) == []
    assert list(judged(known(decisions={0: (0, 90)}, transactions={0: (0, 900)}), NAMES)) == []
    # Posted and not compared yet.
    assert list(judged(known(compared={0: Watermark(4, 40)}), NAMES)) == []
    new = Known(dict.fromkeys(range(3), (0, 0)), dict.fromkeys(range(3), (0, 0)), {}, {})
    assert list(judged(new, NAMES)) == []


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
def test_each_cause_is_named_with_its_shards_and_what_to_do(changes, words):
    found = list(judged(known(**changes), NAMES))
    assert len(found) == 1, found
    assert words in found[0].detail
    assert "shards 0, 2, as 0: " in found[0].detail
    assert not found[0].well
    assert found[0].advice


def said(**changes):
    return {"ready": True, "why": [], "last_exit": None, "restarts": 0} | changes


def test_reference_data_that_begins_late_is_named():
    (found,) = judged(replace(known(), reference=(2, 4)), NAMES)
    assert "reference: it begins at 2" in found.detail
    assert "topic-lost.md" in found.advice


def test_an_alarm_has_its_own_advice():
    alarm = "ledger.decisions: retention.ms is 5"
    (found,) = causes._of_application("w", said(ready=False, why=[alarm], alarms=[alarm]))
    assert "topic-settings.md" in found.advice


def test_an_application_says_why_and_how_it_ended():
    ended = {"status": 74, "seconds": 9.0, "meaning": "The disk.", "advice": "make room"}
    found = list(
        causes._of_application("w", said(ready=False, why=["posting 0: stopped for 1 s: no"],
                                         last_exit=ended, restarts=3))
    )  # fmt: skip
    assert [each.well for each in found] == [False, False]
    assert found[0].detail == "ended with 74 9 s ago, 3 times in all: The disk."
    assert found[0].advice == "make room"
    assert "as it says" in found[1].advice
    waiting = list(causes._of_application("w", said(ready=False, why=["waiting for 3 s to x: y"])))
    assert "by itself" in waiting[0].advice


def test_an_end_that_is_over_is_told_for_an_hour_and_is_well():
    ended = {"status": 75, "seconds": 60.0, "meaning": "Replaced.", "advice": "nothing"}
    (told,) = causes._of_application("w", said(last_exit=ended))
    assert told.well
    assert list(causes._of_application("w", said(last_exit=ended | {"seconds": 4000.0}))) == []
    assert list(causes._of_application("w", said(last_exit=ended | {"status": -9}))) == []


@pytest.mark.parametrize(
    "words",
    [
        'connection failed: FATAL:  password authentication failed for user "ledger_service"',
        'FATAL:  too many connections for role "ledger_service"',
        'FATAL:  role "ledger_service" is not permitted to log in',
        'FATAL:  database "ledger" does not exist',
    ],
)
def test_what_postgresql_says_to_the_role_is_passed_on_with_what_to_do(words):
    (found,) = causes._of_role(words + "\nmore")
    assert found.detail == words
    assert found.advice


def test_a_server_that_is_away_is_found_elsewhere():
    assert list(causes._of_role("connection timeout expired")) == []

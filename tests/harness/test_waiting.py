"""Waits end when what is waited for cannot come any more."""

import time

import pytest

from tests.faults import checks
from tests.faults.checks import Standing
from tests.waiting import Limit, until


def test_what_is_lost_is_not_waited_for():
    with pytest.raises(AssertionError, match="the process has died; not reached: an answer"):
        until(lambda: None, "an answer", lost=lambda: "the process has died")


def test_what_comes_is_returned_though_it_were_lost_afterwards():
    assert until(lambda: 7, "seven", lost=lambda: "too late") == 7


def test_what_moves_is_waited_for_and_not_for_ever():
    limit = Limit(still=100, most=200)
    assert 99 < limit.left <= 100
    limit = Limit(still=100, most=50)
    limit.moved()
    assert 49 < limit.left <= 50
    assert Limit(still=0).left <= 0


class Quiet:
    """A ledger, and who watches it: at rest and well, until it is told otherwise."""

    def __init__(self):
        self.end, self.read, self.ready = 7, 7, True

    def ends(self):
        return {"a partition": self.end}

    def has_read(self, ends):
        return self.read >= ends["a partition"]

    def supervisors(self):
        return {"worker-1": 1}

    def health(self, worker):
        return {"ready": self.ready}


def test_a_ledger_that_rests_brings_nothing_any_more(monkeypatch):
    ledger = Quiet()
    standing = Standing(ledger, ledger)
    assert standing() == ""
    monkeypatch.setattr(checks, "STANDING_SECONDS", 0)
    assert "everything is compared and nothing moves" in standing()


@pytest.mark.parametrize("change", [{"end": 8}, {"ready": False}, {"read": 6}])
def test_one_that_moves_or_is_not_well_still_may(monkeypatch, change):
    ledger = Quiet()
    standing = Standing(ledger, ledger)
    assert standing() == ""
    vars(ledger).update(change)
    since = time.monotonic()
    assert standing() == ""
    monkeypatch.setattr(checks, "STANDING_SECONDS", time.monotonic() - since + 60)
    assert standing() == ""

"""How many of a topic's partitions are the ledger's, and when that cannot be said."""

import pytest

from ledger.client.partitions import _of_ledger
from ledger.client.shards import require_set_right
from ledger.errors import LedgerError
from ledger.settings import Settings

T, D, P = "ledger.transactions", "ledger.decisions", "ledger.progress"


def of_ledger(there, name=T, policy=None, **settings):
    return _of_ledger(Settings(**settings), "shards", name, there, policy)


@pytest.mark.parametrize("given", [{}, {"shards": 4}])
def test_as_many_as_all_have(given):
    assert of_ledger({T: 4, D: 4, P: 4}, **given) == 4
    assert of_ledger({T: 4}, **given) == 4


@pytest.mark.parametrize("given", [{}, {"shards": 4}])
def test_one_that_has_more_is_refused_unless_it_is_known_of(given):
    with pytest.raises(LedgerError, match=r"transactions has 5 partitions.*decisions has 4"):
        of_ledger({T: 5, D: 4}, **given)
    assert of_ledger({T: 5, D: 4}, **given, added_partitions="ignore") == 4
    # Another topic's partitions change nobody's keys in this one.
    assert of_ledger({T: 4, D: 4, P: 5}, **given) == 4


def test_one_that_has_fewer_is_refused_whatever_is_known():
    for settings in ({}, {"added_partitions": "ignore"}):
        with pytest.raises(LedgerError, match="transactions has 3 partitions"):
            of_ledger({T: 3, D: 4}, shards=4, **settings)


def test_a_setting_of_another_ledger_is_refused_with_its_name():
    with pytest.raises(LedgerError, match=r"the setting shards says 8.*another ledger's"):
        of_ledger({T: 4, D: 4}, shards=8)


def test_the_policy_counts_whatever_all_topics_have():
    assert of_ledger({T: 4, D: 4, P: 4}, policy=4) == 4
    with pytest.raises(LedgerError, match=r"transactions has 5 partitions and the ledger's policy"):
        of_ledger({T: 5, D: 5, P: 5}, policy=4)
    assert of_ledger({T: 5, D: 5, P: 5}, policy=4, added_partitions="ignore") == 4
    with pytest.raises(LedgerError, match="the ledger's policy says 4 shards"):
        of_ledger({T: 3, D: 3}, policy=4, added_partitions="ignore")


def test_another_setting_than_the_policy_is_refused():
    require_set_right(Settings(), 4)
    require_set_right(Settings(shards=4), 4)
    with pytest.raises(LedgerError, match=r"shards is 8, and this ledger has 4 by its policy"):
        require_set_right(Settings(shards=8), 4)

"""The balance view: whatever is compacted, published or restarted in between, coverage holds.

A partition of the balances and its coverage, and a reader that may begin again at any point. Each
deliberate defect in when coverage counts is found.
"""

import random

import pytest

from ledger.api.view.copy import BalanceCopy
from ledger.api.view.coverage import Claim, PartitionCoverage
from ledger.api.view.kept import Place
from tests.api_view import change

ACCOUNTS = ["assets:a", "assets:b", "assets:c"]
SEEDS = 25


class Topic:
    """One partition: (offset, account, version); a version is how many transactions are counted."""

    def __init__(self, chance):
        self.chance, self.records, self.end = chance, [], 0
        self.log, self.published, self.claims = [], dict.fromkeys(ACCOUNTS, 0), []

    def transact(self):
        self.log.append(self.chance.choice(ACCOUNTS))

    def counted(self, account, end):
        return self.log[:end].count(account)

    def publish(self):
        """A balance with all that is there, or an older one of a worker that was replaced."""
        account = self.chance.choice(ACCOUNTS)
        version = self.counted(account, len(self.log))
        if self.chance.random() < 0.1:
            version = self.chance.randint(0, version)
        self.records.append((self.end, account, version))
        self.end += 1
        self.published[account] = max(version, self.published[account])

    def cover(self):
        end = 0
        while end < len(self.log) and all(
            self.published[each] >= self.counted(each, end + 1) for each in ACCOUNTS
        ):
            end += 1
        newest = {}
        for record in self.records:
            newest[record[1]] = record
        for account, version in self.published.items():
            # Compaction keeps what came last: an older one must not be that.
            if version and newest[account][2] < version:
                self.records.append((self.end, account, version))
                self.end += 1
        self.claims.append(Claim(self.end, (end,)))

    def compact(self):
        last = {account: offset for offset, account, _ in self.records}
        self.records = [
            each for each in self.records if each[0] == last[each[1]] or self.chance.random() < 0.5
        ]


class Reader:
    """The copy, and the pieces that `Following` moves; `lookups`: ends that are under way."""

    def __init__(self, topic, folder, coverage):
        self.topic, self.folder, self.make = topic, folder, coverage
        self.heard, self.lookup = 0, None
        self.copy = BalanceCopy(folder)
        self.copy.begin("topic", {0: 0})
        self.position, self.coverage = 0, coverage()

    def read(self):
        count = self.topic.chance.randint(0, 4)
        found = [each for each in self.topic.records if each[0] >= self.position][:count]
        position = found[-1][0] + 1 if len(found) == count and found else self.topic.end
        if count:
            changes = [
                change(account, debits=version, version=version) for _, account, version in found
            ]
            self.copy.take(0, changes, Place(0, position))
            self.position = position
            self.coverage.reach(position)

    def hear(self):
        if self.heard < len(self.topic.claims):
            self.coverage.hear(self.topic.claims[self.heard])
            self.heard += 1

    def look(self):
        """One end is looked up at a time; the answer may come later."""
        if self.lookup is None:
            self.coverage.ask()
            self.lookup = self.topic.end
        else:
            self.coverage.note_end(self.lookup)
            self.lookup = None
            self.coverage.reach(self.position)

    def note(self):
        self.copy.note_coverage({0: self.coverage.ends})

    def restart(self):
        """The coverage topic is read again; its older records may be gone."""
        self.copy.close()
        self.copy = BalanceCopy(self.folder)
        self.position = self.copy.places()[0].position
        self.coverage, self.lookup = self.make(self.copy.coverage().get(0, ())), None
        self.heard = self.topic.chance.randint(0, len(self.topic.claims))

    def wrong(self):
        """Transactions that are said to be contained, and are not."""
        for end in self.coverage.ends:
            for account in ACCOUNTS:
                found = self.copy.balances(account)
                if (found[0].version if found else 0) < self.topic.counted(account, end):
                    return f"{account} lacks transactions before {end}"
        return None


def run(seed, folder, coverage):
    chance = random.Random(seed)
    topic = Topic(chance)
    reader = Reader(topic, folder, coverage)
    weights = {
        "transact": 4,
        "publish": 5,
        "cover": 3,
        "compact": 1,
        "read": 5,
        "hear": 4,
        "look": 5,
        "note": 1,
    }
    try:
        for _ in range(150):
            step = chance.choices([*weights, "restart"], [*weights.values(), 0.2])[0]
            getattr(topic if hasattr(topic, step) else reader, step)()
            if wrong := reader.wrong():
                return wrong
        # Left alone it comes to have everything.
        for each in ACCOUNTS:
            topic.published[each] = topic.counted(each, len(topic.log))
            topic.records.append((topic.end, each, topic.published[each]))
            topic.end += 1
        topic.cover()
        for _ in range(200):
            for step in (reader.hear, reader.look, reader.read):
                step()
                if wrong := reader.wrong():
                    return wrong
        assert reader.coverage.ends == (len(topic.log),)
    finally:
        reader.copy.close()
    return None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_counts_is_contained(seed, tmp_path):
    assert run(seed, tmp_path / "copy", PartitionCoverage) is None


class CountsAtOnce(PartitionCoverage):
    def hear(self, claim):
        self._read_to = (0, claim)
        self.reach(0)


class CountsAtItsOffset(PartitionCoverage):
    def hear(self, claim):
        self._read_to = (claim.offset, claim)


class TakesAnEarlierLookup(PartitionCoverage):
    """A lookup that was under way when the claim came counts for it too."""

    def note_end(self, end):
        self.ask()
        super().note_end(end)


class ForgetsTheFirst(PartitionCoverage):
    """Counts all that is heard where only what was asked about was looked up."""

    def reach(self, position):
        moved = super().reach(position)
        if moved and self._heard is not None:
            self.ends = self._heard.ends
        return moved


FOUND_BY = {CountsAtOnce: 2, CountsAtItsOffset: 10, TakesAnEarlierLookup: 151, ForgetsTheFirst: 17}
"""The seed that found it last; where the model changes another one may."""


@pytest.mark.parametrize("defect", FOUND_BY)
def test_each_defect_is_found(defect, tmp_path):
    seeds = (FOUND_BY[defect], *range(400))
    assert any(run(seed, tmp_path / str(number), defect) for number, seed in enumerate(seeds))

"""What a search of Kafka's topics finds of one id, and what it says of where it looked."""

import asyncio
from typing import NamedTuple

from ledger.client.log_search import Looked, _Search
from ledger.client.records import Records
from ledger.domain.run import Watermark
from ledger.errors import Unavailable
from ledger.settings import Settings
from ledger.streaming.reader import Reader
from ledger.streaming.registry import Codec
from tests.builders import KeptMemory, draft, numbered, settle

CODEC = Codec({"Decision": 2, "Reject": 5})
AT = 1_767_225_600_000
"""Milliseconds since 1970."""


class Record(NamedTuple):
    """What is used of a ConsumerRecord."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = AT


class KeptReader(Reader):
    """A Reader of records in memory; `first`: the offset that each partition begins at."""

    def __init__(self, *records, first=0):
        self._records, self._first = records, first
        self._starts = {}
        self.read = []

    async def bounds(self, partitions):
        return {
            tp: (self._first, max([self._first, *(each.offset + 1 for each in self._of(tp))]))
            for tp in partitions
        }

    def _of(self, tp):
        return [each for each in self._records if (each.topic, each.partition) == tp]

    def assign(self, starts):
        self._starts = dict(starts)

    async def until(self, ends):
        for tp, end in ends.items():
            found = [each for each in self._of(tp) if self._starts[tp] <= each.offset < end]
            self.read += found
            if found:
                yield found


def searched(reader, name, back=10):
    return _Search(Settings(), reader, Records(None, CODEC), name, back)


def decision(run, offset, shard=0):
    return Record("ledger.decisions", shard, offset, CODEC.encode("Decision", run.row()))


def first_run():
    """`a` accepted, repeated, `b` refused, at offsets 0 to 2."""
    drafts = [draft("a"), draft("a"), draft("b", amount="0")]
    return settle(numbered(drafts), memory=KeptMemory().memory())


def test_what_is_decided_is_found_with_its_entries_and_its_time():
    search = searched(KeptReader(decision(first_run(), 4)), "a")
    asyncio.run(search.decisions({0: Watermark()}))
    [found] = search.found.decided
    assert (found.transaction.transaction_id, found.transaction.offset) == ("a", 0)
    assert (found.decisions_offset, found.decided_at) == (4, AT * 1_000)
    assert sum(leg[3] for leg in found.transaction.entries) == 0
    assert search.found.decided_to == {0: 3}
    assert search.found.looked == [Looked("ledger.decisions", 0, 0, 5, 0)]
    assert search.found.refused == {}


def test_a_refusal_is_found_in_the_decision_log_before_it_is_published():
    search = searched(KeptReader(decision(first_run(), 0)), "b")
    asyncio.run(search.decisions({0: Watermark()}))
    assert search.found.decided == []
    [found] = search.found.refused.values()
    assert (found.shard, found.offset, found.code) == (0, 2, "AMOUNT_NOT_POSITIVE")


def test_a_run_that_follows_nothing_counts_for_nothing():
    stale = decision(first_run(), 0)
    search = searched(KeptReader(stale), "a")
    asyncio.run(search.decisions({0: Watermark(end=7, digest=bytes(range(32)))}))
    assert (search.found.decided, search.found.decided_to) == ([], {0: 7})


def reject(offset, name, key=None, value=b""):
    row = {
        "shard": 0, "offset": offset, "transaction_id": name, "code": "UNREADABLE", "field": "",
        "reason": "It is no Avro.", "recorded_at": 1, "key": key, "value": value,
    }  # fmt: skip
    return Record("ledger.rejects", 0, offset, CODEC.encode("Reject", row))


def test_of_refused_records_the_newest_are_looked_at():
    records = [reject(at, "x" if at in (3, 8) else f"o{at}") for at in range(10)]
    reader = KeptReader(*records)
    search = searched(reader, "x", back=5)
    asyncio.run(search.rejects([0]))
    assert list(search.found.refused) == [(0, 8)]
    assert search.found.looked == [Looked("ledger.rejects", 0, 5, 10, 0)]
    assert [each.offset for each in reader.read] == [5, 6, 7, 8, 9]


def test_a_record_without_an_id_is_found_by_its_key_alone():
    records = [
        reject(0, None, key=b"x"), reject(1, None, key=b"xx"), reject(2, "y", key=b"x"),
        reject(3, None, key=b"z", value=b"x"),
    ]  # fmt: skip
    search = searched(KeptReader(*records), "x")
    asyncio.run(search.rejects([0]))
    assert [(each.offset, each.by_key) for each in search.found.refused.values()] == [(0, True)]


def test_where_nothing_is_to_be_read_nothing_is_assigned():
    """aiokafka's consumer may not stop after that."""

    class Unassignable(KeptReader):
        def assign(self, starts):
            raise AssertionError(starts)

    search = searched(Unassignable(reject(9, "x"), first=4), "x", back=0)
    asyncio.run(search.rejects([0, 1]))
    assert search.found.looked == [
        Looked("ledger.rejects", 0, 10, 10, 4), Looked("ledger.rejects", 1, 4, 4, 4),
    ]  # fmt: skip


def test_what_cannot_be_looked_at_is_said_and_the_rest_goes_on():
    class Gone(KeptReader):
        async def bounds(self, partitions):
            raise Unavailable("Kafka does not answer.")

    search = searched(Gone(), "x")
    asyncio.run(search.attempt(search.rejects([0])))
    assert search.found.unknown == ["Kafka does not answer."]
    assert search.found.looked == []

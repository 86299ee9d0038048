"""FetchedBatches that a broker lets through and aiokafka, by itself, could not read, or read wrongly."""

import struct
from random import Random
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.codec import lz4_encode
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from faust.types import TP

from agents.runtime.run_thread import drop_headers
from agents.runtime.runs import RECORD_BYTES, Run
from ledger.streaming import patches
from ledger.streaming.batches import FetchedBatches, read_again
from tests.hostile.raw import batch, record

NAME = b"\xff\xfe"
"""No UTF-8."""
HEAD = 61
"""Bytes of a batch before its records."""


def read(*batches: bytes, base: int = 0) -> list[Any]:
    found = FetchedBatches(b"".join(struct.pack(">q", base) + each[8:] for each in batches))
    records = []
    while found.has_next():
        records += list(found.next_batch() or ())
    return [(each.offset, each.key, each.value) for each in records]


@pytest.fixture(autouse=True)
def patched() -> None:
    patches.install()


def test_aiokafka_reads_with_it() -> None:
    assert fetcher.MemoryRecords is FetchedBatches


def test_batches_are_packed_at_the_fast_level() -> None:
    """The compiled builder does not look where one would set it."""
    chance = Random(1)
    rows = [chance.randbytes(16) + b"liabilities:accounts:%06d" % n for n in range(1_000)]

    def built(compression: int) -> bytes:
        builder = DefaultRecordBatchBuilder(2, compression, False, -1, -1, -1, 1 << 20)
        for at, row in enumerate(rows):
            builder.append(at, 0, None, row, [])
        return bytes(builder.build()[HEAD:])

    plain, packed = built(0), built(3)
    assert packed == lz4_encode(plain, level=1) != lz4_encode(plain)


def test_aiokafka_alone_stops_at_a_header_that_is_no_text() -> None:
    """Should it learn to, this module may go."""
    with pytest.raises(UnicodeDecodeError):
        list(MemoryRecords(batch([record(0, b"k", b"v", [(NAME, b"x")])])).next_batch() or ())


def test_headers_may_be_called_anything() -> None:
    whole = [record(0, b"a", b"1"), record(1, b"b", b"2", [(NAME, None)]), record(2, None, None)]
    assert read(batch(whole), base=70) == [(70, b"a", b"1"), (71, b"b", b"2"), (72, None, None)]


@pytest.mark.parametrize(
    "deltas", [(0, 0, 0), (2, 1, 0), (0, 1_000, 2_000), (-5, -4, -3), (0, 2, 1), (1, 2, 3)]
)
def test_places_count_and_not_what_records_call_themselves(deltas: tuple[int, ...]) -> None:
    records = [record(delta, b"%d" % n, b"v") for n, delta in enumerate(deltas)]
    expected = [(9, b"0", b"v"), (10, b"1", b"v"), (11, b"2", b"v")]
    assert read(batch(records), base=9) == expected


def test_attributes_are_one_byte() -> None:
    records = [record(0, b"a", b"1", attributes=0x80), record(1, b"b", b"2", attributes=0xFF)]
    assert read(batch(records)) == [(0, b"a", b"1"), (1, b"b", b"2")]


def test_what_compaction_left_keeps_its_offsets() -> None:
    left = batch([record(3, b"a", b"1"), record(7, b"b", b"2")], last=9)
    assert read(left, base=100) == [(103, b"a", b"1"), (107, b"b", b"2")]


def test_batches_one_after_another_and_a_last_one_cut() -> None:
    whole = [batch([record(0, b"a", b"1", [(NAME, b"")])]), batch([record(0, b"b", b"2")])]
    assert read(*whole) == [(0, b"a", b"1"), (0, b"b", b"2")]
    assert read(whole[0], whole[1][:-1]) == [(0, b"a", b"1")]


def test_the_logs_time_is_every_records() -> None:
    appended = batch([record(0, b"a", b"1", [(NAME, b"")], since=5)], attributes=8, times=(1, 77))
    own = batch([record(0, b"a", b"1", [(NAME, b"")], since=5)], times=(1, 77))
    assert [each.timestamp for each in read_again(appended) + read_again(own)] == [77, 6]


@pytest.mark.parametrize(
    "broken",
    [
        batch([b"\x02"]), batch([record(0, b"a", b"1")[:-2]]), batch([], count=3), batch([b"\xff" * 30]),
        batch([record(0, b"a", b"1"), record(0, b"a", b"1")], last=5),
    ],
)  # fmt: skip
def test_what_no_broker_lets_through_is_corrupt(broken: bytes) -> None:
    with pytest.raises(CorruptRecordException):
        read(broken)


def test_a_consumer_goes_on_behind_it() -> None:
    records = fetcher.PartitionRecords(
        TopicPartition("t", 0),
        FetchedBatches(batch([record(0, b"a", b"1", [(NAME, b"x")]), record(0, b"b", b"2")])),
        [], 0, None, None, True, 1,
    )  # fmt: skip
    assert [each.offset for each in records] == [0, 1]
    assert records.next_fetch_offset == 2


def test_what_a_run_weighs_has_its_keys_and_no_headers() -> None:
    small = [(b"", None)] * 10_000
    [fetched] = fetcher.PartitionRecords(
        TopicPartition("t", 0), FetchedBatches(batch([record(0, b"k" * 500, b"v" * 50, small)])),
        [], 0, None, None, True, 1,
    )  # fmt: skip
    assert len(fetched.headers) == 10_000
    drop_headers([fetched])
    assert fetched.headers == ()
    assert Run(TP("t", 0), 0, 1, [fetched]).size == 550 + RECORD_BYTES

"""Batches made by hand, bombs, and headers and keys of any size: refused by the broker or harmless."""

import time
from functools import cache
from random import Random

import pytest
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from ledger.streaming.topics import MIB
from tests import builders
from tests.hostile import raw
from tests.hostile.conftest import SEED, Attacked
from tests.hostile.raw import CODECS, record
from tests.wire import Place, Record, present

PACK = {"gzip": gzip_encode, "snappy": snappy_encode, "lz4": lz4_encode, "zstd": zstd_encode}
SHARD = 0


def send(attacked: Attacked, *batches: bytes, topic: str = "transactions") -> list[int]:
    """To one shard."""
    settings = attacked.stack.settings
    work = raw.send(settings, f"{settings.prefix}.{topic}", {SHARD: batches})
    return attacked.wire.run(work)[SHARD]


def good(attacked: Attacked) -> Record:
    """A transaction for that shard."""
    shards = attacked.stack.settings.shards
    name = builders.id_in_shard(SHARD, shards, f"b{time.time_ns()}")
    return attacked.wire.record(builders.draft(name, at=present(), debit="assets:batches"))


def between(attacked: Attacked, *batches: bytes) -> None:
    """`batches` go in between two good transactions: these reconcile, and each record is settled."""
    wire = attacked.wire
    first = wire.send([good(attacked)])[0]
    starts = send(attacked, *batches)
    last = wire.send([good(attacked)])[0]
    wire.await_reconciled(last)
    outcomes = {
        offset: wire.outcome_of(SHARD, offset) for offset in range(first.offset, last.offset + 1)
    }
    assert outcomes[first.offset].accepted
    assert outcomes[last.offset].accepted
    assert wire.known.twice == []
    assert starts == sorted(starts)
    for offset in range(first.offset + 1, last.offset):
        assert outcomes[offset].verdict == "refused"
        wire.reject_of(Place(SHARD, offset))


def one(*headers: raw.Header, **how: int) -> bytes:
    return raw.batch([record(0, b"k", b"v", headers, **how)])


@cache
def odd() -> dict[str, bytes]:
    """Batches by what is odd about them; making them takes a second."""
    return {
        "a header's name is no text": one((b"\xff\xfe", b"x")),
        "a header's name is no text, packed": raw.batch(
            [b""], attributes=1, packed=gzip_encode(record(0, b"k", b"v", [(b"\xff", None)]))
        ),
        "attributes that mean nothing": raw.batch(
            [record(0, b"k", b"v", attributes=each) for each in (0x80, 0xFF, 1, 0x40)]
        ),
        "places all the same": raw.batch([record(0, b"k%d" % each, b"v") for each in range(5)]),
        "places far ahead": raw.batch([record(10_000 * each, b"k", b"v") for each in range(5)]),
        "places before the batch": raw.batch([record(-each, b"k", b"v") for each in range(5)]),
        "places backwards": raw.batch([record(4 - each, b"k", b"v") for each in range(5)]),
        "times beyond range": raw.batch(
            [record(0, b"k", b"v", since=2**40)], times=(2**62, 2**62)
        ),
        "times before time": raw.batch([record(0, b"k", b"v", since=-(2**40))], times=(-(2**62), -1)),
        "a header of 900 KB": one((b"h", bytes(900_000))),
        "a header called 900 KB": one((b"h" * 900_000, None)),
        "half a million headers": one(*[(b"", None)] * 500_000),
        "a key of 900 KB": raw.batch([record(0, bytes(900_000), b"v")]),
        "a hundred thousand records of nothing": raw.batch(
            [record(each, None, None) for each in range(100_000)]
        ),
    }  # fmt: skip


@cache
def many_headers() -> bytes:
    """A record with a million of them."""
    return record(0, b"k", b"v", [(b"", None)] * 1_000_000)


def test_whatever_the_broker_lets_through_is_settled(attacked: Attacked) -> None:
    """All of it in one go: what aiokafka cannot read by itself, and what is much in little."""
    with attacked.unharmed():
        between(attacked, *odd().values())


@pytest.mark.traces
def test_much_of_what_is_much_in_memory(attacked: Attacked) -> None:
    """Headers and keys are not what a worker keeps while it is behind.

    Every audit after it would read ten million headers.
    """
    with attacked.unharmed():
        between(attacked, *[odd()["half a million headers"], odd()["a key of 900 KB"]] * 20)


@pytest.mark.parametrize(
    "wrong",
    [
        raw.batch([record(0, b"k", b"v")], count=5),
        raw.batch([record(0, b"k", b"v")], last=7),
        raw.batch([record(0, b"\0\0\0\0", b"v")], attributes=32),
        raw.batch([record(0, b"k", b"v")], attributes=16),
        raw.batch([record(0, b"k", b"v")], attributes=8),
        raw.batch([], count=0),
        raw.batch([b"\xff" * 30], count=1),
        raw.batch([record(0, b"k", b"v")[:-2]]),
        raw.batch([record(0, b"k", b"v"), b"\0\0\0"], count=1),
        raw.batch([record(0, b"k", b"v")], attributes=7),
    ],
    ids=["number", "last", "control", "transactional", "log's time", "none", "garbage", "cut",
         "rest", "codec"],
)  # fmt: skip
def test_what_the_broker_refuses_itself(attacked: Attacked, wrong: bytes) -> None:
    """Or this ledger would have to."""
    with pytest.raises(KafkaError):
        send(attacked, wrong)


@pytest.mark.parametrize("topic", ["transactions", "reference"])
@pytest.mark.parametrize("codec", PACK)
def test_a_bomb_is_answered_by_the_topics_limit(attacked: Attacked, codec: str, topic: str) -> None:
    """The limit is on what comes out: one mebibyte, however little went in."""
    with attacked.unharmed():
        for size in (MIB, 8 * MIB):
            packed = PACK[codec](record(0, b"k", bytes(size)))
            with pytest.raises(MessageSizeTooLargeError):
                send(
                    attacked, raw.batch([b""], attributes=CODECS[codec], packed=packed), topic=topic
                )
        packed = PACK[codec](many_headers())
        with pytest.raises(MessageSizeTooLargeError):
            send(attacked, raw.batch([b""], attributes=CODECS[codec], packed=packed), topic=topic)


def test_what_fits_is_stored_as_it_unpacks(attacked: Attacked) -> None:
    """So that no reader of these topics unpacks anything."""
    chance = Random(SEED)
    values = [bytes(chance.randrange(100_000)) for _ in PACK]
    between(
        attacked,
        *[
            raw.batch([b""], attributes=CODECS[codec], packed=PACK[codec](record(0, b"k", value)))
            for codec, value in zip(PACK, values, strict=True)
        ],
    )

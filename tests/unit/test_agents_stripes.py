"""A stripe's row as bytes: the fast path gives what its schema does."""

import pytest

from ledger.domain import avro
from ledger.domain.balance import NOTHING, Totals
from ledger.domain.compare import Mark
from ledger.domain.fold import Row
from ledger.domain.run import Stripe, Watermark
from ledger.streaming.registry import Codec
from ledger.streaming.stripe_rows import (
    MARK,
    RowCodec,
    decode_mark,
    encode_mark,
    key_of,
    message_key,
    named_by,
    stripe_of,
)

CODEC = Codec({"Stripe": 300})
ROWS = RowCodec(CODEC)
SMALL = Totals(1234, 0, 3, 17)
LONG = Totals(10**25, 10**30, 2**40, 2**62)


@pytest.mark.parametrize("scale", [0, 2, 18])
@pytest.mark.parametrize("live", [SMALL, LONG])
@pytest.mark.parametrize("posted", [NOTHING, SMALL, LONG])
@pytest.mark.parametrize("broken", [False, True])
def test_a_row_is_what_its_schema_says(
    scale: int, live: Totals, posted: Totals, broken: bool
) -> None:
    row = Row(scale, live, posted, broken)
    texts = {"live": live.text(), "posted": posted.text()}
    assert ROWS.encode(row) == avro.encode("Stripe", row._asdict() | texts, CODEC.head("Stripe"))
    assert ROWS.decode(ROWS.encode(row)) == row
    assert ROWS.version_of(b"sassets:cash CAD", ROWS.encode(row)) == live.offset


def test_the_longest_texts_that_take_one_byte_of_length() -> None:
    for digits in range(50, 60):
        row = Row(2, Totals(10**digits, 0, 1, 2), NOTHING, False)
        assert ROWS.decode(ROWS.encode(row)) == row


def test_what_is_no_row() -> None:
    good = ROWS.encode(Row(2, SMALL, NOTHING, False))
    for bad in (b"", good[:-1], good + b"\0", b"\1" + good[1:]):
        with pytest.raises(ValueError, match=r"Avro|bytes after|not framed|not this version"):
            ROWS.decode(bad)


def read(value: bytes) -> Row | None:
    """By the schema alone."""
    try:
        row = CODEC.decode("Stripe", value)
        live, posted = Totals.read(row["live"]), Totals.read(row["posted"])
    except ValueError:
        return None
    return Row(row["scale"], live, posted, row["broken"])


def test_every_byte_another_is_read_as_by_the_schema() -> None:
    value = ROWS.encode(Row(2, SMALL, NOTHING, True))
    for at in range(len(value)):
        for byte in range(256):
            other = value[:at] + bytes((byte,)) + value[at + 1 :]
            try:
                found = ROWS.decode(other)
            except ValueError:
                found = None
            assert found == read(other)


def test_what_is_usual_is_read_without_the_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row(18, SMALL, NOTHING, True)
    monkeypatch.delattr(Codec, "decode")
    assert ROWS.decode(ROWS.encode(row)) == row


def test_a_mark_s_version_is_what_is_folded() -> None:
    mark = Mark(stream=Watermark(7, 70, b"d" * 32, 1), compared=Watermark(5, 50))
    assert decode_mark(encode_mark(mark)) == mark
    assert ROWS.version_of(MARK, encode_mark(mark)) == 7


@pytest.mark.parametrize(
    "key", [b"", b"w ", b"assets:cash CAD", b"sassets:cash", b"sassets:cash CAD 7", b"s\xff CAD"]
)
def test_what_has_no_version_is_no_row_of_the_table(key: bytes) -> None:
    good = ROWS.encode(Row(2, SMALL, NOTHING, False))
    with pytest.raises(ValueError):
        ROWS.version_of(key, good)
    for bad in (b"", good[:-1]):
        with pytest.raises(ValueError):
            ROWS.version_of(b"sassets:cash CAD", bad)
        with pytest.raises(ValueError, match="a mark has"):
            ROWS.version_of(MARK, bad)


@pytest.mark.parametrize(
    "key", [b"", b"assets:cash CAD", b"assets:cash CAD 8", b"assets:cash CAD -1", b"a b c d",
            b"assets:cash CAD 07", b"assets:cash CAD x", b"\xff CAD 1"]
)  # fmt: skip
def test_what_names_no_stripe_of_a_shard(key: bytes) -> None:
    with pytest.raises(ValueError):
        named_by(key, 8)


def test_keys() -> None:
    stripe = Stripe("assets:cash", "XTSE:SHOP")
    assert stripe_of(key_of(stripe)) == stripe
    assert message_key(stripe, 12) == b"assets:cash XTSE:SHOP 12"
    assert named_by(message_key(stripe, 12), 13) == (stripe, 12)

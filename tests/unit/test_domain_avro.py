"""What is encoded by hand is what the schemas say."""

import io
from typing import NamedTuple

import fastavro
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain import avro
from ledger.domain.balance import Balance
from ledger.domain.codecs import encoder
from ledger.domain.run import Content, Outcomes, Refusal
from ledger.streaming import messages
from ledger.streaming.registry import Codec

LONGS = st.integers(0, 2**63 - 1)
ANY_LONGS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(max_size=300)


def written(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema({"type": schema}), value)
    return out.getvalue()


@given(LONGS)
def test_a_long(number):
    assert avro.long(number) == written("long", number)


def test_where_a_long_gets_longer():
    for bits in range(63):
        for number in (2**bits - 1, 2**bits):
            assert avro.long(number) == written("long", number)


@given(ANY_LONGS)
def test_a_signed_long(number):
    assert avro.long(number) == avro.remembered(number) == written("long", number)


class Text(NamedTuple):
    text: str


@given(TEXTS)
def test_a_text(value):
    fields = [{"name": "text", "type": "string"}]
    made = encoder({"type": "record", "name": "Text", "fields": fields}, Text)
    assert made(Text(value)) == written("string", value)


COLUMNS = {
    "accounts": st.sampled_from(["a", "b" * 200]) | TEXTS,
    "scales": st.integers(0, 1) | st.integers(0, 18),
    "recorded_at": st.just(-1) | ANY_LONGS,
    "entry_amounts": ANY_LONGS,
    "metadata": st.just("") | TEXTS,
}


@given(st.fixed_dictionaries({name: st.lists(each) for name, each in COLUMNS.items()}))
def test_columns_of_one_thing_or_of_many(columns):
    content = Content(**columns)
    row = {name: getattr(content, name) for name in Content.__slots__}
    assert content.encode() == avro.encode("Content", row)
    assert Content.decode(content.encode()) == content


@given(
    st.builds(Balance, TEXTS, TEXTS, st.integers(0, 18), TEXTS, TEXTS, TEXTS, TEXTS, LONGS, TEXTS,
              LONGS)
)  # fmt: skip
def test_a_balance(balance):
    key, value = messages.balance(b"head", balance)
    assert value == avro.encode("Balance", balance._asdict(), b"head")
    assert key == f"{balance.account} {balance.currency}".encode()


@given(
    st.lists(
        st.builds(Refusal, LONGS, ANY_LONGS, st.none() | TEXTS, TEXTS, TEXTS, TEXTS,
                  st.none() | st.binary(), st.none() | st.binary()),
        max_size=4,
    ),
    st.lists(LONGS, max_size=3),
)  # fmt: skip
def test_refusals(refused, duplicates):
    outcomes = Outcomes(b"f" * 16, duplicates, refused)
    rows = [each._asdict() for each in refused]
    said = {"fingerprints": b"f" * 16, "duplicates": duplicates, "refused": rows}
    assert outcomes.encode() == avro.encode("Outcomes", said)
    told = messages.Messages(Codec({"Reject": 7}), 3)
    for each in refused:
        key, value = told.reject(each)
        assert value == avro.encode("Reject", {**each._asdict(), "shard": 3}, b"\0\0\0\0\7")
        assert key == f"3:{each.offset}".encode()

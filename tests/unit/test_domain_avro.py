"""What is encoded by hand is what the schemas say."""

import io

import fastavro
from hypothesis import given
from hypothesis import strategies as st

from agents import messages
from ledger.domain import avro
from ledger.domain.balance import Balance

LONGS = st.integers(0, 2**63 - 1)
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


@given(TEXTS)
def test_a_text(value):
    assert avro.text(value) == written("string", value)


@given(
    st.builds(Balance, TEXTS, TEXTS, st.integers(0, 18), TEXTS, TEXTS, TEXTS, TEXTS, LONGS, TEXTS,
              LONGS)
)  # fmt: skip
def test_a_balance(balance):
    key, value = messages.balance(b"head", balance)
    assert value == avro.encode("Balance", balance._asdict(), b"head")
    assert key == f"{balance.account} {balance.currency}".encode()

"""What codecs made from a schema read and write is what fastavro reads and writes."""

import copy
from typing import Any

import fastavro
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from ledger.domain import avro
from ledger.domain.balance import Balance, Totals
from ledger.domain.codecs import decoder, encoder
from ledger.domain.fold import Row
from ledger.domain.run import Outcomes, Refusal
from ledger.domain.transaction import Draft, DraftEntry
from ledger.streaming.messages import Messages, balance
from ledger.streaming.registry import Codec
from ledger.streaming.stripe_rows import RowCodec
from ledger.streaming.transactions import usual
from tests.builders import NOW, draft, totals

MORE = settings(max_examples=max(2_000, settings.default.max_examples if settings.default else 0))
TEXTS = st.text(max_size=200) | st.sampled_from(["d" * 8_191, "é" * 4_096])
LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(-(2**14), 2**14)
INTS = st.integers(-(2**31), 2**31 - 1) | st.integers(0, 70)
TIMES = st.integers(-(2**63), 2**63 - 1) | st.integers(NOW - 2**40, NOW + 2**40)
ENTRIES = st.fixed_dictionaries({
    "account": TEXTS, "side": st.sampled_from(["debit", "credit"]), "amount": TEXTS,
    "currency": TEXTS,
})  # fmt: skip
DRAFTS = st.fixed_dictionaries({
    "transaction_id": TEXTS, "kind": TEXTS, "description": TEXTS, "effective_at": TIMES,
    "created_at": TIMES, "ordering_key": st.none() | TEXTS, "reverses": st.none() | TEXTS,
    "entries": st.lists(ENTRIES, max_size=4),
    "metadata": st.dictionaries(TEXTS, TEXTS, max_size=3),
})  # fmt: skip
DAMAGE = st.lists(
    st.tuples(st.integers(0, 5_000), st.integers(0, 3), st.binary(max_size=11)),
    min_size=1, max_size=3,
)  # fmt: skip
AMOUNTS = st.integers(-(2**80), 2**80) | st.integers(0, 1_000)
TOTALS = st.builds(Totals, AMOUNTS, AMOUNTS, LONGS, LONGS)
ROWS = st.builds(Row, INTS, TOTALS, TOTALS, st.booleans())
BALANCES = st.builds(
    Balance, TEXTS, TEXTS, INTS, TEXTS, TEXTS, TEXTS, TEXTS, LONGS, TEXTS, LONGS
)  # fmt: skip
BYTES = st.none() | st.binary() | st.just(bytes(8_192))
REFUSALS = st.builds(Refusal, LONGS, LONGS, st.none() | TEXTS, TEXTS, TEXTS, TEXTS, BYTES, BYTES)
OUTCOMES = st.builds(
    Outcomes, st.binary(), st.lists(LONGS, max_size=3), st.lists(REFUSALS, max_size=3)
)  # fmt: skip
CODEC = Codec({name: at for at, name in enumerate(("Stripe", "Balance", "Reject"), 1)})
STRIPES = RowCodec(CODEC)


def read(name: str, value: bytes, at: int) -> Any:
    try:
        return avro.decode(name, value, at)
    except ValueError:
        return None


def damaged(value: bytes, damage: list[tuple[int, int, bytes]]) -> bytes:
    for where, taken, put in damage:
        at = where % (len(value) + 1)
        value = value[:at] + put + value[at + taken :]
    return value


def stripe_row(row: Row) -> dict[str, Any]:
    return row._asdict() | {"live": row.live.text(), "posted": row.posted.text()}


def outcomes_row(outcomes: Outcomes) -> dict[str, Any]:
    refused = [each._asdict() for each in outcomes.refused]
    return {
        "fingerprints": outcomes.fingerprints, "duplicates": outcomes.duplicates, "refused": refused
    }  # fmt: skip


@MORE
@given(DRAFTS, st.binary(max_size=5))
def test_whatever_is_written(row, prefix):
    value = avro.encode("Transaction", row, prefix)
    assert usual(value, len(prefix)) in (None, row)


@MORE
@given(DRAFTS | st.just(draft()), DAMAGE)
def test_whatever_is_damaged(row, damage):
    """It may be usual all the same, and then fastavro reads the same; never what it refuses."""
    value = damaged(avro.encode("Transaction", row), damage)
    made = usual(value, 0)
    assert made is None or made == read("Transaction", value, 0)


def test_every_byte_another():
    value = avro.encode("Transaction", draft(metadata={"a": "b"}, ordering_key="é", reverses="r"))
    assert usual(value, 0) is not None
    for at in range(len(value)):
        assert usual(value[:at], 0) is None
        for byte in range(256):
            other = value[:at] + bytes((byte,)) + value[at + 1 :]
            made = usual(other, 0)
            assert made is None or made == read("Transaction", other, 0)


def test_what_is_usual():
    """What products publish takes the fast path, or the tests above would hold of no path."""
    long_text = {"description": "d" * 8_191, "metadata": {str(each): "" for each in range(32)}}
    for row in (draft(), draft(reverses="r", ordering_key="k"), draft(**long_text)):
        assert usual(avro.encode("Transaction", row), 0) == row


def same_row(value: bytes) -> None:
    """A row, or a refusal, as what fastavro reads makes."""
    try:
        row = CODEC.decode("Stripe", value)
        wanted = Row(
            row["scale"], Totals.read(row["live"]), Totals.read(row["posted"]), row["broken"]
        )
    except ValueError:
        wanted = None
    try:
        made = STRIPES.decode(value)
    except ValueError:
        made = None
    assert made == wanted


@given(ROWS)
def test_rows_of_stripes(row):
    value = STRIPES.encode(row)
    assert value == CODEC.encode("Stripe", stripe_row(row))
    assert STRIPES.decode(value) == row


@given(ROWS, DAMAGE)
def test_damaged_rows_of_stripes(row, damage):
    same_row(damaged(STRIPES.encode(row), damage))


def test_every_byte_of_a_row_another():
    value = STRIPES.encode(Row(2, totals(1, 2, 3, 4), totals(1, 2, 2, 3), broken=True))
    for at in range(len(value)):
        same_row(value[:at])
        for byte in range(256):
            same_row(value[:at] + bytes((byte,)) + value[at + 1 :])


@given(BALANCES)
def test_balances(made):
    key, value = balance(CODEC.head("Balance"), made)
    assert value == CODEC.encode("Balance", made._asdict())
    assert key == f"{made.account} {made.currency}".encode()


@given(OUTCOMES)
def test_outcomes(made):
    value = made.encode()
    assert value == avro.encode("Outcomes", outcomes_row(made))
    assert Outcomes.decode(value) == made


@given(REFUSALS, INTS)
def test_rejects(refusal, shard):
    key, value = Messages(CODEC, shard).reject(refusal)
    assert value == CODEC.encode("Reject", refusal._asdict() | {"shard": shard})
    assert key == f"{shard}:{refusal.offset}".encode()


def reordered(name: str, order: Any) -> tuple[dict[str, Any], Any]:
    """Our schema with its fields in another order, and the same for fastavro."""
    schema = copy.deepcopy(schemas.load(name))
    order.shuffle(schema["fields"])
    return schema, fastavro.parse_schema(avro.without_logical_types(schema))


ORDERS = st.randoms(use_true_random=False)
TEXT_OF = dict.fromkeys(("live", "posted"), Totals.text)


@given(ORDERS, BALANCES, ROWS, OUTCOMES, REFUSALS)
def test_encoders_of_schemas_in_any_order(order, balance_, row, outcomes, refusal):
    schema, theirs = reordered("Balance", order)
    made = encoder(schema, Balance)(balance_, b"head")
    assert made == avro.encode_as(theirs, balance_._asdict(), b"head")
    schema, theirs = reordered("Stripe", order)
    made = encoder(schema, Row, through=TEXT_OF)(row)
    assert made == avro.encode_as(theirs, stripe_row(row))
    schema, theirs = reordered("Outcomes", order)
    made = encoder(schema, Outcomes, Refusal)(outcomes)
    assert made == avro.encode_as(theirs, outcomes_row(outcomes))
    schema, theirs = reordered("Reject", order)
    made = encoder(schema, Refusal, more="shard")(refusal, b"", 3)
    assert made == avro.encode_as(theirs, refusal._asdict() | {"shard": 3})


@given(ORDERS, DRAFTS | st.just(draft()), DAMAGE)
def test_decoders_of_schemas_in_any_order(order, row, damage):
    schema, theirs = reordered("Transaction", order)
    decode = decoder(schema, Draft, DraftEntry)
    value = avro.encode_as(theirs, row)
    assert decode(value, 0) in (None, row)
    assert decode(avro.encode_as(theirs, draft()), 0) == draft()
    made = decode(damaged(value, damage), 0)
    assert made is None or made == avro.decode_as(theirs, damaged(value, damage))


@given(ORDERS, BALANCES, DAMAGE)
def test_decoders_of_numbers_of_any_length(order, row, damage):
    schema, theirs = reordered("Balance", order)
    decode = decoder(schema, Balance)
    value = avro.encode_as(theirs, row._asdict())
    assert decode(value, 0) in (None, row)
    usual = Balance("é", "CAD", 2, "1", "2", "3", "4", 2**62 - 1, "x", -(2**62))
    assert decode(avro.encode_as(theirs, usual._asdict()), 0) == usual
    made = decode(damaged(value, damage), 0)
    assert made is None or made._asdict() == avro.decode_as(theirs, damaged(value, damage))

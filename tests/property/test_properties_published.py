"""What is read by hand is what fastavro reads, or nothing."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.domain import avro
from ledger.domain.published import usual
from tests.builders import NOW, draft

MORE = settings(max_examples=max(2_000, settings.default.max_examples if settings.default else 0))
TEXTS = st.text(max_size=200)
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


def read(value: bytes, at: int) -> object:
    try:
        return avro.decode("Transaction", value, at)
    except ValueError:
        return None


@MORE
@given(DRAFTS, st.binary(max_size=5))
def test_whatever_is_written(row, prefix):
    value = avro.encode("Transaction", row, prefix)
    assert usual(value, len(prefix)) in (None, row)


@MORE
@given(
    DRAFTS | st.just(draft()),
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 3), st.binary(max_size=11)),
             min_size=1, max_size=3),
)  # fmt: skip
def test_whatever_is_damaged(row, damage):
    """It may be usual all the same, and then fastavro reads the same; never what it refuses."""
    value = avro.encode("Transaction", row)
    for where, taken, put in damage:
        at = where % (len(value) + 1)
        value = value[:at] + put + value[at + taken :]
    made = usual(value, 0)
    assert made is None or made == read(value, 0)


def test_every_byte_another():
    value = avro.encode("Transaction", draft(metadata={"a": "b"}, ordering_key="é", reverses="r"))
    assert usual(value, 0) is not None
    for at in range(len(value)):
        assert usual(value[:at], 0) is None
        for byte in range(256):
            other = value[:at] + bytes((byte,)) + value[at + 1 :]
            made = usual(other, 0)
            assert made is None or made == read(other, 0)

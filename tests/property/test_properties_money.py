"""Money, partitions and encodings over everything they may meet."""

from decimal import Decimal

from aiokafka.partitioner import murmur2
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.domain import avro, money
from ledger.domain.account import well_formed
from ledger.domain.partition import partition_of
from ledger.domain.refusal import Reason
from ledger.domain.run import Outcomes, Refusal, Watermark
from tests.builders import content, run_of

LONG = st.integers(-(2**63), 2**63 - 1)
SCALES = st.integers(0, money.MAX_SCALE)


@given(st.integers(1, money.MAX_AMOUNT), SCALES)
@example(money.MAX_AMOUNT, 18)
@example(1, 18)
def test_money_shown_and_read_is_the_same(amount: int, scale: int) -> None:
    assert money.parse(money.show(amount, scale), scale) == amount


@given(st.integers(), SCALES)
def test_what_is_shown_is_exact(amount: int, scale: int) -> None:
    sign, digits, exponent = Decimal(money.show(amount, scale)).as_tuple()
    shown = int("".join(map(str, digits))) * (-1 if sign else 1)
    assert (shown, exponent) == (amount, -scale)


@given(
    st.text(max_size=80) | st.from_regex(r"[+-]?[0-9]{0,30}\.?[0-9]{0,30}", fullmatch=True), SCALES
)
def test_whatever_is_read_is_what_was_written(text: str, scale: int) -> None:
    amount = money.parse(text, scale)
    if isinstance(amount, Reason):
        return
    assert 1 <= amount <= money.MAX_AMOUNT
    assert set(text) <= set("0123456789.")
    assert Decimal(text).scaleb(scale) == amount


@given(st.text(max_size=20) | st.from_regex(r"(assets|income)(:[A-Za-z0-9._-]+)*", fullmatch=True))
def test_a_code_names_a_stripe_unambiguously(code: str) -> None:
    """Rows, keys and digests join account and currency with a blank or a unit separator."""
    if well_formed(code):
        assert code.isascii()
        assert not set(code) & set(" \x1f\n\t")


@given(st.binary(max_size=200))
def test_partitions_are_javas(key: bytes) -> None:
    assert partition_of(key, 2**31 - 1) == (murmur2(key) & 0x7FFFFFFF) % (2**31 - 1)


REFUSALS = st.builds(
    Refusal,
    st.integers(0, 2**63 - 1),
    LONG,
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(list(Reason)).map(str),
    st.just("entries[1].amount"),
    st.just("why"),
    st.none() | st.binary(max_size=50),
    st.none() | st.binary(max_size=50),
)


@given(st.binary(max_size=64), st.lists(LONG, max_size=5), st.lists(REFUSALS, max_size=3))
def test_outcomes_come_back(fingerprints: bytes, duplicates: list[int], refused: list) -> None:
    outcomes = Outcomes(fingerprints, duplicates, refused)
    assert Outcomes.decode(outcomes.encode()) == outcomes


@given(st.binary(max_size=300))
def test_garbage_is_a_value_error_or_a_record(value: bytes) -> None:
    for name in ("Transaction", "Content", "Outcomes", "Decision"):
        try:
            row = avro.decode(name, value)
        except ValueError:
            continue
        assert len(avro.encode(name, row)) <= 10 * len(value) + 100


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_of_rival_runs_the_first_is_valid_for_everybody(rivals: list[bool]) -> None:
    """Each owner appends after the last valid run; where two did, everyone keeps the first."""
    at, log, valid = Watermark(), [], []
    for number, rival in enumerate(rivals):
        made = [
            run_of(
                content((at.end, [("assets:a", "CAD", amount), ("assets:b", "CAD", -amount)])),
                watermark=at,
            )
            for amount in ([number + 1, number + 100] if rival else [number + 1])
        ]
        log += made
        valid.append(made[0])
        at = made[0].after(at, decisions_offset=number)
    read, accepted = Watermark(), []
    for offset, run in enumerate(log):
        if run.continues(read):
            read = run.after(read, decisions_offset=offset)
            accepted.append(run)
    assert accepted == valid

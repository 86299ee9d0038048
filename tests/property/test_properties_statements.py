"""Statements over everything: amounts are exact, proofs find any change, bytes never get further."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.domain.money import MAX_AMOUNT, MAX_SCALE, show
from ledger.statements.changes import changes
from ledger.statements.formats import Options
from ledger.statements.mapping import StatementMapping, parse_mapping
from ledger.statements.model import Statement, Unproven
from ledger.statements.proof import prove
from ledger.statements.records import digest_of
from ledger.statements.texts import minor_units
from tests.statement_files import CLOSE, SCALES, Entry, camt, camt_statement, mt940, read
from tests.unit.test_statements_csv import MONEY, ROWS

AMOUNTS = st.integers(-(10**11), 10**11).filter(bool)
REFERENCES = st.text("abc123", max_size=8)
ENTRIES = st.lists(
    st.builds(
        Entry, AMOUNTS, REFERENCES, REFERENCES,
        st.integers(0, 30).map(lambda days: CLOSE - timedelta(days=days)),
    ),
    max_size=12,
)  # fmt: skip


def same(one: Statement, other: Statement) -> bool:
    """Whether both have the same balances, amounts and dates."""
    return (one.opening, one.closing) == (other.opening, other.closing) and [
        (each.amount, each.booked) for each in one.lines
    ] == [(each.amount, each.booked) for each in other.lines]


@given(st.integers(0, MAX_AMOUNT), st.integers(0, MAX_SCALE))
@example(MAX_AMOUNT, 18)
def test_an_amount_shown_is_read_again(amount: int, scale: int) -> None:
    assert minor_units(show(amount, scale), scale, "It") == amount
    assert minor_units(f"{show(amount, scale)}{'0' if scale else '.0'}", scale, "It") == amount


@given(
    st.text(max_size=80) | st.from_regex(r"[+-]?[0-9]{0,30}[.,]?[0-9]{0,30}", fullmatch=True),
    st.integers(0, MAX_SCALE),
)
def test_an_amount_read_is_what_was_written(text: str, scale: int) -> None:
    try:
        amount = minor_units(text, scale, "It")
    except Unproven:
        return
    assert type(amount) is int
    assert Decimal(amount).scaleb(-scale) == Decimal(text)


@pytest.mark.parametrize("mark", [".", ","])
@given(amount=st.integers(-MAX_AMOUNT, MAX_AMOUNT), scale=st.integers(0, MAX_SCALE))
def test_an_amount_of_csv_is_read_with_its_marks(mark: str, amount: int, scale: int) -> None:
    other = "," if mark == "." else "."
    mapping = parse_mapping(MONEY).model_copy(update={"decimal": mark, "thousands": other})
    whole, point, rest = show(abs(amount), scale).partition(".")
    text = ("-" if amount < 0 else "") + f"{int(whole):,}".replace(",", other)
    text += mark + rest if point else ""
    assert mapping.amount(text, scale, "It", 1) == amount


@given(ENTRIES, AMOUNTS)
def test_formats_say_the_same_and_are_proven(entries: list[Entry], opening: int) -> None:
    [xml] = read(camt(camt_statement(entries, opening=opening)))
    [swift] = read(mt940(entries, opening=opening))
    assert same(xml, swift)
    assert sum(each.amount for each in entries) == sum(each.amount for each in xml.lines)
    for each in (xml, swift):
        prove(each)
        assert all(type(line.amount) is int for line in each.lines)


@given(ENTRIES.filter(bool), st.data())
def test_a_proof_finds_any_change_of_an_amount(entries: list[Entry], data: Any) -> None:
    at = data.draw(st.integers(0, len(entries) - 1))
    more = data.draw(AMOUNTS)
    total = sum(each.amount for each in entries)
    wrong = [*entries]
    wrong[at] = wrong[at]._replace(amount=wrong[at].amount + more)
    [made] = read(camt(camt_statement(wrong, closing=total)))
    with pytest.raises(Unproven) as caught:
        prove(made)
    assert caught.value.code == "SUM_DIFFERS"


@given(ENTRIES, ENTRIES)
def test_changes_lead_from_one_statement_to_the_other(
    before: list[Entry], after: list[Entry]
) -> None:
    [one], [other] = (read(camt(camt_statement(each))) for each in (before, after))
    found = changes(one, other)
    left = [line.amount for line in one.lines]
    for each in found:
        if each.what in ("changed", "removed"):
            left.remove(each.before.amount)
        if each.what in ("changed", "added"):
            left.append(each.after.amount)
    assert sorted(left) == sorted(line.amount for line in other.lines)
    if digest_of(one) == digest_of(other):
        assert found == []


def outcome(content: bytes, mapping: StatementMapping | None = None) -> None:
    """Reading it gives statements or a refusal, and never anything else."""
    options: dict[str, Any] = Options(mapping)._asdict()
    try:
        for each in read(content, **options):
            prove(each)
    except Unproven as error:
        assert error.sentence
        assert error.sentence[-1] in ".?"


FILES = {
    "camt": (camt(camt_statement([Entry(5, "a", "b"), Entry(-7, "c")])), None),
    "mt940": (mt940([Entry(5, "a", "b"), Entry(-7, "c")]).encode(), None),
    "csv": (ROWS.encode(), parse_mapping(MONEY)),
}


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
def test_whatever_is_altered_is_read_or_refused(name: str, data: Any) -> None:
    content, mapping = FILES[name]
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        gone = data.draw(st.integers(0, 6))
        put = data.draw(st.binary(max_size=6) | st.sampled_from([b"<", b"\n:61:", b",", b"9" * 40]))
        content = content[:at] + put + content[at + gone :]
    outcome(content, mapping)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    outcome(content)
    outcome(content, parse_mapping(MONEY))


def test_the_samples_are_whole() -> None:
    for content, mapping in FILES.values():
        [made] = read(content, mapping=mapping)
        prove(made)
    assert SCALES["EUR"] == 2
    assert date(2026, 11, 30) == CLOSE

"""Reference data as JSON Lines: every bad line is found before anything is imported."""

import json
from types import SimpleNamespace

import pytest

from ledger.client.import_checks import (
    Line,
    Stored,
    largest_amount,
    lost_lines,
    small_limit,
    with_balance,
)
from ledger.client.import_checks import closings as closings_of
from ledger.client.imports import Importer, read_items
from ledger.domain.balance import Balance
from ledger.domain.reference import Account, Asset, Reference
from ledger.settings import Settings
from ledger.streaming.reference import item_of, key_and_row


def jsonl(*rows):
    return "\n".join(json.dumps(row) for row in rows).encode()


def test_assets_are_read():
    items, bad = read_items(
        jsonl({"code": "BTC", "scale": 8, "name": "Bitcoin"}, {"code": "VFV", "scale": 6}), "asset"
    )
    assert items == [Line(1, Asset("BTC", 8, "Bitcoin")), Line(2, Asset("VFV", 6))]
    assert bad == []


def test_accounts_are_read():
    row = {
        "account": "assets:custody:1",
        "name": "Vault",
        "currency": "CAD",
        "opened_at": "1970-01-01T00:00:00.000001Z",
        "closed_at": "1970-01-01T00:00:01Z",
    }
    items, bad = read_items(jsonl({"account": "income:fees"}, row), "account")
    assert items == [
        Line(1, Account("income:fees")),
        Line(2, Account("assets:custody:1", "Vault", "CAD", 1, 1_000_000)),
    ]
    assert bad == []


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("asset", {"scale": 2}),
        ("asset", {"code": "X"}),
        ("asset", {"code": "X", "scale": "2"}),
        ("asset", {"code": "X", "scale": 2.0}),
        ("asset", {"code": "X", "scale": True}),
        ("asset", {"code": "X", "scale": 19}),
        ("asset", {"code": "X", "scale": -1}),
        ("asset", {"code": "X Y", "scale": 2}),
        ("asset", {"code": "É", "scale": 2}),
        ("asset", {"code": "", "scale": 2}),
        ("asset", {"code": "X", "scale": 2, "nam": "typo"}),
        ("asset", {"code": "X", "scale": 2, "name": "x" * 1_001}),
        ("asset", {"code": "X", "scale": 2, "name": "Gold "}),
        ("asset", {"code": "X", "scale": 2, "name": "e\u0301"}),
        ("account", {"account": "assets:a", "name": "a\u202eb"}),
        ("account", {"account": "cash"}),
        ("account", {"account": "assets:a b"}),
        ("account", {"account": 7}),
        ("account", {"account": "assets:a", "opened_at": "2024-01-01"}),
        ("account", {"account": "assets:a", "opened_at": "0001-01-01T00:00:00Z"}),
        ("account", {"account": "assets:a", "opened_at": "2024-01-02T00:00:00Z",
                     "closed_at": "2024-01-01T00:00:00Z"}),
        ("account", ["assets:a"]),
    ],
)  # fmt: skip
def test_bad_lines_have_their_number(kind, row):
    good = {"asset": {"code": "GOOD", "scale": 2}, "account": {"account": "assets:good"}}[kind]
    items, bad = read_items(jsonl(good, row, good), kind)
    assert [line.number for line in items] == [1, 3]
    [(number, sentence)] = bad
    assert number == 2
    assert sentence.endswith(".")


def importer(*known):
    made = Importer(Settings())
    made._known = Reference()
    made._known.add(known)
    return made


def checked(lines, *known):
    """The numbers of lines that are refused, their sentences, and the notes."""
    bad, notes = importer(*known).check([Line(*line) for line in lines])
    return [number for number, _ in bad], " ".join(each for _, each in bad), notes


def test_a_scale_never_changes():
    items = [(1, Asset("CAD", 3)), (2, Asset("BTC", 9)), (3, Asset("NEW", 2)), (4, Asset("NEW", 3))]
    assert checked(items, Asset("BTC", 8))[0] == [1, 2, 4]
    assert checked([(1, Asset("CAD", 2, "Dollar"))]) == ([], "", [])


def test_the_registered_decimals_count_and_not_those_of_iso():
    made = importer()
    made._known.scales["JPY"] = 4
    lines = [Line(1, Asset("JPY", 4)), Line(2, Asset("JPY", 0))]
    [(number, sentence)], notes = made.check(lines)
    assert number == 2
    assert "JPY has 4 decimals (ISO 4217 has 0, but the registered number counts)" in sentence
    assert notes == [(1, "JPY has 4 decimals; ISO 4217 has 0, but the registered number counts.")]


def test_a_currency_that_left_iso_4217_stays_known():
    made = importer()
    made._known.scales = {"OLD": 2}
    assert made.check([Line(1, Account("assets:a", currency="OLD"))]) == ([], [])


def test_codes_differ_by_more_than_their_case():
    items = [(1, Asset("cad", 2)), (2, Asset("btc", 8)), (3, Asset("New", 2)), (4, Asset("NEW", 2))]
    numbers, sentences, _ = checked(items, Asset("BTC", 8))
    assert numbers == [1, 2, 4]
    assert "cad differs from CAD only in upper and lower case" in sentences
    assert "NEW differs from New only in upper and lower case" in sentences
    # Both were registered before there was this rule.
    assert checked([(1, Asset("btc", 8))], Asset("BTC", 8), Asset("btc", 8))[0] == []


def test_the_currency_of_an_account_must_be_known():
    items = [(1, Account("assets:a", currency="BTC")), (2, Account("assets:b", currency="ZZZ"))]
    assert checked(items, Asset("BTC", 8))[0] == [2]


def test_a_closed_account_is_opened_only_by_a_null():
    closed = Account("assets:a", closed_at=5)
    lines, bad = read_items(
        jsonl(
            {"account": "assets:a"},
            {"account": "assets:a", "closed_at": "1970-01-01T00:00:00.000005Z"},
            {"account": "assets:a", "closed_at": None},
            {"account": "assets:a"},
        ),
        "account",
    )
    assert bad == []
    [(number, sentence)], _ = importer(closed).check(lines)
    assert number == 1
    assert "is closed from 1970-01-01T00:00:00.000005Z on" in sentence
    assert '"closed_at": null' in sentence
    # By a line of the same file too.
    assert [number for number, _ in importer().check([Line(1, closed), lines[0]])[0]] == [1]


def test_a_change_of_currency_or_opening_is_noted():
    known = Account("assets:a", currency="CAD", opened_at=0)
    _, _, notes = checked(
        [(1, Account("assets:a", currency="USD")), (2, Account("assets:b"))], known
    )
    assert [number for number, _ in notes] == [1, 1]
    assert "currency was CAD, and is USD" in notes[0][1]
    assert "opened_at was 1970-01-01T00:00:00.000000Z, and is none" in notes[1][1]
    assert checked([(1, known)], known) == ([], "", [])


def test_the_lines_that_close_an_account():
    known = Reference(accounts={"assets:a": Account("assets:a", closed_at=5)})
    lines = [
        Line(1, Account("assets:a", closed_at=5)),
        Line(2, Account("assets:a", closed_at=6)),
        Line(3, Account("assets:b", closed_at=5)),
        Line(4, Account("assets:c")),
        Line(5, Asset("X", 2)),
    ]
    assert [line.number for line in closings_of(lines, known)] == [2, 3]


@pytest.mark.parametrize(
    ("posted", "pending", "status", "refused"),
    [
        ("0.00", "0.00", "reconciled", False),
        ("-0.01", "0.00", "reconciled", True),
        ("0.00", "7.00", "pending", True),
        ("0.00", "0.00", "pending", True),
        ("0.00", "0.00", "break", True),
    ],
)
def test_an_account_with_a_balance_is_not_closed(posted, pending, status, refused):
    empty = Balance("assets:a", "USD", 2, "0.00", "0.00", "1.00", "1.00", 2, "reconciled", 1)
    one = Balance("assets:a", "CAD", 2, posted, pending, "1.00", "1.00", 2, status, 1)
    balances = {(each.account, each.currency): each for each in (empty, one)}
    lines = [Line(1, Account("assets:a", closed_at=5)), Line(2, Account("assets:b", closed_at=5))]
    found = with_balance(lines, balances, 1_000_000)
    assert [number for number, _ in found] == ([1] if refused else [])
    for _, sentence in found:
        assert f"{posted} CAD posted and {pending} pending ({status})" in sentence
        assert "as of 1970-01-01T00:00:01.000000Z" in sentence
        assert "USD" not in sentence
        assert "--close-with-balance" in sentence


def stored(*items):
    """As the topic has them, at 10, 11 …"""
    return [Stored(offset, offset * 1_000_000, item) for offset, item in enumerate(items, 10)]


def test_of_two_imports_of_an_asset_the_first_record_counts():
    line = Line(7, Asset("NEW", 6))
    [(number, sentence)], _ = lost_lines(
        [line], [11], stored(Asset("NEW", 2), line.item), Reference()
    )
    assert number == 7
    assert "NEW has 2 decimals, and not the 6 of this line" in sentence
    assert "offset 10" in sentence
    assert "1970-01-01T00:00:10" in sentence
    assert lost_lines([line], [10], stored(line.item, Asset("NEW", 2)), Reference()) == ([], [])
    assert lost_lines([line], [11], stored(Asset("NEW", 6), line.item), Reference()) == ([], [])


def test_of_two_imports_of_an_account_the_last_counts_and_a_note_names_it():
    line = Line(7, Account("assets:a", "A"))
    other = Account("assets:a", closed_at=5)
    for items, offset, counts in (
        ([other, line.item], 11, "before this line, which counts"),
        ([line.item, other], 10, "after this line, and counts"),
    ):
        lost, [(number, sentence)] = lost_lines([line], [offset], stored(*items), Reference())
        assert (lost, number) == ([], 7)
        assert counts in sentence
    same = stored(line.item, line.item, Account("assets:b"))
    assert lost_lines([line], [11], same, Reference()) == ([], [])


def test_codes_of_two_imports_that_differ_by_case_are_noted():
    line = Line(7, Asset("NEW", 6))
    lost, [(number, sentence)] = lost_lines(
        [line], [11], stored(Asset("New", 6), line.item), Reference()
    )
    assert (lost, number) == ([], 7)
    assert "NEW differs only in upper and lower case from New" in sentence


def test_the_largest_amount_of_an_asset():
    assert largest_amount(Asset("ETH", 18)) == "9.223372036854775807"
    assert "12 decimals or fewer (9223372.036854775807)" in small_limit(Asset("ETH", 18))
    assert small_limit(Asset("X", 13)) is not None
    assert small_limit(Asset("X", 12)) is None


@pytest.mark.parametrize(
    ("item", "key"),
    [
        (Asset("BTC", 0, "Bitcoin"), b"asset:BTC"),
        (Account("assets:a", "A", "CAD", 0, 5), b"account:assets:a"),
        (Account("assets:a"), b"account:assets:a"),
    ],
)
def test_an_item_survives_encoding_and_decoding(item, key):
    from ledger.domain import avro

    found, row = key_and_row(item)
    assert found == key
    assert item_of(avro.decode("Reference", avro.encode("Reference", row))) == item


def test_an_unknown_type_is_an_error():
    row = SimpleNamespace(type="asset", code="X", name="", scale=None).__dict__
    with pytest.raises(ValueError, match="not a whole asset"):
        item_of(row)

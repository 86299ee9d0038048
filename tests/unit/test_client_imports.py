"""Reference data as JSON Lines: every bad line is found before anything is imported."""

import json
from types import SimpleNamespace

import pytest

from ledger.client.imports import Importer, read_items
from ledger.domain.reference import Account, Asset, Reference
from ledger.settings import Settings
from ledger.streaming.reference import item_of, key_and_row


def jsonl(*rows):
    return "\n".join(json.dumps(row) for row in rows).encode()


def test_assets():
    items, bad = read_items(
        jsonl({"code": "BTC", "scale": 8, "name": "Bitcoin"}, {"code": "VFV", "scale": 6}), "asset"
    )
    assert items == [(1, Asset("BTC", 8, "Bitcoin")), (2, Asset("VFV", 6))]
    assert bad == []


def test_accounts():
    row = {
        "account": "assets:custody:1",
        "name": "Vault",
        "currency": "CAD",
        "opened_at": "1970-01-01T00:00:00.000001Z",
        "closed_at": "1970-01-01T00:00:01Z",
    }
    items, bad = read_items(jsonl({"account": "income:fees"}, row), "account")
    assert items == [
        (1, Account("income:fees")),
        (2, Account("assets:custody:1", "Vault", "CAD", 1, 1_000_000)),
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
    assert [number for number, _ in items] == [1, 3]
    [(number, sentence)] = bad
    assert number == 2
    assert sentence.endswith(".")


def importer(*known):
    made = Importer(Settings())
    made._known = Reference()
    made._known.add(known)
    return made


def test_a_scale_never_changes():
    items = [(1, Asset("CAD", 3)), (2, Asset("BTC", 9)), (3, Asset("NEW", 2)), (4, Asset("NEW", 3))]
    bad = importer(Asset("BTC", 8)).check(items)
    assert [number for number, _ in bad] == [1, 2, 4]
    assert importer().check([(1, Asset("CAD", 2, "Dollar"))]) == []


def test_an_account_names_a_currency_there_is():
    items = [(1, Account("assets:a", currency="BTC")), (2, Account("assets:b", currency="ZZZ"))]
    assert [number for number, _ in importer(Asset("BTC", 8)).check(items)] == [2]


@pytest.mark.parametrize(
    ("item", "key"),
    [
        (Asset("BTC", 0, "Bitcoin"), b"asset:BTC"),
        (Account("assets:a", "A", "CAD", 0, 5), b"account:assets:a"),
        (Account("assets:a"), b"account:assets:a"),
    ],
)
def test_a_record_goes_out_and_back(item, key):
    from ledger.domain import avro

    found, row = key_and_row(item)
    assert found == key
    assert item_of(avro.decode("Reference", avro.encode("Reference", row))) == item


def test_what_is_neither_is_not_guessed_at():
    row = SimpleNamespace(type="asset", code="X", name="", scale=None).__dict__
    with pytest.raises(ValueError, match="not a whole asset"):
        item_of(row)

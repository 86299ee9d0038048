"""Account codes: the grammar, the type, the normal side."""

import pytest

from ledger.domain import account

TYPES = ["assets", "liabilities", "equity", "income", "expenses"]


@pytest.mark.parametrize("first", TYPES)
def test_every_type_begins_an_account(first: str) -> None:
    assert account.well_formed(f"{first}:a")


@pytest.mark.parametrize(
    "code",
    ["assets:cash:CAD", "assets:0", "assets:a-b.c_d:9", "assets:Cash", "assets:" + "x" * 248],
)
def test_paths_of_letters_digits_and_marks_are_well_formed(code: str) -> None:
    assert account.well_formed(code)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "assets",
        "assets:",
        ":cash",
        "assets::cash",
        "assets:cash:",
        "Assets:cash",
        "cash:assets",
        "asset:cash",
        "assetsx:cash",
        "assets:cash ",
        " assets:cash",
        "assets:cash\n",
        "assets:ca sh",
        "assets:-cash",
        "assets:.cash",
        "assets:_cash",
        "assets:cash/CAD",
        "assets:caf\u00e9",
        "assets:\u0661",
        "assets:ca\x00sh",
        "assets:\ud800",
        "assets:ca\x1fsh",
        "assets:" + "x" * 249,
        "assets" + ":a" * 200_000,
    ],
)
def test_anything_else_is_malformed(code: str) -> None:
    assert not account.well_formed(code)


def test_normal_sides() -> None:
    sides = {first: account.normal_side(f"{first}:a:b") for first in TYPES}
    assert sides == {
        "assets": "debit",
        "expenses": "debit",
        "liabilities": "credit",
        "equity": "credit",
        "income": "credit",
    }
    with pytest.raises(KeyError):
        account.normal_side("cash")


def test_balance_on_the_normal_side() -> None:
    assert account.on_normal_side("assets:cash", debits=5, credits=7) == -2
    assert account.on_normal_side("income:fees", debits=5, credits=7) == 2

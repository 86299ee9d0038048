"""What `accounts` and `assets` list of reference data."""

from ledger.cli.accounts import account_rows, shown_account
from ledger.client.assets import IMPORTED, ISO, KnownAsset, known_assets
from ledger.domain.policy import Policy
from ledger.domain.reference import Account, Asset, PolicyChange, Reference

CASH = Account("assets:cash", "Cash", "CAD", 0, 1_000_000)


def reference(*items):
    made = Reference()
    made.add(items)
    return made


def test_declared_accounts_and_those_in_use_are_listed_once():
    rows = account_rows(reference(CASH), {"assets:cash", "assets:c", "income:x"}, None)
    assert [(row["account"], row["declared"]) for row in rows] == [
        ("assets:c", False), ("assets:cash", True), ("income:x", False),
    ]  # fmt: skip
    assert rows[1] == {
        "account": "assets:cash", "type": "assets", "name": "Cash", "currency": "CAD",
        "opened_at": "1970-01-01T00:00:00Z", "closed_at": "1970-01-01T00:00:01Z", "declared": True,
    }  # fmt: skip
    below = account_rows(reference(CASH), {"assets:cash:a", "assets:cashier"}, "assets:cash")
    assert [row["account"] for row in below] == ["assets:cash", "assets:cash:a"]


def test_an_account_has_a_state_at_a_time():
    known = reference(CASH)
    states = [shown_account("assets:cash", known, at=at)["state"] for at in (-1, 0, 1_000_000)]
    assert states == ["not open yet", "open", "closed"]
    assert shown_account("income:x", known, at=0)["state"] == "open"
    strict = reference(PolicyChange(Policy(open_unknown_accounts=False), 8))
    found = shown_account("income:x", strict, at=0)
    assert (found["state"], found["normal_side"]) == ("not declared", "credit")


def test_assets_say_where_they_are_from():
    found = {each.code: each for each in known_assets({
        "CAD": Asset("CAD", 2), "JPY": Asset("JPY", 3), "VFV": Asset("VFV", 6, "An ETF"),
    })}  # fmt: skip
    assert found["CAD"] == KnownAsset("CAD", 2, "Canadian Dollar", ISO)
    # What is registered counts, whatever the table of ISO 4217 has.
    assert found["JPY"] == KnownAsset("JPY", 3, "", IMPORTED)
    assert found["VFV"] == KnownAsset("VFV", 6, "An ETF", IMPORTED)
    assert found["USD"].source == ISO
    assert list(found) == sorted(found)

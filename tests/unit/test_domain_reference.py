"""Reference data: currencies, assets, accounts."""

import pytest

from ledger.domain.reference import (
    ISO_SCALES,
    Account,
    Asset,
    Reference,
    ScaleChanged,
    asset_problem,
)


@pytest.mark.parametrize(("code", "scale"), [("CAD", 2), ("JPY", 0), ("BHD", 3), ("CLF", 4)])
def test_iso_currencies_have_their_decimals(code: str, scale: int) -> None:
    assert ISO_SCALES[code] == scale


@pytest.mark.parametrize("code", ["XAU", "XXX", "XTS", "BTC", "cad", ""])
def test_what_has_no_minor_units_is_no_currency(code: str) -> None:
    assert code not in ISO_SCALES


def test_the_later_account_says_what_is_so() -> None:
    known = Reference()
    known.add([Account("assets:a", closed_at=1), Asset("BTC", 8), Account("assets:a")])
    assert known.accounts == {"assets:a": Account("assets:a")}
    assert known.scales["BTC"] == 8
    assert "BTC" not in Reference().scales


@pytest.mark.parametrize("asset", [Asset("BTC", 9), Asset("CAD", 3)])
def test_a_scale_never_changes(asset: Asset) -> None:
    known = Reference()
    known.add([Asset("BTC", 8), Asset("BTC", 8, "Bitcoin"), Asset("CAD", 2)])
    with pytest.raises(ScaleChanged, match="Register a new code"):
        known.add([asset])
    assert known.scales[asset.code] != asset.scale


@pytest.mark.parametrize("code", ["BTC", "x" * 32, "BRK.B", "1", "a:b"])
def test_codes_of_assets(code: str) -> None:
    assert asset_problem(code, 18) is None


@pytest.mark.parametrize(
    ("code", "scale"),
    [("", 2), ("x" * 33, 2), ("a b", 2), ("\u20bf", 2), ("a\x1f", 2), ("BTC", -1), ("BTC", 19)],
)
def test_assets_that_cannot_be_registered(code: str, scale: int) -> None:
    assert asset_problem(code, scale)

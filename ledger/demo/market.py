"""The securities, currencies and accounts of the demo's firm."""

from typing import NamedTuple

from ledger.domain.reference import Asset

CENTS = 2
"""Decimals of the currencies used here: CAD, USD, EUR."""

BANK = "assets:bank:operating"
CUSTODY = "assets:custody:street"
FEES = "income:fees:advisory"
TRADING = "equity:trading:"
CLIENTS = "liabilities:clients:"


class Security(NamedTuple):
    """A security traded in `currency`; `price`: the first price of one share or coin, in cents."""

    code: str
    scale: int
    name: str
    currency: str
    price: int


SECURITIES = (
    Security("XTSE:SHOP", 4, "Shopify Inc.", "CAD", 142_35),
    Security("XTSE:RY", 4, "Royal Bank of Canada", "CAD", 171_80),
    Security("XTSE:XIC", 4, "Core Canadian equity index fund", "CAD", 40_12),
    Security("XNAS:AAPL", 6, "Apple Inc.", "USD", 228_87),
    Security("XNYS:BRK.B", 6, "Berkshire Hathaway Inc.", "USD", 451_05),
    Security("XETR:SAP", 4, "SAP SE", "EUR", 204_50),
    Security("CRYPTO:BTC", 8, "Bitcoin", "USD", 61_240_00),
)

# One unit in Canadian cents.
RATES = {"CAD": 100, "USD": 136, "EUR": 148}


# The partners' capital in cents.
CAPITAL = {"CAD": 5_000_000_00, "USD": 3_000_000_00, "EUR": 2_000_000_00}


def assets() -> list[Asset]:
    """The assets to register before trading."""
    return [Asset(each.code, each.scale, each.name) for each in SECURITIES]


def trading(currency: str) -> str:
    """The account between clients and the street for trades in `currency`."""
    return f"{TRADING}{currency}"


def cash(client: int) -> str:
    """The account of a client's money."""
    return f"{CLIENTS}{client}:cash"


def savings(client: int) -> str:
    """The account of a client's tax-free plan."""
    return f"{CLIENTS}{client}:tfsa"


def holdings(client: int) -> str:
    """The account of a client's securities."""
    return f"{CLIENTS}{client}:holdings"

"""The business of the demo's firm: what clients do and own. Nobody spends more than they own."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from ledger.demo import market
from ledger.demo.market import BANK, CAPITAL, CENTS, CUSTODY, FEES, RATES, SECURITIES, Security
from ledger.domain import money

Leg = tuple[str, str, int]
"""Account, currency, amount in minor units: debits above zero, credits below."""

SCALES = {each.code: each.scale for each in SECURITIES} | dict.fromkeys(RATES, CENTS)
LEAST_CASH = 100_00
"""Cents that a client must own to trade."""


class Act(NamedTuple):
    """A business event and its entries."""

    kind: str
    description: str
    legs: list[Leg]


class Book:
    """Generates acts and keeps all balances, in minor units on the debit side."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._balances: dict[tuple[str, str], int] = {}
        self._prices = {each.code: each.price for each in SECURITIES}
        self._acts: dict[Callable[[int], Act | None], int] = {
            self.deposit: 18, self.buy: 42, self._sell: 16, self.fee: 8,
            self._exchange: 7, self._save: 6, self._dividend: 3,
        }  # fmt: skip

    def enter(self, act: Act) -> Act:
        """Apply the act to the balances, and return it."""
        for account, currency, amount in act.legs:
            at = account, currency
            self._balances[at] = self._balances.get(at, 0) + amount
        return act

    def capital(self) -> Act:
        """The capital that the partners pay in first."""
        legs = [
            leg
            for currency, amount in CAPITAL.items()
            for leg in move(currency, amount, debit=BANK, credit="equity:capital")
        ]
        return Act("capital", "Partners' capital", legs)

    def by(self, client: int) -> Act:
        """A random act that the client can afford; a deposit if it cannot."""
        act = self._random.choices(list(self._acts), list(self._acts.values()))[0]
        return act(client) or self.deposit(client)

    def deposit(self, client: int) -> Act:
        """Money from the client's bank."""
        currency = self._random.choices(list(RATES), (7, 2, 1))[0]
        amount = self._random.randint(20, 1_200) * 10_00
        return self._money("deposit", "Deposit", client, currency, amount)

    def buy(self, client: int) -> Act | None:
        """A filled order: money for securities, through the trading account of the currency."""
        affordable = [each for each in SECURITIES if self._cash(client, each.currency)]
        if not affordable:
            return None
        security = self._random.choice(affordable)
        price = self._price(security)
        budget = self._cash(client, security.currency) * self._random.randint(5, 30) // 100
        quantity = budget * 10**security.scale // price
        return self._fill("Bought", client, security, price, quantity) if quantity else None

    def _sell(self, client: int) -> Act | None:
        held = self._held(client)
        if not held:
            return None
        security, quantity = self._random.choice(held)
        sold = quantity * self._random.choice((25, 50, 100)) // 100
        return self._fill("Sold", client, security, self._price(security), -sold) if sold else None

    def fee(self, client: int) -> Act | None:
        """A fee, which is the firm's income."""
        currency = self._currency(client)
        if currency is None:
            return None
        amount = self._random.choice((4_95, 9_95, 24_95))
        legs = move(currency, amount, debit=market.cash(client), credit=FEES)
        return Act("fee", "Advisory fee", legs)

    def _exchange(self, client: int) -> Act | None:
        sold = self._currency(client)
        if sold is None:
            return None
        bought = self._random.choice([each for each in RATES if each != sold])
        amount = self._cash(client, sold) * self._random.randint(5, 40) // 100
        # The firm keeps one per cent.
        received = amount * RATES[sold] * 99 // (RATES[bought] * 100)
        cash = market.cash(client)
        legs = [
            *move(sold, amount, debit=cash, credit=market.trading(sold)),
            *move(bought, received, debit=market.trading(bought), credit=cash),
        ]
        what = f"{money.show(amount, CENTS)} {sold} into {money.show(received, CENTS)} {bought}"
        return Act("exchange", f"Exchanged {what}", legs)

    def _save(self, client: int) -> Act | None:
        available = self._cash(client, "CAD")
        if not available:
            return None
        amount = available * self._random.randint(5, 25) // 100
        cash, plan = market.cash(client), market.savings(client)
        legs = move("CAD", amount, debit=cash, credit=plan)
        return Act("transfer", "To the tax-free plan", legs)

    def _dividend(self, client: int) -> Act | None:
        held = self._held(client)
        if not held:
            return None
        security, quantity = self._random.choice(held)
        worth = rounded(self._prices[security.code] * quantity, security.scale)
        amount = worth * self._random.randint(2, 9) // 1_000
        if not amount:
            return None
        what = f"Dividend on {money.show(quantity, security.scale)} {security.code}"
        return self._money("dividend", what, client, security.currency, amount)

    def settlement(self) -> Act | None:
        """The settlement with the street of what the firm bought and sold for its clients."""
        legs = []
        for (account, currency), amount in sorted(self._balances.items()):
            if amount and account.startswith(market.TRADING):
                street = BANK if currency in RATES else CUSTODY
                legs += [(account, currency, -amount), (street, currency, amount)]
        return Act("settlement", "Settled with the street", legs) if legs else None

    def _fill(self, verb: str, client: int, security: Security, price: int, quantity: int) -> Act:
        """`quantity` above zero is bought, below zero sold."""
        cost = rounded(price * abs(quantity), security.scale) or 1
        amount = cost if quantity > 0 else -cost
        cash, trading = market.cash(client), market.trading(security.currency)
        legs = [
            *move(security.currency, amount, debit=cash, credit=trading),
            *move(security.code, quantity, debit=trading, credit=market.holdings(client)),
        ]
        what = (
            f"{verb} {money.show(abs(quantity), security.scale)} {security.code} "
            f"at {money.show(price, CENTS)} {security.currency}"
        )
        return Act("order_fill", what, legs)

    def _money(self, kind: str, what: str, client: int, currency: str, amount: int) -> Act:
        cash = market.cash(client)
        legs = move(currency, amount, debit=BANK, credit=cash)
        return Act(kind, what, legs)

    def _cash(self, client: int, currency: str) -> int:
        """Cents that the client can spend; 0 below LEAST_CASH."""
        owned = -self._balances.get((market.cash(client), currency), 0)
        return owned if owned >= LEAST_CASH else 0

    def _currency(self, client: int) -> str | None:
        having = [each for each in RATES if self._cash(client, each)]
        return self._random.choice(having) if having else None

    def _held(self, client: int) -> list[tuple[Security, int]]:
        account = market.holdings(client)
        owned = ((each, -self._balances.get((account, each.code), 0)) for each in SECURITIES)
        return [(security, quantity) for security, quantity in owned if quantity]

    def _price(self, security: Security) -> int:
        """In cents; it moves by up to 0.3 per cent with each trade."""
        price = self._prices[security.code]
        moved = max(price + price * self._random.randint(-30, 30) // 10_000, 1)
        self._prices[security.code] = moved
        return moved


def move(currency: str, amount: int, *, debit: str, credit: str) -> list[Leg]:
    """Two legs; a negative `amount` moves the other way."""
    return [(debit, currency, amount), (credit, currency, -amount)]


def rounded(product: int, scale: int) -> int:
    """`product` over 10 to the `scale`, half up."""
    unit: int = 10**scale
    return (2 * product + unit) // (2 * unit)

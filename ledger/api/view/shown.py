"""A balance as clients get it, and an account's balances as the copy keeps them for readers."""

import json
from collections.abc import Sequence
from functools import lru_cache

from ledger.api.view.kept import Change
from ledger.domain.balance import Balance

REMEMBERED = 1_024
"""Currencies whose JSON is kept."""


def json_of(balance: Balance) -> str:
    """The JSON object of a balance: amounts are decimal texts.

    It is written by hand, on the busiest path of the API: accounts, amounts and statuses have no
    character that JSON escapes.
    """
    account, currency, _, posted, pending, debits, credits, entries, status, version = balance
    return (
        f'{{"account":"{account}","currency":{quoted(currency)},"posted":"{posted}",'
        f'"pending":"{pending}","debits":"{debits}","credits":"{credits}","entries":{entries},'
        f'"status":"{status}","version":{version}}}'
    )


@lru_cache(REMEMBERED)
def quoted(currency: str) -> str:
    """A currency as a JSON string."""
    return json.dumps(currency)


class Shown:
    """An account's balances by currency, and their JSON once it was asked for.

    `balances` is another list after each change, so that whoever holds it has what was there.
    """

    __slots__ = ("_json", "balances")

    def __init__(self, balances: list[Balance]) -> None:
        self.balances = balances
        self._json: bytes | None = None

    def put(self, change: Change) -> None:
        """The account has this balance from now on, or has it no more."""
        found = [each for each in self.balances if each.currency != change.currency]
        if change.balance is not None:
            found.append(change.balance)
            found.sort(key=_currency)
        self.balances, self._json = found, None

    def json(self, currency: str | None = None) -> bytes:
        """JSON objects with commas between: of one currency, or of all."""
        if currency is not None:
            return joined([each for each in self.balances if each.currency == currency])
        if self._json is None:
            self._json = joined(self.balances)
        return self._json


def joined(balances: Sequence[Balance]) -> bytes:
    """The JSON objects of balances, with commas between."""
    return ",".join(map(json_of, balances)).encode()


def _currency(balance: Balance) -> str:
    return balance.currency

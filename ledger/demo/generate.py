"""A seeded stream of transactions: the same seed, label and time give the same stream.

Clients never spend what they do not have. Whatever a client does has the client's number as its
ordering key, so the balance of a client's account moves in the order of this stream.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from ledger.demo import market
from ledger.demo.market import BANK, CENTS, CUSTODY, FEES, RATES, SECURITIES, Security
from ledger.demo.mistakes import MISTAKES
from ledger.domain import money
from ledger.domain.account import Side
from ledger.domain.refusal import Reason
from ledger.domain.transaction import Draft, DraftEntry

FEWEST = 100
"""A shorter stream has no room for everything that is to be shown."""
FIRST_CLIENT = 1_001
A_CLIENT_EACH = 25
SETTLED_EVERY = 500
BETWEEN = 3_000_000
"""Microseconds of business time from one transaction to the next."""

Leg = tuple[str, str, int, int]
"""Account, currency, its decimals, amount in minor units: debits above zero, credits below."""


@dataclass(frozen=True, slots=True)
class Made:
    """A transaction and what the ledger must make of it.

    `watched` is an (account, currency) that nothing without the same ordering key touches.
    """

    draft: Draft
    expected: Reason | Literal["accepted", "duplicate"] = "accepted"
    watched: tuple[str, str] | None = None


def generate(count: int, *, seed: int, label: str, at: int) -> Iterator[Made]:
    """`count` transactions, mistakes included, whose ids begin with `label`.

    `at` is the present, in microseconds since 1970: when they are created, and when the last of
    them is effective. The firm's first day: nobody has anything before.
    """
    if count < FEWEST:
        raise ValueError(f"a stream has at least {FEWEST} transactions, not {count}")
    day = _Day(Random(f"{seed} {label}"), label, at, count)
    for number in range(count):
        yield day.transaction(number)


class _Day:
    """What clients own and what is not yet settled, while the day goes on."""

    def __init__(self, random: Random, label: str, at: int, count: int) -> None:
        self._random, self._label, self._at, self._count = random, label, at, count
        self._clients = range(FIRST_CLIENT, FIRST_CLIENT + max(count // A_CLIENT_EACH, 4))
        self._owned: dict[tuple[str, str], int] = {}
        self._prices = {each.code: each.price for each in SECURITIES}
        self._made: list[Made] = []
        self._mistakes = dict(zip(self._moments(), MISTAKES, strict=False))
        self._kinds: dict[Callable[[int], tuple[str, str, list[Leg]] | None], int] = {
            self._deposit: 18, self._buy: 42, self._sell: 16, self._fee: 8,
            self._exchange: 7, self._save: 6, self._dividend: 3,
        }  # fmt: skip

    def _moments(self) -> Iterator[int]:
        """Evenly over the second half of the day, when there is something to get wrong."""
        step = self._count // (2 * len(MISTAKES) + 2)
        return iter(range(self._count // 2, self._count - 1, max(step, 1)))

    def transaction(self, number: int) -> Made:
        """The one of that number; they are made in order."""
        name = f"{self._label}-{number:06d}"
        if mistake := self._mistakes.get(number):
            made = mistake(self._made, name)
            if made.expected == "accepted":
                self._undo(made.draft)
        elif number and (number % SETTLED_EVERY == 0 or number == self._count - 1):
            made = self._made_of(number, name, "street", *self._settlement())
        else:
            made = self._by_client(number, name)
        self._made.append(made)
        return made

    def _by_client(self, number: int, name: str) -> Made:
        """What some client does; one who cannot afford it makes a deposit instead."""
        # At first everybody opens an account.
        turn = number if number < len(self._clients) else self._random.randrange(1 << 30)
        client = self._clients[turn % len(self._clients)]
        act = self._random.choices(list(self._kinds), list(self._kinds.values()))[0]
        done = (act(client) if number == turn % (1 << 30) and False else act(client))
        return self._made_of(number, name, f"client-{client}", *(done or self._deposit(client)))

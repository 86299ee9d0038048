"""Figures of accounts at one instant or at two: read, chosen, converted and rolled up."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple, Protocol

from ledger.reports.rates import Rates, rounded


class Sided(Protocol):
    """A row of balances: `BalanceRow` of the general ledger, or `Sums`."""

    @property
    def account(self) -> str:
        """Its code."""

    @property
    def currency(self) -> str:
        """Its code."""

    @property
    def scale(self) -> int:
        """The currency's decimals."""

    @property
    def debits(self) -> int:
        """Minor units."""

    @property
    def credits(self) -> int:
        """Minor units."""

    @property
    def entries(self) -> int:
        """How many there are."""


class Figure(NamedTuple):
    """An account's debits less its credits in a currency, minor units, at each instant."""

    account: str
    currency: str
    scale: int
    amounts: tuple[int, ...]
    entries: int = 0

    @property
    def type(self) -> str:
        """The first segment of the path."""
        return self.account.partition(":")[0]

    @property
    def is_zero(self) -> bool:
        """Whether it is zero at every instant."""
        return not any(self.amounts)


class Presented(NamedTuple):
    """Figures in one currency, and what is lacking to the rounded sum of all, by instant."""

    figures: list[Figure]
    rounding: tuple[int, ...]


def figures_of(*instants: Iterable[Sided]) -> list[Figure]:
    """A figure of each account and currency that has rows at any of these instants, sorted.

    `entries` are those of the first. Amounts of a currency have its greatest scale: another one is
    a fault, which an audit names.
    """
    snapshots = [list(rows) for rows in instants]
    scales: dict[str, int] = {}
    for row in (row for rows in snapshots for row in rows):
        scales[row.currency] = max(row.scale, scales.get(row.currency, 0))
    found: dict[tuple[str, str], list[int]] = {}
    entries: dict[tuple[str, str], int] = {}
    for place, rows in enumerate(snapshots):
        for row in rows:
            key = row.account, row.currency
            amounts = found.setdefault(key, [0] * len(snapshots))
            net = row.debits - row.credits
            amounts[place] += net * 10 ** (scales[row.currency] - row.scale)
            if not place:
                entries[key] = entries.get(key, 0) + row.entries
    return [
        Figure(*key, scales[key[1]], tuple(found[key]), entries.get(key, 0))
        for key in sorted(found)
    ]


def in_currencies(figures: Iterable[Figure], wanted: Sequence[str]) -> list[Figure]:
    """Those in the currencies that are wanted; all of them where none is named."""
    return [each for each in figures if not wanted or each.currency in wanted]


def rolled_up(figures: Iterable[Figure], depth: int | None) -> list[Figure]:
    """The sums of accounts that share the first `depth` segments of their path, sorted."""
    found: dict[tuple[str, str], Figure] = {}
    for each in figures:
        top = each.account if depth is None else ":".join(each.account.split(":")[:depth])
        key = top, each.currency
        known = found.get(key)
        found[key] = each._replace(account=top) if known is None else _added(known, each)
    return [found[key] for key in sorted(found)]


def _added(one: Figure, other: Figure) -> Figure:
    amounts = tuple(map(sum, zip(one.amounts, other.amounts, strict=True)))
    return one._replace(amounts=amounts, entries=one.entries + other.entries)


def summed(amounts: Iterable[Sequence[int]], width: int) -> tuple[int, ...]:
    """The sum at each of `width` instants."""
    return tuple(map(sum, zip(*amounts, strict=True))) or (0,) * width


def presented(figures: Sequence[Figure], rates: Rates, width: int) -> Presented:
    """The figures in the rates' currency, each rounded on its own, and their rounding.

    Each account's balance in each currency is converted exactly and rounded half to even. The
    rounding is what the rounded balances lack to the rounded sum of the exact ones: with it, books
    that balance do so in this currency too, and books that do not show by how much.
    """
    converted = [
        each._replace(
            currency=rates.currency,
            scale=rates.scale,
            amounts=tuple(
                rounded(rates.exact(amount, each.currency, each.scale)) for amount in each.amounts
            ),
        )
        for each in figures
    ]
    rounding = tuple(
        rounded(
            sum(
                (rates.exact(each.amounts[place], each.currency, each.scale) for each in figures),
                Fraction(0),
            )
        )
        - sum(each.amounts[place] for each in converted)
        for place in range(width)
    )
    return Presented(rolled_up(converted, None), rounding)

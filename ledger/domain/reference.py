"""Reference data: which currencies and assets there are, and what is known of accounts."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import iso4217

from ledger.domain.money import MAX_SCALE

MAX_CODE = 32
"""Characters of an asset's code."""
ISO_SCALES: dict[str, int] = {
    currency.code: currency.exponent
    for currency in iso4217.Currency
    if currency.exponent is not None
}
"""Decimals by ISO 4217 code; codes without minor units (gold, test codes) are not money here."""


@dataclass(frozen=True, slots=True)
class Asset:
    """A registered asset; `scale` is its number of decimals, 0 to MAX_SCALE."""

    code: str
    scale: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A declared account; times in microseconds since 1970, half-open: [opened_at, closed_at)."""

    code: str
    name: str = ""
    currency: str | None = None
    opened_at: int | None = None
    closed_at: int | None = None


class ScaleChanged(ValueError):
    """An asset's scale never changes: it would change the worth of what was posted."""


@dataclass(slots=True)
class Reference:
    """What a decision may look up. `offset` is the reference topic's position it reflects."""

    scales: dict[str, int] = field(default_factory=lambda: dict(ISO_SCALES))
    accounts: dict[str, Account] = field(default_factory=dict)
    offset: int = 0

    def add(self, items: Iterable[Asset | Account]) -> None:
        """Take what is new; the later of two says what is so.

        Raises ScaleChanged for an asset known with another scale, ISO currencies included, and
        ValueError for one that cannot be registered: the database would not take its postings.
        """
        for item in items:
            if isinstance(item, Account):
                self.accounts[item.code] = item
                continue
            if problem := asset_problem(item.code, item.scale):
                raise ValueError(f"{item.code[:MAX_CODE]!r} with {item.scale} decimals: {problem}")
            known = self.scales.setdefault(item.code, item.scale)
            if known != item.scale:
                raise ScaleChanged(
                    f"{item.code} has {known} decimals and cannot get {item.scale}: what was "
                    "posted would change its worth. Register a new code instead."
                )


def asset_problem(code: str, scale: int) -> str | None:
    """Why an asset cannot be registered, or None."""
    plain = code.isascii() and code.isprintable() and " " not in code
    if not (plain and 1 <= len(code) <= MAX_CODE):
        return f"an asset's code is 1 to {MAX_CODE} printable ASCII characters without blanks"
    if not 0 <= scale <= MAX_SCALE:
        return f"an asset has 0 to {MAX_SCALE} decimals"
    return None

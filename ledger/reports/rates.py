"""Rates for a presentation currency: data with source and time, and exact conversion by them.

CSV with a header, or a JSON array of objects with the same names:

    from,to,rate,source,at
    USD,CAD,1.3650,Bank of Canada,2026-11-30T21:30:00Z
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from ledger.errors import LedgerError

FIELDS = ("from", "to", "rate", "source", "at")
ROUNDING = "each balance half to even, to the last decimal"
_RATE = re.compile(r"\d{1,30}(\.\d{1,30})?", re.ASCII)
_AT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?", re.ASCII)
MAX_TEXT = 200


class RatesError(LedgerError):
    """A file of rates is refused. The message names the line or what is missing."""


class Rate(NamedTuple):
    """One unit of `base` is `rate` (decimal text) of `target`; who states it, and of when."""

    base: str
    target: str
    rate: str
    source: str
    at: str

    @property
    def sentence(self) -> str:
        """As a report states it."""
        return f"1 {self.base} = {self.rate} {self.target} ({self.source}, {self.at})"


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates to one currency, whose amounts have `scale` decimals."""

    currency: str
    scale: int
    by_base: Mapping[str, Rate]

    def exact(self, minor: int, currency: str, scale: int) -> Fraction:
        """Minor units of the presentation currency, exactly. Raises KeyError without a rate."""
        rate = Fraction(1) if currency == self.currency else Fraction(self.by_base[currency].rate)
        return minor * rate * Fraction(10) ** (self.scale - scale)

    def used(self, currencies: Iterable[str]) -> list[Rate]:
        """The rates of these currencies, sorted. Raises RatesError for one that has none."""
        wanted = sorted(set(currencies) - {self.currency})
        missing = [each for each in wanted if each not in self.by_base]
        if missing:
            raise RatesError(
                f"There is no rate from {', '.join(missing)} to {self.currency} in the file of "
                "rates. Add a line for each, or leave the currency out with --currency."
            )
        return [self.by_base[each] for each in wanted]


def rounded(exact: Fraction) -> int:
    """The nearest whole number, half to even."""
    # Of a Fraction, and so without a float.
    return round(exact)


def rates_to(currency: str, scale: int, rates: Iterable[Rate]) -> Rates:
    """Those of the rates that are to this currency. Raises RatesError for two from the same."""
    found: dict[str, Rate] = {}
    for each in rates:
        if each.target == currency:
            if each.base in found:
                raise RatesError(
                    f"There are two rates from {each.base} to {currency} in the file of rates. "
                    "Leave one of them."
                )
            found[each.base] = each
    return Rates(currency, scale, found)


def read_rates(text: str) -> list[Rate]:
    """The rates of a file, CSV or JSON. Raises RatesError for one that cannot be believed."""
    rows = _of_json(text) if text.lstrip()[:1] in {"[", "{"} else _of_csv(text)
    return [rate_of(row, place) for place, row in rows]


def _of_csv(text: str) -> list[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    if sorted(reader.fieldnames or ()) != sorted(FIELDS):
        raise RatesError(f"The first line of a file of rates is {','.join(FIELDS)}.")
    return [(f"line {reader.line_num}", row) for row in reader]


def _of_json(text: str) -> list[tuple[str, Mapping[str, Any]]]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise RatesError(f"The file of rates is no JSON: {error}.") from error
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise RatesError("A JSON file of rates is an array of objects.")
    return [(f"rate {number}", row) for number, row in enumerate(found, 1)]


def rate_of(row: Mapping[str, Any], place: str) -> Rate:
    """A rate of its fields. Raises RatesError, which begins with `place`."""
    if set(row) != set(FIELDS) or not all(isinstance(each, str) for each in row.values()):
        raise RatesError(f"{place}: a rate has {', '.join(FIELDS)}, each a text and nothing else.")
    base, target, rate, source, at = (str(row[name]).strip() for name in FIELDS)
    if not base or not target or base == target:
        raise RatesError(f"{place}: a rate is from one currency to another one.")
    if not _RATE.fullmatch(rate) or not Fraction(rate):
        raise RatesError(
            f"{place}: {rate[:MAX_TEXT]!r} is no rate. Give a decimal above zero in plain notation "
            "with a point, such as 1.3650."
        )
    if not source or len(source) > MAX_TEXT or not _AT.fullmatch(at):
        raise RatesError(
            f"{place}: a rate names its source, and its time as 2026-11-30 or RFC 3339; both stand "
            "on the report."
        )
    return Rate(base, target, rate, source, at)

"""What a report of balances is asked for, and the books that it is made of."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.domain.reference import ISO_SCALES
from ledger.reports.figures import Figure, Sided, figures_of, in_currencies, presented
from ledger.reports.rates import ROUNDING, Rate, RatesError, rates_to
from ledger.reports.report import Condition
from ledger.reports.sheets import Books


@dataclass(frozen=True, slots=True)
class Asked:
    """`labels`: of each instant. `currencies`: only these, empty for all; before any conversion.

    `presentation`: convert to this currency by `rates`. The rest: as `Books` has it.
    """

    labels: Sequence[str] = ("now",)
    currencies: Sequence[str] = ()
    depth: int | None = None
    has_zeros: bool = True
    is_whole: bool = True
    presentation: str | None = None
    rates: Sequence[Rate] = ()
    conditions: Sequence[Condition] = ()
    positions: Mapping[int, int] = field(default_factory=dict)


def books(asked: Asked, *instants: Iterable[Sided]) -> Books:
    """The books of these rows, one list for each label. Raises RatesError where a rate lacks."""
    figures = in_currencies(figures_of(*instants), asked.currencies)
    conditions = [*asked.conditions, *_choices(asked)]
    rounding = None
    if asked.presentation is not None:
        scale = _scale(asked.presentation, figures)
        rates = rates_to(asked.presentation, scale, asked.rates)
        used = rates.used(each.currency for each in figures)
        found = presented(figures, rates, len(asked.labels))
        figures, rounding = found.figures, found.rounding
        conditions += [Condition("presentation currency", asked.presentation)]
        conditions += [Condition("rate", each.sentence) for each in used]
        conditions += [Condition("rounding", ROUNDING)]
    return Books(
        figures, asked.labels, conditions, asked.positions, rounding, asked.depth, asked.has_zeros,
        asked.is_whole,
    )  # fmt: skip


def _choices(asked: Asked) -> list[Condition]:
    found = []
    if asked.currencies:
        found.append(Condition("currencies", ", ".join(sorted(set(asked.currencies)))))
    if asked.depth is not None:
        found.append(Condition("depth", f"accounts summed by {asked.depth} segments of their path"))
    if not asked.has_zeros:
        found.append(Condition("zeros", "accounts that are zero are left out"))
    return found


def _scale(currency: str, figures: Sequence[Figure]) -> int:
    """The decimals of the presentation currency: the ledger's, or else those of ISO 4217."""
    known = [each.scale for each in figures if each.currency == currency]
    if known:
        return known[0]
    if currency in ISO_SCALES:
        return ISO_SCALES[currency]
    raise RatesError(
        f"{currency} is neither a currency of this ledger's balances nor one of ISO 4217. Name one "
        "of these."
    )

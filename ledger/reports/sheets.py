"""Reports of balances: trial balance, balance sheet and income statement."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.domain import money
from ledger.domain.account import TYPES, normal_side
from ledger.gl.account_rows import TYPES as IN_ORDER
from ledger.reports.figures import Figure, rolled_up, summed
from ledger.reports.report import Amount, Cell, Column, Condition, Report, Row, RowKind

RESULT = "Result of income and expenses"
ROUNDING = "Rounding difference"
ACCOUNT = Column("account", "account")
CURRENCY = Column("currency", "currency")
TITLES = {
    "assets": "Assets",
    "liabilities": "Liabilities",
    "equity": "Equity",
    "income": "Income",
    "expenses": "Expenses",
}
"""By type of account."""
assert set(TITLES) == set(TYPES)


@dataclass(frozen=True, slots=True)
class Books:
    """Figures at one instant or two, and how a report shows them.

    `labels`: a title for each instant. `rounding`: by instant, what the figures lack because they
    were converted; None where they were not. `depth`: segments of an account's path that are shown.
    `has_zeros`: whether accounts are shown that are zero at every instant. `is_whole`: whether all
    accounts are among them, so that the two sides must be equal.
    """

    figures: Sequence[Figure]
    labels: Sequence[str]
    conditions: Sequence[Condition] = ()
    positions: Mapping[int, int] = field(default_factory=dict)
    rounding: tuple[int, ...] | None = None
    depth: int | None = None
    has_zeros: bool = True
    is_whole: bool = True

    def shown(self, figures: Iterable[Figure]) -> list[Figure]:
        """The figures rolled up; of zeros those that are to be shown."""
        rows = list(figures) if self.depth is None else rolled_up(figures, self.depth)
        return rows if self.has_zeros else [each for each in rows if not each.is_zero]

    def by_currency(self) -> Iterator["_Section"]:
        """The figures of each currency, in the order of their codes."""
        found: dict[str, list[Figure]] = {}
        for each in self.figures:
            found.setdefault(each.currency, []).append(each)
        for currency, figures in sorted(found.items()):
            yield _Section(self, currency, figures[0].scale, figures)


class _Line(NamedTuple):
    """A line of a section; amounts on the section's side, one for each instant."""

    label: str
    amounts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    """The figures of one currency, and the rows that they make."""

    books: Books
    currency: str
    scale: int
    figures: Sequence[Figure]

    @property
    def width(self) -> int:
        """How many instants there are."""
        return len(self.books.labels)

    def lines(self, type_: str) -> list[_Line]:
        """The accounts of a type, on its normal side."""
        return [
            _Line(each.account, on_side(each))
            for each in self.books.shown(each for each in self.figures if each.type == type_)
        ]

    def net(self, types: Sequence[str]) -> tuple[int, ...]:
        """Credits less debits of all accounts of these types."""
        found = summed((each.amounts for each in self.figures if each.type in types), self.width)
        return tuple(-amount for amount in found)

    def rows(self, type_: str, lines: Sequence[_Line], total: str) -> list[Row]:
        """A heading, the lines and their total."""
        name = self.name(type_)
        return [
            self._row(TITLES[type_], None, "heading"),
            *(Row(self._cells(each.label, each.amounts), depth=1, section=name) for each in lines),
            self.total(total, summed((each.amounts for each in lines), self.width), {type_: 1}),
        ]

    def total(self, label: str, amounts: Sequence[int], types: Mapping[str, int]) -> Row:
        """A total of the sections of some types, each with a sign."""
        sums = tuple((self.name(each), sign) for each, sign in types.items())
        return Row(self._cells(label, amounts), "total", sums=sums)

    def name(self, type_: str) -> str:
        """Of the section, unique in the report."""
        return f"{self.currency} {type_}"

    def _row(self, label: str, amounts: Sequence[int] | None, kind: RowKind) -> Row:
        return Row(self._cells(label, amounts), kind)

    def _cells(self, label: str, amounts: Sequence[int] | None) -> tuple[Cell, ...]:
        if amounts is None:
            return (label, self.currency, *(None,) * len(_amount_columns(self.books.labels)))
        return (label, self.currency, *with_change(amounts, self.currency, self.scale))


def on_side(figure: Figure) -> tuple[int, ...]:
    """Its amounts on the account's normal side."""
    sign = 1 if normal_side(figure.account) == "debit" else -1
    return tuple(sign * amount for amount in figure.amounts)


def with_change(amounts: Sequence[int], currency: str, scale: int) -> tuple[Amount, ...]:
    """The amounts as cells; of two instants, the change to the first as well."""
    shown = [*amounts] if len(amounts) == 1 else [*amounts, amounts[0] - amounts[1]]
    return tuple(Amount(each, currency, scale) for each in shown)


def _amount_columns(labels: Sequence[str]) -> tuple[Column, ...]:
    first = Column("amount", labels[0], "amount")
    if len(labels) == 1:
        return (first,)
    return (first, Column("compared", labels[1], "amount"), Column("change", "change", "amount"))


def balance_sheet(books: Books) -> Report:
    """Assets on the one side, liabilities and equity on the other, in each currency.

    Income less expenses, which no year end has carried to equity yet, is a line of equity.
    """
    rows: list[Row] = []
    differences: list[str] = []
    for section in books.by_currency():
        assets, liabilities = section.lines("assets"), section.lines("liabilities")
        equity = [*section.lines("equity"), _Line(RESULT, section.net(("income", "expenses")))]
        if books.rounding is not None:
            equity.append(_Line(ROUNDING, tuple(-each for each in books.rounding)))
        both = summed((each.amounts for each in (*liabilities, *equity)), section.width)
        rows += [
            *section.rows("assets", assets, "Total assets"),
            *section.rows("liabilities", liabilities, "Total liabilities"),
            *section.rows("equity", equity, "Total equity"),
            section.total("Total liabilities and equity", both, {"liabilities": 1, "equity": 1}),
        ]
        owned = summed((each.amounts for each in assets), section.width)
        differences += _unequal(section, owned, both, "assets", "liabilities and equity")
    return _report("balance-sheet", "Balance sheet", books, rows, differences)


def income_statement(books: Books) -> Report:
    """Income, expenses, and the result of both, in each currency."""
    rows: list[Row] = []
    for section in books.by_currency():
        earned, spent = section.lines("income"), section.lines("expenses")
        result = section.net(("income", "expenses"))
        rows += [
            *section.rows("income", earned, "Total income"),
            *section.rows("expenses", spent, "Total expenses"),
            section.total("Result", result, {"income": 1, "expenses": -1}),
        ]
    return _report("income-statement", "Income statement", books, rows, [])


def _report(
    name: str, title: str, books: Books, rows: Sequence[Row], differences: Sequence[str]
) -> Report:
    columns = (ACCOUNT, CURRENCY, *_amount_columns(books.labels))
    return Report(
        name, title, columns, rows, conditions=books.conditions, positions=books.positions,
        differences=differences,
    )  # fmt: skip


def trial_balance(books: Books) -> Report:
    """Every account's net debit or net credit, and the totals by type, in each currency."""
    rows = [
        Row(
            (each.account, each.currency, *_sides(each), each.entries),
            section=f"{each.currency} {each.type}",
        )
        for each in books.shown(books.figures)
    ]
    parts: dict[str, list[Row]] = {}
    for row in rows:
        parts.setdefault(row.section, []).append(row)
    totals: list[Row] = []
    differences: list[str] = []
    for section in books.by_currency():
        if books.rounding is not None:
            figure = Figure(ROUNDING, section.currency, section.scale, books.rounding)
            cells = (ROUNDING, section.currency, *_sides(figure), None)
            rows.append(Row(cells, section=section.name("rounding")))
            parts[section.name("rounding")] = [rows[-1]]
        totals += _trial_totals(section, parts)
        both = [_minor(each) for each in totals[-1].cells[2 : 2 + 2 * section.width]]
        differences += _unequal(section, both[::2], both[1::2], "net debits", "net credits")
    columns = (
        ACCOUNT,
        CURRENCY,
        *_net_columns(books.labels),
        Column("entries", "entries", "count", adds=False),
    )
    return Report(
        "trial-balance", "Trial balance", columns, rows, totals, books.conditions, books.positions,
        differences,
    )  # fmt: skip


def _net_columns(labels: Sequence[str]) -> tuple[Column, ...]:
    if len(labels) == 1:
        return (Column("net_debit", "net debit", "amount"),
                Column("net_credit", "net credit", "amount"))  # fmt: skip
    made = [
        Column(f"{prefix}net_{side}", f"net {side}, {label}", "amount")
        for prefix, label in zip(("", "compared_"), labels, strict=True)
        for side in ("debit", "credit")
    ]
    return (*made, Column("change", "change, debits above zero", "amount"))


def _sides(figure: Figure) -> tuple[Amount, ...]:
    """Net debit and net credit at each instant, and the change between two."""
    found = [side for each in figure.amounts for side in (max(each, 0), max(-each, 0))]
    if len(figure.amounts) > 1:
        found.append(figure.amounts[0] - figure.amounts[1])
    return tuple(Amount(each, figure.currency, figure.scale) for each in found)


def _trial_totals(section: _Section, parts: Mapping[str, Sequence[Row]]) -> list[Row]:
    """A total for each type that has accounts, and the last one of all types."""
    made = [
        _trial_total(section, TITLES[each], [each], parts)
        for each in IN_ORDER
        if section.name(each) in parts
    ]
    return [*made, _trial_total(section, "All types", [*IN_ORDER, "rounding"], parts)]


def _trial_total(
    section: _Section, label: str, types: Sequence[str], parts: Mapping[str, Sequence[Row]]
) -> Row:
    names = [section.name(each) for each in types]
    rows = [row for name in names for row in parts.get(name, ())]
    count = 2 * section.width + (section.width > 1)
    amounts = [
        Amount(sum(_minor(row.cells[2 + place]) for row in rows), section.currency, section.scale)
        for place in range(count)
    ]
    # Those of accounts that are left out as well.
    entries = sum(each.entries for each in section.figures if each.type in types)
    return Row((label, section.currency, *amounts, entries), "total",
               sums=[(name, 1) for name in names])  # fmt: skip


def _minor(cell: Cell) -> int:
    return cell.minor if isinstance(cell, Amount) else 0


def _unequal(
    section: _Section, one: Sequence[int], other: Sequence[int], left: str, right: str
) -> Iterator[str]:
    """A sentence for each instant at which the two sides differ."""
    if not section.books.is_whole:
        return
    for label, mine, theirs in zip(section.books.labels, one, other, strict=True):
        if mine != theirs:
            yield (
                f"{section.currency}, {label}: {left} are {money.show(mine, section.scale)} and "
                f"{right} are {money.show(theirs, section.scale)}. `faust-ledger verify` shows "
                "what is wrong with the journal."
            )


SHEETS: Mapping[str, Callable[[Books], Report]] = {
    "trial-balance": trial_balance,
    "balance-sheet": balance_sheet,
    "income-statement": income_statement,
}
"""Reports of balances, by name."""

"""A report as a value: conditions, columns, rows, totals, and what it is complete to."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ledger.domain import money

Kind = Literal["text", "amount", "count", "time"]
RowKind = Literal["line", "heading", "total"]


class Amount(NamedTuple):
    """Minor units of a currency with its number of decimals."""

    minor: int
    currency: str
    scale: int

    def __str__(self) -> str:
        return money.show(self.minor, self.scale)


Cell = str | int | Amount | None


class Column(NamedTuple):
    """A column; a total has the sum of it where it is an amount or a count that `adds`."""

    key: str
    title: str
    kind: Kind = "text"
    adds: bool = True


class Row(NamedTuple):
    """A cell for each column.

    `depth`: how far it is indented. `section`: what it is a part of. A total has the sections that
    it adds up in `sums`, each with the sign that it counts with.
    """

    cells: Sequence[Cell]
    kind: RowKind = "line"
    depth: int = 0
    section: str = ""
    sums: Sequence[tuple[str, int]] = ()


class Condition(NamedTuple):
    """What a report is of: a time, a choice of accounts, a rate."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Report:
    """`positions`: by shard, the offset up to which everything is counted.

    `differences`: sentences about what does not balance; there should be none.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    totals: Sequence[Row] = ()
    conditions: Sequence[Condition] = ()
    positions: Mapping[int, int] = field(default_factory=dict)
    differences: Sequence[str] = ()

    def all_rows(self) -> Iterator[Row]:
        """The rows, and after them the totals."""
        yield from self.rows
        yield from self.totals


def wrong_sums(report: Report) -> list[str]:
    """A sentence for each total that is not the sum of its parts, to the last unit."""
    places = [
        place
        for place, each in enumerate(report.columns)
        if each.adds and each.kind in {"amount", "count"}
    ]
    parts: dict[tuple[str, int], int] = {}
    for row in report.all_rows():
        if row.kind == "line":
            for place in places:
                key = row.section, place
                parts[key] = parts.get(key, 0) + _number(row.cells[place])
    return [
        f"{row.cells[0]}: {report.columns[place].title} is not the sum of its parts."
        for row in report.all_rows()
        if row.kind == "total"
        for place in places
        if row.cells[place] is not None
        and _number(row.cells[place])
        != sum(sign * parts.get((section, place), 0) for section, sign in row.sums)
    ]


def _number(cell: Cell) -> int:
    if isinstance(cell, Amount):
        return cell.minor
    return cell if isinstance(cell, int) else 0

"""Statements of money and of securities from CSV, as a saved mapping says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from ledger.client.bulk import Splitter
from ledger.client.csv_mapping import MappingError
from ledger.client.csv_rows import RowReader
from ledger.domain.refusal import Reason, Refused
from ledger.statements.mapping import StatementMapping
from ledger.statements.model import (
    Account,
    Balance,
    Fault,
    Line,
    Position,
    Statement,
    Unproven,
)
from ledger.statements.source import Limits, Source, chunks_of
from ledger.statements.texts import account_of, is_isin, minor_units, named, scale_of, text_in
from ledger.unfit import shown

SHOWN = 20
"""Columns that a message names."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the command says that a file may not have: balances as decimal text."""

    identification: str = ""
    opening: str | None = None
    closing: str | None = None
    on: date | None = None


def read_csv(
    stream: Source,
    mapping: StatementMapping,
    scales: Mapping[str, int],
    given: Given,
    limits: Limits,
) -> Statement:
    """The one statement in a CSV file. Raises Unproven."""
    rows = _rows(stream, mapping, limits)
    return _Reader(mapping, scales, given).statement(rows)


@dataclass(frozen=True, slots=True)
class _Row:
    """The cells of a row by the mapping's fields."""

    place: int
    cells: Mapping[str, str]

    def text(self, field: str) -> str:
        return text_in(self.cells.get(field, ""), field, self.place)

    def needed(self, field: str) -> str:
        found = self.cells.get(field, "").strip()
        if not found:
            raise Unproven(Fault.FIELD_MISSING, f"The row has no {field}.", self.place)
        return found


def _rows(stream: Source, mapping: StatementMapping, limits: Limits) -> Iterator[_Row]:
    places: dict[str, int] | None = None
    width = 0
    for place, cells in _cells(stream, mapping, limits):
        if places is None:
            places, width = _places(mapping, cells, place), len(cells)
            continue
        if len(cells) != width:
            raise Unproven(
                Fault.UNREADABLE, f"The row has {len(cells)} cells, the file {width} columns.",
                place,
            )  # fmt: skip
        found = {field: cells[at] for field, at in places.items()}
        yield _Row(place, {**mapping.constants, **found})
    if places is None:
        raise Unproven(Fault.UNREADABLE, "The file has no line with the columns' names.")


def _places(mapping: StatementMapping, header: list[str], place: int) -> dict[str, int]:
    names = [each.strip() for each in header]
    for name in mapping.columns.values():
        if names.count(name) != 1:
            what = "more than one column" if name in names else "no column"
            there = ", ".join(map(shown, names[:SHOWN]))
            raise Unproven(
                Fault.MAPPING_UNFIT,
                f"The file has {what} {name!r}, which the mapping names. Its columns are {there}.",
                place,
            )
    return {field: names.index(name) for field, name in mapping.columns.items()}


def _cells(
    stream: Source, mapping: StatementMapping, limits: Limits
) -> Iterator[tuple[int, list[str]]]:
    splitter, reader = Splitter(keep_blank=True), RowReader(mapping.encoding, mapping.delimiter)
    count = 0
    for chunk in (*chunks_of(stream, limits), b""):
        lines = splitter.feed(chunk) if chunk else splitter.end()
        kept = [each for each in lines if each[0] > mapping.skip]
        try:
            found = list(reader.rows(kept, final=not chunk))
        except MappingError as error:
            raise Unproven(Fault.MAPPING_UNFIT, str(error), 1) from error
        for place, cells in found:
            if isinstance(cells, Refused):
                raise _unreadable(cells, mapping, place)
            count += 1
            limits.require_lines(count - 1, place)
            yield place, cells


def _unreadable(refused: Refused, mapping: StatementMapping, place: int) -> Unproven:
    if refused.reason is Reason.TOO_LARGE:
        return Unproven(Fault.TOO_LARGE, "The line has too much text.", place)
    if refused.sentence.endswith(f"is not {mapping.encoding}."):
        return Unproven(Fault.WRONG_ENCODING, refused.sentence, place)
    return Unproven(Fault.UNREADABLE, refused.sentence, place)


class _Reader:
    """Makes the statement of the rows."""

    def __init__(self, mapping: StatementMapping, scales: Mapping[str, int], given: Given) -> None:
        self._mapping, self._scales, self._given = mapping, scales, given
        self._days: dict[str, date] = {}
        self._same: dict[str, str] = {}

    def statement(self, rows: Iterator[_Row]) -> Statement:
        return self._money(rows) if self._mapping.of == "money" else self._securities(rows)

    def _money(self, rows: Iterator[_Row]) -> Statement:
        lines = [self._line(row, number) for number, row in enumerate(rows, 1)]
        if not lines:
            raise Unproven(Fault.UNREADABLE, "The file has no row, so no statement.")
        if self._mapping.order == "descending":
            lines.reverse()
            lines = [line._replace(number=number) for number, line in enumerate(lines, 1)]
        _require_order(lines)
        currency = self._same["currency"]
        first, last = lines[0], lines[-1]
        before = None if first.balance is None else first.balance - first.amount
        scale = self._scales[currency]
        return Statement(
            account=self._account(), bank_id="", number=None, currency=currency, scale=scale,
            opening=Balance(self._end("opening", before, scale), first.booked),
            closing=Balance(self._end("closing", last.balance, scale), last.booked),
            lines=tuple(lines),
        )  # fmt: skip

    def _end(self, name: str, found: int | None, scale: int) -> int:
        stated = self._given.opening if name == "opening" else self._given.closing
        if stated is not None:
            digits = stated.removeprefix("-")
            amount = minor_units(digits, scale, f"--{name}")
            return -amount if digits != stated else amount
        if found is None:
            raise Unproven(
                Fault.FIELD_MISSING,
                f"The {name} balance is missing: the mapping has no column balance. Give --{name}.",
            )
        return found

    def _line(self, row: _Row, number: int) -> Line:
        self._note_account(row)
        currency = self._one(row, "currency")
        scale = scale_of(self._scales, currency, row.place)
        booked = self._day(row, "booked")
        balance = row.cells.get("balance")
        return Line(
            number, row.place, self._amount(row, scale), booked,
            self._day(row, "value") if row.cells.get("value") else booked,
            bank_reference=row.text("bank_reference"), reference=row.text("reference"),
            counterpart=row.text("counterpart"),
            counterpart_account=row.text("counterpart_account"), kind=row.text("kind"),
            text=row.text("text"),
            balance=None if balance is None else self._mapping.amount(
                row.needed("balance"), scale, "balance", row.place),
        )  # fmt: skip

    def _amount(self, row: _Row, scale: int) -> int:
        mapping = self._mapping
        if "amount" not in mapping.columns:
            given = {each: row.cells[each].strip() for each in ("credit", "debit")}
            if not any(given.values()):
                raise Unproven(Fault.FIELD_MISSING, "The row has no amount.", row.place)
            credit, debit = (
                mapping.amount(text, scale, name, row.place) if text else 0
                for name, text in given.items()
            )
            return credit - debit
        amount = mapping.amount(row.needed("amount"), scale, "amount", row.place)
        if "side" not in mapping.columns:
            return amount if mapping.sign == "credit" else -amount
        side = row.needed("side")
        if side not in (*mapping.credits, *mapping.debits):
            raise Unproven(
                Fault.FIELD_MALFORMED,
                f"side is {shown(side)}, which is in neither credits nor debits of the mapping.",
                row.place,
            )
        return amount if side in mapping.credits else -amount

    def _securities(self, rows: Iterator[_Row]) -> Statement:
        positions: dict[str, Position] = {}
        on = self._given.on
        for number, row in enumerate(rows, 1):
            position = self._position(row, number)
            if position.isin in positions:
                first = positions[position.isin].place
                raise Unproven(
                    Fault.ISIN_TWICE, f"{position.isin} is in line {first} too.", row.place
                )
            positions[position.isin] = position
            if "on" in row.cells:
                self._one(row, "on")
                on = self._day(row, "on")
        if on is None:
            raise Unproven(Fault.FIELD_MISSING, "The positions have no date. Give --on.")
        nothing = Balance(0, on)
        return Statement(
            account=self._account(), bank_id="", number=None, currency="", scale=0,
            opening=nothing, closing=nothing, positions=tuple(positions.values()),
        )  # fmt: skip

    def _position(self, row: _Row, number: int) -> Position:
        self._note_account(row)
        isin = row.needed("isin").upper()
        if not is_isin(isin):
            raise Unproven(
                Fault.ISIN_MALFORMED,
                f"{shown(isin)} is no ISIN: its form or its check digit is wrong.", row.place,
            )  # fmt: skip
        code = self._mapping.assets.get(isin, isin)
        scale = scale_of(self._scales, code, row.place)
        quantity = self._mapping.amount(row.needed("quantity"), scale, "quantity", row.place)
        return Position(number, row.place, isin, code, quantity, scale, row.text("name"))

    def _note_account(self, row: _Row) -> None:
        if "account" in row.cells:
            self._one(row, "account")

    def _account(self) -> Account:
        if stated := self._same.get("account") or self._mapping.constants.get("account"):
            return account_of(stated)
        return Account(named(self._given.identification, "The account's identification"))

    def _one(self, row: _Row, field: str) -> str:
        """The text of a field that is the same in all rows. Raises Unproven."""
        found = row.needed(field)
        if self._same.setdefault(field, found) != found:
            fault = Fault.CURRENCY_DIFFERS if field == "currency" else Fault.FIELD_MALFORMED
            raise Unproven(
                fault, f"{field} is {shown(found)}, and {shown(self._same[field])} in rows before.",
                row.place,
            )  # fmt: skip
        return found

    def _day(self, row: _Row, field: str) -> date:
        text = row.needed(field)
        found = self._days.get(text)
        if found is None:
            found = self._days[text] = self._mapping.day(text, field, row.place)
        return found


def _require_order(lines: list[Line]) -> None:
    """Rows out of order are a wrong `order`, or dates of which day and month are exchanged."""
    for before, after in pairwise(lines):
        if after.booked < before.booked:
            raise Unproven(
                Fault.DATES_OUT_OF_ORDER,
                f"{after.booked} comes after {before.booked} of line {before.place}. Is the "
                "mapping's order right, and its form of dates?", after.place,
            )  # fmt: skip

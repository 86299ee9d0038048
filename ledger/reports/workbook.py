"""A report as XLSX: amounts are numbers where a cell holds them exactly, and else text.

A cell's number is a double, of which spreadsheets keep and show 15 digits. An amount with more
digits is written as text, so that nothing is rounded. Texts are never formulas.
"""

import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from ledger.errors import LedgerError
from ledger.reports.rendered import ExtraMissing, text_of
from ledger.reports.report import Amount, Cell, Report, Row

DIGITS = 15
"""Decimal digits of a number that every spreadsheet keeps."""
MAX_TEXT = 32_767
"""Characters of a cell."""
MAX_ROWS = 1_048_576
"""Of a sheet."""
BESIDE = 100
"""Rows that are kept free for the title and what does not balance."""
WIDEST = 60
"""Characters of a column, at most."""


def is_exact(amount: Amount) -> bool:
    """Whether a cell holds this amount as a number without rounding it."""
    return len(str(abs(amount.minor))) <= DIGITS


def as_xlsx(report: Report) -> bytes:
    """One sheet. Raises ExtraMissing without XlsxWriter, LedgerError for too many rows."""
    count = len(report.rows) + len(report.totals) + len(report.conditions)
    if count > MAX_ROWS - BESIDE:
        raise LedgerError(
            f"The report has {count:,} rows, and a sheet has {MAX_ROWS:,} at most: take CSV, or "
            "fewer accounts."
        )
    try:
        from xlsxwriter import Workbook
    except ModuleNotFoundError as error:
        raise ExtraMissing("XLSX") from error
    file = io.BytesIO()
    book = Workbook(file, {"in_memory": True, "strings_to_formulas": False,
                           "strings_to_urls": False, "strings_to_numbers": False})  # fmt: skip
    _Sheet(book, report).write()
    book.close()
    return file.getvalue()


class _Sheet:
    """The one sheet: title and conditions, a header, rows, totals, and what does not balance."""

    def __init__(self, book: Any, report: Report) -> None:
        self._book, self._report = book, report
        self._sheet = book.add_worksheet(report.title[:31])
        self._formats: dict[tuple[int | None, bool, int], Any] = {}
        self._at = 0

    def write(self) -> None:
        report = self._report
        self._texts([report.title], bold=True)
        for condition in report.conditions:
            self._texts([condition.name, condition.value])
        for sentence in report.differences:
            self._texts([sentence], bold=True)
        self._at += 1
        self._texts([each.title for each in report.columns], bold=True)
        self._sheet.freeze_panes(self._at, 1)
        for row in report.all_rows():
            self._row(row)
        for place, width in self._widths().items():
            self._sheet.set_column(place, place, width)

    def _texts(self, texts: Sequence[str], *, bold: bool = False) -> None:
        for place, each in enumerate(texts):
            self._sheet.write_string(self._at, place, each[:MAX_TEXT], self._format(None, bold, 0))
        self._at += 1

    def _row(self, row: Row) -> None:
        bold = row.kind != "line"
        for place, cell in enumerate(row.cells):
            depth = 0 if place else row.depth
            self._cell(place, cell, bold=bold, depth=depth)
        self._at += 1

    def _cell(self, place: int, cell: Cell, *, bold: bool, depth: int) -> None:
        if cell is None:
            return
        if isinstance(cell, Amount) and is_exact(cell):
            # A Decimal: the library writes it with 16 digits, which read back as these 15.
            number = Decimal(cell.minor).scaleb(-cell.scale)
            self._sheet.write_number(self._at, place, number, self._format(cell.scale, bold, 0))
        elif isinstance(cell, int):
            self._sheet.write_number(self._at, place, cell, self._format(0, bold, 0))
        else:
            made = self._format(-1 if isinstance(cell, Amount) else None, bold, depth)
            self._sheet.write_string(self._at, place, text_of(cell)[:MAX_TEXT], made)

    def _format(self, scale: int | None, bold: bool, depth: int) -> Any:  # noqa: FBT001 - a key
        """Of a number with `scale` decimals; -1: of an amount as text; None: of other text."""
        key = scale, bold, depth
        if key not in self._formats:
            made: dict[str, Any] = {"bold": bold, "indent": depth}
            if scale is not None:
                made["align"] = "right"
            if scale is not None and scale >= 0:
                made["num_format"] = "#,##0" + ("." + "0" * scale if scale else "")
            self._formats[key] = self._book.add_format(made)
        return self._formats[key]

    def _widths(self) -> Mapping[int, int]:
        found = {place: len(each.title) for place, each in enumerate(self._report.columns)}
        for row in self._report.all_rows():
            for place, cell in enumerate(row.cells):
                # Room for separators between thousands.
                found[place] = max(found[place], len(text_of(cell)) * 4 // 3 + 1)
        return {place: min(width + 1, WIDEST) for place, width in found.items()}

"""A report as JSON and as CSV, and the media types of all forms."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from ledger.errors import LedgerError
from ledger.reports.report import Cell, Report, Row

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would calculate."""
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


class ExtraMissing(LedgerError):
    """A library that is in an extra of this package is not installed."""

    def __init__(self, what: str, extra: str = "reports") -> None:
        super().__init__(
            f"{what} needs the extra `{extra}`, which is not installed: install this package as "
            f"faust-ledger[{extra}]."
        )


def safe_for_spreadsheets(cell: str) -> str:
    """`cell` behind an apostrophe if a spreadsheet would calculate it; plain numbers as they are.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    if cell.startswith(FORMULA) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def text_of(cell: Cell) -> str:
    """Plain text; an amount as decimal text without separators."""
    return "" if cell is None else str(cell)


def as_json(report: Report) -> dict[str, Any]:
    """Amounts are decimal text; a row has its cells by the keys of the columns."""
    return {
        "report": report.name,
        "title": report.title,
        "conditions": [each._asdict() for each in report.conditions],
        "columns": [{"key": each.key, "title": each.title, "kind": each.kind}
                    for each in report.columns],
        "rows": [_json_row(report, each) for each in report.rows],
        "totals": [_json_row(report, each) for each in report.totals],
        "complete_to": {str(shard): end for shard, end in sorted(report.positions.items())},
        "differences": list(report.differences),
    }  # fmt: skip


def _json_row(report: Report, row: Row) -> dict[str, Any]:
    cells = {
        column.key: cell if cell is None or isinstance(cell, int) else str(cell)
        for column, cell in zip(report.columns, row.cells, strict=True)
    }
    return {"row": row.kind, "depth": row.depth, "cells": cells}


def as_csv(report: Report) -> str:
    """RFC 4180: the keys of the columns, rows, totals, and last the conditions.

    The first column has what a row is: line, heading, total, condition or difference.
    """
    file = io.StringIO()
    out = csv.writer(file)
    for row in csv_rows(report):
        out.writerow(map(safe_for_spreadsheets, row))
    return file.getvalue()


def csv_rows(report: Report) -> Iterator[list[str]]:
    """The cells of each line of CSV, the header first; formulas are not defused yet."""
    width = len(report.columns)
    yield ["row", *(each.key for each in report.columns)]
    for row in report.all_rows():
        yield [row.kind, *map(text_of, row.cells)]
    for condition in report.conditions:
        yield ["condition", *[*condition, *[""] * width][:width]]
    for sentence in report.differences:
        yield ["difference", *[sentence, *[""] * width][:width]]

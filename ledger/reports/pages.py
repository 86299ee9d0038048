"""A report as PDF, by a template of Typst that gets it as data: no text of it is markup."""

import json
from importlib.resources import files

from ledger.errors import LedgerError
from ledger.reports.rendered import ExtraMissing, text_of
from ledger.reports.report import Amount, Cell, Report, Row

TEMPLATE = "report.typ"
MAX_ROWS = 5_000
"""Rows of a report as PDF: about a hundred pages."""
WIDEST = 40
"""Characters of a text that its column is made for; a longer one folds."""


def as_pdf(report: Report) -> bytes:
    """A4 pages, the header repeated. Raises ExtraMissing without typst, LedgerError if too long."""
    try:
        import typst
    except ModuleNotFoundError as error:
        raise ExtraMissing("PDF") from error
    count = len(report.rows) + len(report.totals)
    if count > MAX_ROWS:
        raise LedgerError(
            f"The report has {count:,} rows, and a PDF {MAX_ROWS:,} at most: take CSV or XLSX, or "
            "sum accounts with --depth."
        )
    template = files("ledger.reports").joinpath(TEMPLATE).read_bytes()
    made = typst.compile(
        template, sys_inputs={"report": json.dumps(pages_json(report))}, format="pdf"
    )
    assert isinstance(made, bytes)
    return made


def pages_json(report: Report) -> dict[str, object]:
    """What the template reads: texts alone, and which columns are numbers."""
    return {
        "title": report.title,
        "conditions": [list(each) for each in report.conditions],
        "differences": list(report.differences),
        "columns": [each.title for each in report.columns],
        "right": [each.kind in {"amount", "count"} for each in report.columns],
        "widths": _widths(report),
        "rows": [_row(each) for each in report.all_rows()],
    }


def _widths(report: Report) -> list[int]:
    """The characters of each column. Typst takes much longer to find the widths of many cells."""
    found = [len(each.title) for each in report.columns]
    for row in report.all_rows():
        for place, cell in enumerate(row.cells):
            found[place] = max(found[place], len(_shown(cell)) + 2 * row.depth * (not place))
    return [
        width if column.kind in {"amount", "count"} else min(width, WIDEST)
        for width, column in zip(found, report.columns, strict=True)
    ]


def _row(row: Row) -> dict[str, object]:
    return {"kind": row.kind, "depth": row.depth, "cells": list(map(_shown, row.cells))}


def _shown(cell: Cell) -> str:
    text = text_of(cell)
    if not isinstance(cell, Amount | int):
        return text
    sign, digits = ("\N{MINUS SIGN}", text[1:]) if text.startswith("-") else ("", text)
    whole, point, decimals = digits.partition(".")
    # Of any length: a number is never cut.
    return f"{sign}{int(whole):,}{point}{decimals}"

"""Reports and exports on a terminal, in a pipe, and in files."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.output import print_json, print_note, print_sentence
from ledger.cli.report_choice import ReportFormat
from ledger.cli.tables import Column, Format, Kind, print_table_of
from ledger.errors import LedgerError
from ledger.terminal import plain_lines

if TYPE_CHECKING:
    from ledger.reports.report import Column as ReportColumn
    from ledger.reports.report import Report, Row


def write(report: "Report", fmt: ReportFormat, output: Path | None) -> None:
    """Write the report to the file, or to stdout."""
    from ledger.reports.rendered import as_csv, as_json

    if output is None and fmt is ReportFormat.TABLE:
        print_table(report)
    elif output is None and fmt is ReportFormat.JSON:
        print_json(as_json(report))
    elif output is None and fmt is ReportFormat.CSV:
        text = as_csv(report)
        # Its lines end with CR LF, which stdout writes as they are.
        sys.stdout.write(plain_lines(text.replace("\r\n", "\n")) if sys.stdout.isatty() else text)
    elif output is None:
        sys.stdout.buffer.write(_bytes(report, fmt))
    else:
        content = _bytes(report, fmt)
        written(output, lambda file: file.write(content), "wb")
        print_note(f"Written: {output}")


def _bytes(report: "Report", fmt: ReportFormat) -> bytes:
    from ledger.reports.pages import as_pdf
    from ledger.reports.rendered import as_csv, as_json
    from ledger.reports.workbook import as_xlsx

    if fmt is ReportFormat.XLSX:
        return as_xlsx(report)
    if fmt is ReportFormat.PDF:
        return as_pdf(report)
    if fmt is ReportFormat.JSON:
        return f"{json.dumps(as_json(report))}\n".encode()
    if fmt is ReportFormat.CSV:
        return as_csv(report).encode()
    raise typer.BadParameter(
        "a table is for a terminal: give --format csv, json, xlsx or pdf.", param_hint="--output"
    )


def written(output: Path, write_to: Callable[[Any], int], mode: str) -> int:
    """Replace the file whole, or not at all; the result of `write_to`.

    `mode`: w for UTF-8 text, wb for bytes. Raises LedgerError where it cannot be written.
    """
    partial = output.with_name(f".{output.name}.{os.getpid()}.partial")
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        with partial.open(mode, **text) as file:
            result = write_to(file)
        partial.replace(output)
    except OSError as error:
        raise LedgerError(f"{output} cannot be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return result


def print_table(report: "Report") -> None:
    """Print it for people: conditions, the table, and what does not balance."""
    print_sentence(report.title)
    columns = [Column(each.key, each.title, _kind(each)) for each in report.columns]
    rows = [_shown(report, each) for each in report.all_rows()]
    print_table_of(columns, rows, Format.TABLE, nothing="There is nothing to report.")
    for condition in report.conditions:
        print_sentence(f"{condition.name}: {condition.value}")


def _kind(column: "ReportColumn") -> Kind:
    """Only a description may fold."""
    if column.kind == "text":
        return "text" if column.key == "description" else "code"
    return column.kind


def _shown(report: "Report", row: "Row") -> dict[str, Any]:
    cells = {
        column.key: None if cell is None else str(cell)
        for column, cell in zip(report.columns, row.cells, strict=True)
    }
    first = report.columns[0].key
    return cells | {first: f"{'  ' * row.depth}{cells[first]}"}

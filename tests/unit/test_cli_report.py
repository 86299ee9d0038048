"""`report` and `export`: which options belong together, and what is printed."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from ledger.cli.export import export_books
from ledger.cli.report import print_report
from ledger.cli.report_choice import Name, ReportFormat
from ledger.cli.report_output import write
from ledger.gl.books import BalanceRow
from ledger.reports.asked import Asked, books
from ledger.reports.report import Condition, Report
from ledger.reports.sheets import balance_sheet


@pytest.fixture
def sheet() -> Report:
    rows = [
        BalanceRow("assets:cash", "CAD", 2, 1_234_567_00, 0, 1),
        BalanceRow("equity:capital", "CAD", 2, 0, 1_234_567_00, 1),
    ]
    return balance_sheet(books(Asked(conditions=[Condition("of", "Now.")]), rows))


@pytest.mark.parametrize(
    ("name", "given", "option"),
    [
        ("statement", {}, "ACCOUNT"),
        ("statement", {"account": "cash"}, "cash"),
        ("breaks", {"account": "assets:cash"}, "ACCOUNT"),
        ("breaks", {"as_of": "2026-11-30"}, "--as-of"),
        ("register", {"account": "assets:cash", "depth": 1}, "--depth"),
        ("register", {"account": "assets:cash", "compare": "2026-11-30"}, "--compare"),
        ("balance-sheet", {"start": "2026-11-30"}, "--from"),
        ("balance-sheet", {"presentation": "CAD"}, "--rates"),
        ("balance-sheet", {"rates": Path("rates.csv")}, "--presentation"),
        ("balance-sheet", {"by": "recorded"}, "--by"),
        ("statement", {"account": "assets:cash", "as_of": "2026-11-01", "start": "2026-11-02"},
         "--from"),
    ],
)  # fmt: skip
def test_options_that_do_not_belong_together(name: str, given: Any, option: str) -> None:
    with pytest.raises(typer.BadParameter) as caught:
        print_report(Name(name), **given)
    assert caught.value.param_hint == option


@pytest.mark.parametrize(
    ("what", "given", "option"),
    [("journal", {"as_of": "2026-11-30"}, "--as-of"), ("balances", {"fmt": "hledger"}, "--format")],
)
def test_exports_that_there_are_not(what: Any, given: Any, option: str, tmp_path: Path) -> None:
    from ledger.cli.export import ExportFormat, What

    if "fmt" in given:
        given = {"fmt": ExportFormat(given["fmt"])}
    with pytest.raises(typer.BadParameter) as caught:
        export_books(What(what), tmp_path / "out", **given)
    assert caught.value.param_hint == option


def test_a_table_is_indented_and_has_what_it_is_of(sheet: Report, capsys: Any) -> None:
    write(sheet, ReportFormat.TABLE, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Balance sheet"
    assert any(line.startswith("  assets:cash") and line.endswith("1234567.00") for line in lines)
    assert lines[-1] == "of: Now."


def test_json_and_csv_are_printed(sheet: Report, capsys: Any) -> None:
    write(sheet, ReportFormat.JSON, None)
    assert json.loads(capsys.readouterr().out)["report"] == "balance-sheet"
    write(sheet, ReportFormat.CSV, None)
    assert capsys.readouterr().out.startswith("row,account,currency,amount\r\n")


@pytest.mark.parametrize("fmt", [each for each in ReportFormat if each is not ReportFormat.TABLE])
def test_every_file_form_is_written(sheet: Report, fmt: ReportFormat, tmp_path: Path) -> None:
    file = tmp_path / f"sheet.{fmt}"
    write(sheet, fmt, file)
    assert file.stat().st_size > 100
    assert list(tmp_path.iterdir()) == [file]


def test_a_table_is_not_for_a_file(sheet: Report, tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="a table is for a terminal"):
        write(sheet, ReportFormat.TABLE, tmp_path / "sheet")

"""A report as CSV, JSON, XLSX and PDF: nothing is rounded, nothing is a formula."""

import csv
import io
import json
import re
import sys
import zipfile
from decimal import Decimal
from xml.etree import ElementTree as ET

import pytest

from ledger.errors import LedgerError
from ledger.reports import pages, workbook
from ledger.reports.pages import as_pdf, pages_json
from ledger.reports.rendered import as_csv, as_json
from ledger.reports.report import Amount, Column, Condition, Report, Row
from ledger.reports.workbook import as_xlsx

LARGE = 10**15
FORMULAS = ['=HYPERLINK("http://x","y")', "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1"]
NAMESPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
REPORT = Report(
    "register",
    "Account register",
    (Column("label", "date"), Column("text", "description"), Column("amount", "amount", "amount"),
     Column("count", "entries", "count")),
    [
        Row(("Opening", None, None, None), "heading"),
        *(Row(("2026-01-01", each, Amount(-5, "CAD", 2), 3), depth=1) for each in FORMULAS),
        Row(("2026-01-02", "Łódź #strong[x] $1$ Ελλάδα", Amount(LARGE - 1, "CAD", 2), 1)),
        Row(("2026-01-03", "too large", Amount(LARGE, "CAD", 2), 1)),
        Row(("2026-01-04", "eighteen", Amount(1, "ETH", 18), 1)),
    ],
    [Row(("Closing", None, Amount(123_456_789, "JPY", 0), 4), "total")],
    [Condition("of", "=1+1"), Condition("rate", "1 USD = 1.3650 CAD (ECB, 2026-11-30)")],
    {1: 7, 0: 5},
    ["It does not balance."],
)  # fmt: skip


def test_csv_has_plain_amounts_and_no_formula() -> None:
    rows = list(csv.reader(io.StringIO(as_csv(REPORT), newline="")))
    assert rows[0] == ["row", "label", "text", "amount", "count"]
    assert {len(row) for row in rows} == {5}
    assert rows[2] == ["line", "2026-01-01", f"'{FORMULAS[0]}", "-0.05", "3"]
    assert [row[2] for row in rows[2:8]] == [f"'{each}" for each in FORMULAS]
    assert rows[11][:4] == ["total", "Closing", "", "123456789"]
    assert rows[12] == ["condition", "of", "'=1+1", "", ""]
    assert rows[-1] == ["difference", "It does not balance.", "", "", ""]


def test_json_has_decimal_text_and_positions() -> None:
    found = json.loads(json.dumps(as_json(REPORT)))
    assert found["rows"][1]["cells"] == {
        "label": "2026-01-01", "text": FORMULAS[0], "amount": "-0.05", "count": 3,
    }  # fmt: skip
    assert found["complete_to"] == {"0": 5, "1": 7}
    assert found["differences"] == ["It does not balance."]


def cells(report: Report) -> list[dict[str, tuple[str | None, str]]]:
    """By row: by column, the type and the text of each cell of a workbook."""
    with zipfile.ZipFile(io.BytesIO(as_xlsx(report))) as archive:
        sheet = ET.fromstring(archive.read("xl/worksheets/sheet1.xml"))
        strings = ET.fromstring(archive.read("xl/sharedStrings.xml"))
    # The form in which XLSX has a carriage return.
    texts = ["".join(part.itertext()).replace("_x000D_", "\r") for part in strings]
    assert not list(sheet.iter(f"{NAMESPACE}f")), "a formula"
    made = []
    for row in sheet.iter(f"{NAMESPACE}row"):
        found = {}
        for cell in row:
            kind, value = cell.get("t"), cell.findtext(f"{NAMESPACE}v")
            if value is not None:
                column = re.sub(r"\d", "", cell.attrib["r"])
                found[column] = (kind, texts[int(value)] if kind == "s" else value)
        made.append(found)
    return made


def test_a_workbook_has_numbers_where_a_cell_holds_them_exactly_and_else_text() -> None:
    rows = {row["B"][1]: row for row in cells(REPORT) if "B" in row}
    for text in FORMULAS:
        assert rows[text]["B"][0] == "s"
    kind, number = rows[FORMULAS[0]]["C"]
    assert kind is None
    assert Decimal(number) == Decimal("-0.05")
    assert rows["too large"]["C"] == ("s", "10000000000000.00")
    assert rows["eighteen"]["C"][0] is None
    fitting = next(row for name, row in rows.items() if name.startswith("Ł"))
    assert fitting["C"][0] is None
    assert f"{Decimal(fitting['C'][1]):.2f}" == "9999999999999.99"


def test_a_sheet_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_ROWS", workbook.BESIDE + 2)
    with pytest.raises(LedgerError, match="a sheet has"):
        as_xlsx(REPORT)
    monkeypatch.setattr(pages, "MAX_ROWS", 2)
    with pytest.raises(LedgerError, match="a PDF 2 at most"):
        as_pdf(REPORT)


def test_a_page_has_grouped_amounts_and_texts_as_they_are() -> None:
    rows = pages_json(REPORT)["rows"]
    assert isinstance(rows, list)
    assert rows[1]["cells"] == ["2026-01-01", FORMULAS[0], "\N{MINUS SIGN}0.05", "3"]
    assert rows[-1]["cells"] == ["Closing", "", "123,456,789", "4"]


def test_a_pdf_is_made_of_any_texts() -> None:
    made = as_pdf(REPORT)
    assert made.startswith(b"%PDF-")
    assert made.rstrip().endswith(b"%%EOF")
    assert as_pdf(REPORT) == made, "nothing in it is of the moment"


@pytest.mark.parametrize(("module", "form"), [("xlsxwriter", as_xlsx), ("typst", as_pdf)])
def test_a_missing_extra_is_one_sentence(
    module: str, form: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert callable(form)
    with pytest.raises(LedgerError, match=r"needs the extra `reports`.*faust-ledger\[reports\]"):
        form(REPORT)

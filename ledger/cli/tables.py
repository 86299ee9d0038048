"""Output of the commands that list: a table for people, CSV for spreadsheets, JSON for programs."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from ledger.cli.output import print_json, print_note, print_sentence
from ledger.reports.rendered import NUMBER, safe_for_spreadsheets
from ledger.terminal import UNLIMITED, console, plain, print_table, total_width, widths_of

if TYPE_CHECKING:
    from rich.console import Console

Row = Mapping[str, Any]
Kind = Literal["amount", "count", "number", "code", "account", "path", "time", "text", "prose"]

RIGHT = frozenset({"amount", "count", "number"})
GROUPED = frozenset({"amount", "count"})
FOLDING = frozenset({"text", "prose"})
SECONDS = len("2026-11-30T15:00:00")


class Format(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"


FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format",
        show_default="table",
        help="How to print the list: a table; CSV; one JSON array; or JSON, an object a line.",
    ),
]


class Column(NamedTuple):
    """A column of a list.

    `kind`: amounts and counts have thousands separators on a terminal; numbers, such as offsets,
    have none. Only text and prose fold; nothing is cut. `drop`: the order in which columns are left
    out where the terminal is narrow, those with the same number together, 0 for never; with
    `if_zero`, only if it is zero in every row.
    """

    key: str
    title: str
    kind: Kind = "text"
    drop: int = 0
    if_zero: bool = False


def format_of(given: Format | None, *, as_json: bool, whole: bool = False) -> Format | None:
    """The format to print in; None is the object that --json prints of a command with `whole`.

    --json prints an object a line for commands without `whole`. It is a usage error together with
    --format.
    """
    if as_json and given is not None:
        raise typer.BadParameter("give --format or --json, not both.", param_hint="--format")
    if as_json:
        return None if whole else Format.JSONL
    return given or Format.TABLE


def time_in(form: Format | None, text: str) -> str:
    """An RFC 3339 time in UTC for this format: a table of much else has it to the second."""
    return f"{text[:SECONDS]}Z" if form is Format.TABLE else text


def print_table_of(
    columns: Sequence[Column],
    rows: Sequence[Row],
    fmt: Format | None,
    *,
    nothing: str,
    on: "Console | None" = None,
) -> None:
    """Print rows that have a value or None for the key of each column.

    A table and CSV have the columns; JSON has every field of the rows. `nothing` is the sentence on
    stderr for people if there are no rows. `on`: the console of a table; default: stdout.
    """
    if fmt is Format.CSV:
        _print_csv(columns, rows)
    elif fmt is Format.JSON:
        _print_array(rows)
    elif fmt is Format.JSONL:
        for row in rows:
            print_json(row)
    elif rows:
        _print_table(columns, rows, on or console())
    else:
        print_note(nothing)


def _print_table(columns: Sequence[Column], rows: Sequence[Row], on: "Console") -> None:
    fitting = _fitting(columns, rows, on.width)
    # A sentence beside columns that fill the terminal would begin outside of it.
    below = [each for each in fitting if each.kind == "prose" and _is_wide(fitting, rows, on)]
    kept = [each for each in fitting if each not in below]
    print_table(
        {each.title: _side(each) for each in kept},
        list(zip(*(_cells(each, rows, on.width) for each in kept), strict=True)),
        on,
        below=[
            " ".join(each)
            for each in zip(*(_cells(one, rows, on.width) for one in below), strict=True)
        ],
    )
    left_out = [each.title for each in columns if each not in fitting]
    if left_out:
        print_sentence(
            f"Left out because the terminal is narrow: {', '.join(left_out)}. --format csv and a "
            "wider terminal have them.",
            sys.stderr,
        )


def _is_wide(columns: Sequence[Column], rows: Sequence[Row], on: "Console") -> bool:
    ranges = (widths_of(each.title, _side(each), _cells(each, rows, on.width)) for each in columns)
    return total_width(ranges) > on.width


def _fitting(columns: Sequence[Column], rows: Sequence[Row], room: int) -> list[Column]:
    """The columns without those that may be left out and have no room."""
    kept = list(columns)
    ranges = {each: widths_of(each.title, _side(each), _cells(each, rows, room)) for each in kept}
    for drop in sorted({each.drop for each in columns if each.drop}):
        if total_width(ranges[each] for each in kept) <= room:
            break
        kept = [each for each in kept if each.drop != drop or _is_needed(each, rows)]
    return kept


def _is_needed(column: Column, rows: Iterable[Row]) -> bool:
    return column.if_zero and not all(_is_zero(row[column.key]) for row in rows)


def _is_zero(value: Any) -> bool:
    return not str(value or "").strip("-0.")


def _side(column: Column) -> str:
    if column.kind in RIGHT:
        return "right"
    return "prose" if column.kind in FOLDING else "left"


def _cells(column: Column, rows: Iterable[Row], room: int) -> list[str]:
    texts = [plain(_text(row[column.key])) for row in rows]
    # A program that reads a pipe takes "1,234" for two fields or for no number.
    if column.kind not in GROUPED or room >= UNLIMITED:
        return texts
    return list(map(grouped, texts))


def grouped(number: str) -> str:
    """A decimal text with separators between thousands; any other text as it is."""
    if not NUMBER.fullmatch(number):
        return number
    whole, point, decimals = number.partition(".")
    sign, digits = (whole[0], whole[1:]) if whole[0] in "+-" else ("", whole)
    return f"{sign}{int(digits):,}{point}{decimals}"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool | Mapping | list | tuple):
        return json.dumps(value)
    return str(value)


def _print_csv(columns: Sequence[Column], rows: Iterable[Row]) -> None:
    """RFC 4180: a header with the keys, quotes where needed, lines that end with CR LF."""
    out = csv.writer(sys.stdout)
    on_terminal = sys.stdout.isatty()
    out.writerow([each.key for each in columns])
    for row in rows:
        cells = [safe_for_spreadsheets(_text(row[each.key])) for each in columns]
        out.writerow(map(plain, cells) if on_terminal else cells)


def _print_array(rows: Sequence[Row]) -> None:
    """An array with an object a line."""
    objects = ",\n".join(map(json.dumps, rows))
    print(f"[\n{objects}\n]" if rows else "[]")

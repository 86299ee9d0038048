"""Output for a terminal or a pipe: tables without cut cells, and no control characters."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

UNLIMITED = 1_000_000
"""Columns of a pipe or a file."""
LEAST_PROSE = 24
"""Columns for a sentence on any terminal, even if the line gets longer than the terminal."""


def plain(text: str) -> str:
    """`text` with control characters and marks of direction spelt out.

    Texts of producers are printed, and could contain them.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def plain_lines(text: str) -> str:
    """`plain` for each line of a text of ours."""
    return "\n".join(map(plain, text.split("\n")))


def console(file: TextIO | None = None) -> "Console":
    """A console on `file` or stdout: as wide as a terminal, and of unlimited width otherwise.

    FORCE_COLOR and COLUMNS do not change that: they would cut numbers.
    """
    from rich.console import Console

    stream = sys.stdout if file is None else file
    made = Console(file=file, emoji=False, highlight=False)
    return made if stream.isatty() else Console(
        file=file, emoji=False, highlight=False, width=UNLIMITED
    )  # fmt: skip


def print_table(
    columns: Mapping[str, str], rows: Iterable[Sequence[str]], on: "Console | None" = None
) -> None:
    """Print a table. `columns` by title: "right", "left" or "prose", sentences that may fold."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title, side in columns.items():
        table.add_column(
            title, justify="right" if side == "right" else "left", no_wrap=side != "prose"
        )
    for row in rows:
        # As text, not as markup, where [red] would be a colour.
        table.add_row(*(Text(plain(cell)) for cell in row))
    print_whole(table, on)


def print_whole(table: "Table", on: "Console | None" = None) -> None:
    """Print `table` without cutting a cell: columns with `no_wrap` are as wide as their content.

    The other columns fold between words to the width that remains. The table may be wider than the
    terminal.
    """
    from rich.console import Console
    from rich.measure import Measurement

    on = on or console()
    free = on.options.update(width=UNLIMITED)

    def width_of(cells: Iterable["RenderableType"]) -> Measurement:
        found = [Measurement.get(on, free, cell) for cell in cells]
        return Measurement(max(each.minimum for each in found), max(each.maximum for each in found))

    folding = []
    for column in table.columns:
        least, most = width_of([column.header, *column.cells])
        column.overflow, column.width = "fold", most
        if not column.no_wrap:
            folding.append((column, min(most, max(least, LEAST_PROSE)), most))
            column.width = folding[-1][1]
    total = Measurement.get(on, free, table).maximum
    spare = max(on.width - total, 0)
    for index, (column, least, most) in enumerate(folding):
        more = min(most - least, spare // (len(folding) - index))
        column.width, spare, total = least + more, spare - more, total + more
    whole = Console(file=on.file, emoji=False, highlight=False, width=max(total, 1))
    whole.print(table, crop=False)

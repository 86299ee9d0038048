"""What people read on a terminal or in a pipe: whole numbers, and nothing a terminal obeys."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

UNLIMITED = 1_000_000
"""Columns of a pipe or a file."""
LEAST_PROSE = 24
"""Columns that a sentence gets on any terminal; the line is longer than the terminal if need be."""


def plain(text: str) -> str:
    """`text` with whatever a terminal might obey, or show otherwise than it is, spelt out.

    What producers write is printed; control characters and marks of direction are among it.
    """
    return text if text.isprintable() else "".join(map(_plain, text))


def _plain(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def plain_lines(text: str) -> str:
    """The same for a text of ours that has lines."""
    return "\n".join(map(plain, text.split("\n")))


def console(file: TextIO | None = None) -> "Console":
    """Of stdout, or another stream; as wide as the terminal, and without end where there is none.

    Whatever FORCE_COLOR and COLUMNS say: they ask for colours and a width, not for cut numbers.
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
    """`columns` by title, with "right", "left", or "prose": sentences, the only ones that fold."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for title, side in columns.items():
        table.add_column(
            title, justify="right" if side == "right" else "left", no_wrap=side != "prose"
        )
    for row in rows:
        # Not markup, in which [red] would be a colour.
        table.add_row(*(Text(plain(cell)) for cell in row))
    print_whole(table, on)


def print_whole(table: "Table", on: "Console | None" = None) -> None:
    """`table` with no cell cut: columns of `no_wrap` are as wide as what is in them.

    The others fold between words, to what the terminal leaves them; a word is never cut. The table
    may come out wider than the terminal.
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

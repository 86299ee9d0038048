"""Output for a terminal or a pipe: tables without cut cells, and no control characters."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

UNLIMITED = 1_000_000
"""Columns of a pipe or a file."""
LEAST_PROSE = 24
"""Columns for a sentence on any terminal, even if the line gets longer than the terminal."""
BETWEEN = "  "
"""Between two columns of a table."""
INDENT = "    "
"""Before a sentence below a row."""


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


def columns_of(file: TextIO) -> int:
    """The columns of a terminal, at least 20; UNLIMITED for a pipe or a file."""
    return max(shutil.get_terminal_size().columns, 20) if file.isatty() else UNLIMITED


def folded(text: str, columns: int) -> list[str]:
    """The lines of a sentence; a line breaks between words alone."""
    return textwrap.wrap(text, columns, break_long_words=False, break_on_hyphens=False)


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
    columns: Mapping[str, str],
    rows: Iterable[Sequence[str]],
    on: "Console | None" = None,
    *,
    below: Sequence[str] = (),
) -> None:
    """Print a table. `columns` by title: "right", "left" or "prose", sentences that may fold.

    The other columns are as wide as their content, so the table may be wider than the terminal.
    `below`: a sentence for each row, printed under it, or nothing.
    """
    from rich.text import Text

    on = on or console()
    cells = [[plain(cell) for cell in row] for row in rows]
    ranges = [
        widths_of(title, side, (row[index] for row in cells))
        for index, (title, side) in enumerate(columns.items())
    ]
    widths = _shared(ranges, on.width)
    sides = ["right" if side == "right" else "left" for side in columns.values()]
    title, *lines = _lines(list(columns), sides, widths, on)
    for row, sentence in zip_longest(cells, below, fillvalue=""):
        lines += _lines(row, sides, widths, on)
        if sentence:
            lines += [INDENT + line for line in folded(plain(sentence), on.width - len(INDENT))]
    # As text, not as markup, where [red] would be a colour.
    on.print(Text(title, "table.header"), soft_wrap=True)
    if lines:
        # All at once: rich takes 30 us a cell, which is half a minute for 100,000 accounts.
        on.file.write("\n".join([*lines, ""]))


def widths_of(title: str, side: str, cells: Iterable[str]) -> tuple[int, int]:
    """The least and the greatest width of a column. Both are the same unless it may fold."""
    texts = [title, *cells]
    most = max(map(_width, texts))
    if side != "prose":
        return most, most
    word = max((_width(word) for text in texts for word in text.split()), default=0)
    return min(most, max(word, LEAST_PROSE)), most


def total_width(ranges: Iterable[tuple[int, int]]) -> int:
    """The least width of a table that has columns of these widths."""
    leasts = [least for least, _ in ranges]
    return sum(leasts) + len(BETWEEN) * (len(leasts) - 1)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _shared(ranges: Sequence[tuple[int, int]], room: int) -> list[int]:
    """The width of each column; columns that may fold share the room that remains."""
    spare = max(room - total_width(ranges), 0)
    folding = sum(least < most for least, most in ranges)
    widths = []
    for least, most in ranges:
        more = 0
        if least < most:
            more, folding = min(most - least, spare // folding), folding - 1
        widths.append(least + more)
        spare -= more
    return widths


def _lines(
    row: Sequence[str], sides: Sequence[str], widths: Sequence[int], on: "Console"
) -> list[str]:
    """The lines of one row, padded to the same length on a terminal."""
    folded = [_folded(cell, width, on) for cell, width in zip(row, widths, strict=True)]
    lines = [
        BETWEEN.join(map(_padded, parts, sides, widths))
        for parts in zip_longest(*folded, fillvalue="")
    ]
    return lines if on.width < UNLIMITED else [each.rstrip(" ") for each in lines]


def _folded(cell: str, width: int, on: "Console") -> list[str]:
    if _width(cell) <= width:
        return [cell]
    from rich.text import Text

    return [each.plain.rstrip(" ") for each in Text(cell).wrap(on, width, overflow="fold")]


def _padded(text: str, side: str, width: int) -> str:
    blanks = " " * (width - _width(text))
    return blanks + text if side == "right" else text + blanks

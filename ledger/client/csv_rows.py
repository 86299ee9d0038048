"""Reads the rows of a CSV file (RFC 4180) from its numbered lines, as they arrive."""

import codecs
import csv
from collections.abc import Iterator, Sequence

from ledger.client.bulk import BOM, Line
from ledger.client.csv_mapping import MappingError
from ledger.client.lines import MAX_LINE
from ledger.domain.refusal import Reason, Refused

UTF_8 = ("utf-8", "utf-8-sig")

Cells = list[str] | Refused
"""The texts of a row, or why it cannot be read."""


class _Incomplete(Exception):
    """A quoted text goes on after the lines that are there."""


class RowReader:
    """Gives each row that is not blank, with the number of its first line."""

    def __init__(self, encoding: str, delimiter: str) -> None:
        self._encoding, self._delimiter = encoding, delimiter
        self._waiting: list[Line] = []

    def rows(self, found: Sequence[Line], *, final: bool = False) -> Iterator[tuple[int, Cells]]:
        """The rows that these lines end; with `final` also what is left.

        Raises MappingError for a file that says it is UTF-8, and is read as something else.
        """
        self._waiting += found
        if self._waiting and self._waiting[0][0] == 1:
            self._waiting[0] = (1, self._without_bom(self._waiting[0][1]))
        while self._waiting:
            number = self._waiting[0][0]
            taken, cells = self._too_large() or self._first(final=final)
            if cells is None:
                return
            del self._waiting[:taken]
            if isinstance(cells, Refused) or any(each.strip() for each in cells):
                yield number, cells

    def _without_bom(self, line: bytes) -> bytes:
        if line.startswith(BOM) and codecs.lookup(self._encoding).name not in UTF_8:
            raise MappingError(
                f"The file begins with the mark of UTF-8, and the mapping says {self._encoding}: "
                'its letters would become others. Give encoding = "utf-8".'
            )
        return line.removeprefix(BOM)

    def _too_large(self) -> tuple[int, Cells] | None:
        # The Splitter has cut it.
        if len(self._waiting[0][1]) <= MAX_LINE:
            return None
        sentence = f"The line has more than {MAX_LINE} bytes; no transaction needs so many."
        return 1, Refused(Reason.TOO_LARGE, sentence)

    def _first(self, *, final: bool) -> tuple[int, Cells | None]:
        """How many lines the first row takes, and its cells; None for more lines to come."""
        taken = 0

        def texts() -> Iterator[str]:
            nonlocal taken
            for _, line in self._waiting:
                taken += 1
                yield line.decode(self._encoding) + "\n"
            if not final:
                raise _Incomplete

        try:
            cells = next(csv.reader(texts(), delimiter=self._delimiter, strict=True))
        except _Incomplete:
            if sum(len(line) for _, line in self._waiting) <= MAX_LINE:
                return taken, None
            return taken, _unreadable("A quoted text that begins here does not end")
        except UnicodeDecodeError as error:
            byte = error.start + 1
            return taken, _unreadable(f"Byte {byte} of the line is not {self._encoding}")
        except csv.Error as error:
            if "unexpected end" in str(error):
                return taken, _unreadable("A quoted text that begins here does not end")
            return taken, _unreadable(f"The row is not CSV ({error})")
        return taken, cells


def _unreadable(what: str) -> Refused:
    return Refused(Reason.UNREADABLE, f"{what}.")

"""A file of statements: its format, and the whole statements in it."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ledger.statements import camt
from ledger.statements.csv_files import Given, read_csv
from ledger.statements.mapping import StatementMapping
from ledger.statements.model import Fault, Statement, Unproven
from ledger.statements.pages import Page, joined
from ledger.statements.source import Limits, Source

CAMT, MT940, CSV = "camt.053", "MT940", "CSV"
HEAD_BYTES = 64 * 1024
_XML = re.compile(rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?[\s\0]*<")
_SWIFT = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:\{1:|(?:[A-Z0-9 ]{1,40}\r?\n){0,4}:\d\d[A-Z]?:)")


class Found(NamedTuple):
    """A whole statement of a file, and the line at which it begins."""

    statement: Statement
    line: int


class Options(NamedTuple):
    """How a file is read: a mapping for CSV, an encoding for MT940, and what the file lacks."""

    mapping: StatementMapping | None = None
    encoding: str = "utf-8"
    given: Given = Given()
    limits: Limits = Limits()


def read_statements(
    stream: Source, scales: Mapping[str, int], options: Options
) -> tuple[str, list[Found]]:
    """The format, and the statements in order. `scales`: decimals by code. Raises Unproven."""
    if options.mapping is not None:
        statement = read_csv(stream, options.mapping, scales, options.given, options.limits)
        return CSV, [Found(statement, 0)]
    source = _Peeked(stream)
    form = _format_of(source.head)
    found = [Found(*each) for each in joined(_pages(form, source, scales, options))]
    if not found:
        raise Unproven(Fault.UNREADABLE, "The file has no statement.")
    return form, found


def _pages(
    form: str, source: "_Peeked", scales: Mapping[str, int], options: Options
) -> Iterator[Page]:
    if form == CAMT:
        return camt.pages_of(source, scales, options.limits)
    # Imported here: the library is needed for this format alone.
    from ledger.statements import swift

    return swift.pages_of(source, scales, options.limits, options.encoding)


def _format_of(head: bytes) -> str:
    if _XML.match(head):
        return CAMT
    if _SWIFT.match(head):
        return MT940
    raise Unproven(
        Fault.UNKNOWN_FORMAT,
        "The file is neither camt.053 nor MT940. For CSV give --mapping with the name of a mapping "
        "(`faust-ledger statements mappings` lists them).",
    )


class _Peeked:
    """A stream that is read from its beginning though its head was looked at."""

    def __init__(self, stream: Source) -> None:
        self._stream = stream
        self.head = stream.read(HEAD_BYTES)
        self._left = self.head

    def read(self, size: int = -1, /) -> bytes:
        if self._left:
            found, self._left = self._left, b""
            return found
        return self._stream.read(size)

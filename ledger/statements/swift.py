"""MT940 (SWIFT customer statement): fields by the library `mt-940`, their order and sums by us.

The library's own reading of a file leaves out what is missing and takes a reversed credit (RC) for
a credit; so only its fields are used, of which it knows the banks' variants. A file may be any
number of messages, with or without SWIFT's blocks around them.
"""

import codecs
import re
from collections.abc import Iterator, Mapping

from ledger.statements.model import Fault, Unproven
from ledger.statements.pages import Page
from ledger.statements.source import Limits, Source, chunks_of
from ledger.statements.swift_page import NEEDED, MessageReader, SwiftField
from ledger.unfit import shown

_TAG = re.compile(r":(\d\d[A-Z]?|NS):", re.ASCII)
_HEADER = re.compile(r"[A-Z0-9 ]{1,40}", re.ASCII)
"""Of a line between messages, where some banks put sender, type and receiver."""
_SKIPPED = frozenset({"13", "13D", "21", "34F", "64", "65", "90C", "90D", "NS"})
_KNOWN = _SKIPPED.union({"20", "61", "86"}, *NEEDED)
FIELD_BYTES = 64 * 1024
"""Of one field; SWIFT's longest has 396."""


def pages_of(
    stream: Source, scales: Mapping[str, int], limits: Limits, encoding: str
) -> Iterator[Page]:
    """The pages of the statements in an MT940 file, each when it has been read.

    Raises Unproven for a file that cannot be read, or a message that lacks something.
    """
    message: list[SwiftField] = []
    reader, count = MessageReader(scales), 0
    for field in _fields(stream, limits, encoding):
        if field.tag == "20" and message:
            yield reader.page(message)
            message = []
        if not message and field.tag != "20":
            raise Unproven(
                Fault.FIELD_MISSING, f":20: is missing: the message begins with :{field.tag}:.",
                field.line,
            )  # fmt: skip
        message.append(field)
        count += field.tag == "61"
        limits.require_lines(max(count, len(message) // 3), field.line)
    if not message:
        raise Unproven(Fault.UNREADABLE, "The file has no field :20:, so no statement.")
    yield reader.page(message)


class _FieldReader:
    """Puts lines together to fields."""

    def __init__(self) -> None:
        self._tag, self._parts, self._begin, self._size = "", list[str](), 0, 0

    def take(self, number: int, line: str) -> SwiftField | None:
        """The field that ends before this line. Raises Unproven."""
        match = _TAG.match(line)
        if match is not None and self._tag == "86" and match[1] not in _KNOWN:
            match = None
        if match is None and line != "-" and not line.startswith("-}"):
            self._add(number, line)
            return None
        ended = self.end()
        if match is not None:
            if match[1] not in _KNOWN:
                raise Unproven(
                    Fault.FIELD_MALFORMED, f":{match[1]}: is no field of a statement.", number
                )
            self._tag, self._begin, self._size = match[1], number, 0
            self._parts = [line[match.end() :]]
        return ended

    def _add(self, number: int, line: str) -> None:
        if self._tag:
            self._size += len(line) + 1
            if self._size > FIELD_BYTES:
                raise Unproven(Fault.TOO_LARGE, f":{self._tag}: has too much text.", self._begin)
            self._parts.append(line)
        elif line and line[0] != "-" and not _HEADER.fullmatch(line):
            raise Unproven(
                Fault.UNREADABLE, f"{shown(line)} belongs to no field: is it MT940?", number
            )

    def end(self) -> SwiftField | None:
        """The field that is left."""
        tag, self._tag = self._tag, ""
        return SwiftField(tag, "\n".join(self._parts), self._begin) if tag else None


def _fields(stream: Source, limits: Limits, encoding: str) -> Iterator[SwiftField]:
    reader = _FieldReader()
    for number, line in _lines(stream, limits, encoding):
        _, block, rest = line.rpartition("{4:")
        if line.startswith("{") and not block:
            continue
        if (field := reader.take(number, rest)) is not None:
            yield field
    if (field := reader.end()) is not None:
        yield field


def _lines(stream: Source, limits: Limits, encoding: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without blanks at their ends."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number, rest = 0, ""
    for chunk in (*chunks_of(stream, limits), b""):
        try:
            *whole, rest = (rest + decoder.decode(chunk, final=not chunk)).split("\n")
        except UnicodeDecodeError as error:
            raise Unproven(
                Fault.WRONG_ENCODING,
                f"The file is not {encoding}. Give the bank's with --encoding, such as latin-1.",
                number + 1,
            ) from error
        for number, line in enumerate(whole, number + 1):  # noqa: B020 - it goes on from there
            yield number, line.removeprefix("\ufeff").rstrip()
        if len(rest) > FIELD_BYTES:
            raise Unproven(Fault.TOO_LARGE, "The line has too much text.", number + 1)
    if rest:
        yield number + 1, rest.rstrip()

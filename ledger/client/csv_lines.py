"""Reads transactions from a CSV file, as the JSON objects that its rows stand for.

Amounts stay text. A row that cannot be read may belong to the transaction before it or after it:
where a row is an entry, neither of them is published, for it would lack something.
"""

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, BinaryIO

from ledger.client.bulk import Row, lines_of
from ledger.client.csv_mapping import OPTIONAL, SHARED, TIMES, CsvMapping, MappingError
from ledger.client.csv_rows import Cells, RowReader
from ledger.client.lines import Malformed, malformed
from ledger.domain.checks import MAX_ENTRIES
from ledger.domain.refusal import Reason, Refused
from ledger.unfit import shown

SHOWN = 20
"""Columns that a message names."""
APART = Refused(
    Reason.FIELD_MALFORMED,
    "There are rows with this transaction_id elsewhere in the file too: the rows of one "
    "transaction must follow each other.",
    "transaction_id",
)


@dataclass(slots=True)
class CsvRow:
    """A transaction, and the lines of its rows."""

    mapping: CsvMapping
    transaction_id: str | None
    lines: list[int]
    fields: dict[str, Any] | Refused

    def located(self, refused: Refused) -> Refused:
        """The refusal, with the line and the column that are meant."""
        entry = re.match(r"entries\[(\d+)\]", refused.field)
        index = int(entry[1]) if entry and self.mapping.rows == "entries" else 0
        return self.at(self.lines[min(index, len(self.lines) - 1)], refused)

    def at(self, line: int, refused: Refused) -> Refused:
        """The refusal of a field in this line, unless its sentence has a place already."""
        column = self.mapping.column_of(refused.field)
        places = [f"line {line}"] if line != self.lines[0] else []
        places += [f"column {column!r}"] if column else []
        if not places or refused.sentence.startswith(("line ", "column ")):
            return refused
        sentence = f"{', '.join(places)}: {refused.sentence}"
        return Refused(refused.reason, sentence, refused.field)


class CsvColumns:
    """The fields of a row, by the mapping and the file's header. Raises MappingError."""

    def __init__(self, mapping: CsvMapping, header: list[str]) -> None:
        self.mapping, self.width = mapping, len(header)
        columns = {**mapping.columns, **{f"metadata.{k}": v for k, v in mapping.metadata.items()}}
        for name in columns.values():
            if header.count(name) != 1:
                what = "no column" if name not in header else "more than one column"
                there = ", ".join(map(shown, header[:SHOWN]))
                raise MappingError(f"The file has {what} {name!r}, which the mapping names. "
                                   f"Its columns are {there}.")  # fmt: skip
        self._places = {field: header.index(name) for field, name in columns.items()}

    def name_of(self, cells: list[str]) -> str:
        """The transaction_id; empty text for none."""
        return cells[self._places["transaction_id"]]

    def shared(self, cells: list[str]) -> dict[str, str]:
        """The fields of the whole transaction. Raises Malformed."""
        metadata = [f"metadata.{name}" for name in self.mapping.metadata]
        texts = {name: self._text(cells, name, name) for name in (*SHARED, *OPTIONAL, *metadata)}
        return {name: text for name, text in texts.items() if text}

    def entry(self, cells: list[str], index: int) -> dict[str, str]:
        """The entry in a row that is one. Raises Malformed."""
        names = ("account", "side", "amount", "currency")
        return self._entry(cells, index, {name: name for name in names})

    def both_entries(self, cells: list[str]) -> list[dict[str, str]]:
        """The two entries of a row that is a transaction. Raises Malformed."""
        return [
            self._entry(cells, index, {"account": f"{side}_account", "amount": "amount",
                                       "currency": "currency"}) | {"side": side}
            for index, side in enumerate(("debit", "credit"))
        ]  # fmt: skip

    def _entry(self, cells: list[str], index: int, names: dict[str, str]) -> dict[str, str]:
        where = f"entries[{index}]."
        texts = {key: self._text(cells, name, where + key) for key, name in names.items()}
        return {key: text for key, text in texts.items() if text}

    def _text(self, cells: list[str], name: str, path: str) -> str:
        if name not in self._places:
            return self.mapping.constants.get(name, "")
        text = cells[self._places[name]]
        if not text:
            return ""
        if (known := self.mapping.values.get(name)) is not None:
            if text not in known:
                raise malformed(
                    path, f"is {shown(text)}, which the mapping's [values.{name}] lacks"
                )
            text = known[text]
        try:
            if name == "amount":
                return self.mapping.amount(text)
            return self.mapping.time(text) if name in TIMES else text
        except ValueError as error:
            reason = Reason.AMOUNT_MALFORMED if name == "amount" else Reason.FIELD_MALFORMED
            raise Malformed(Refused(reason, f"{path} {error}.", path)) from error


@dataclass(slots=True)
class _Group:
    """The rows of one transaction; `unreadable`: the line of a row that may belong to it."""

    name: str
    unreadable: int | None
    rows: list[tuple[int, list[str]]] = field(default_factory=list)


class CsvReader:
    """Takes the rows of a file and gives its transactions.

    `apart`: ids whose rows do not follow each other; they are refused.
    """

    def __init__(self, mapping: CsvMapping, *, apart: Collection[str] = ()) -> None:
        self._mapping, self._apart = mapping, apart
        self._columns: CsvColumns | None = None
        self._group: _Group | None = None
        self._unreadable: int | None = None

    def take(self, number: int, cells: Cells) -> Iterator[tuple[int, Row]]:
        """The transactions that end with this row. Raises MappingError for the header."""
        if self._columns is None:
            if isinstance(cells, Refused):
                raise MappingError(f"Line {number} must name the columns. {cells.sentence}")
            self._columns = CsvColumns(self._mapping, cells)
            return
        cells = self._whole(self._columns, cells)
        if isinstance(cells, Refused):
            yield number, CsvRow(self._mapping, None, [number], cells)
            self._unreadable = number
            if self._group is not None:
                self._group.unreadable = number
        elif self._mapping.rows == "transactions":
            yield number, self._transaction(self._columns, number, cells)
        else:
            yield from self._add(self._columns.name_of(cells), number, cells)

    def _whole(self, columns: CsvColumns, cells: Cells) -> Cells:
        if isinstance(cells, Refused):
            return cells
        if len(cells) != columns.width:
            sentence = f"The row has {len(cells)} cells, and the file {columns.width} columns."
            return Refused(Reason.UNREADABLE, sentence)
        if not columns.name_of(cells):
            sentence = "transaction_id is missing; every row must have it."
            return Refused(Reason.FIELD_MISSING, sentence, "transaction_id")
        return self._swallowing(cells) or cells

    def _swallowing(self, cells: list[str]) -> Refused | None:
        """The refusal of a text whose quotes are those of two rows, with other rows in it.

        Its first line then has what follows it in a row, and its last one what precedes it.
        """
        mark = self._mapping.delimiter
        for index, text in enumerate(cells):
            first, line_end, rest = text.partition("\n")
            last = rest.rpartition("\n")[2]
            around = (len(cells) - 1 - index, index)
            if line_end and (first.count(mark), last.count(mark)) == around:
                sentence = (
                    f"A quoted text goes on for {text.count(line_end) + 1} lines and has rows of "
                    "the file in it: a quote is missing, or is one too many."
                )
                return Refused(Reason.UNREADABLE, sentence)
        return None

    def _add(self, name: str, number: int, cells: list[str]) -> Iterator[tuple[int, Row]]:
        if self._group is None or name != self._group.name:
            yield from self.end()
            self._group = _Group(name, self._unreadable)
        self._unreadable = None
        # One more than a transaction may have, so that it is refused for that.
        if len(self._group.rows) <= MAX_ENTRIES:
            self._group.rows.append((number, cells))

    def end(self) -> Iterator[tuple[int, Row]]:
        """The transaction that is left. Raises MappingError for a file without a header."""
        if self._columns is None:
            raise MappingError("The file is empty: its first line must name the columns.")
        if self._group is not None:
            group, self._group = self._group, None
            row = CsvRow(self._mapping, group.name, [each[0] for each in group.rows], {})
            row.fields = self._grouped(self._columns, group, row)
            yield row.lines[0], row

    def _grouped(self, columns: CsvColumns, group: _Group, row: CsvRow) -> dict[str, Any] | Refused:
        if group.unreadable is not None:
            line = group.unreadable
            sentence = f"line {line} cannot be read, and may belong to this transaction."
            return Refused(Reason.UNREADABLE, sentence)
        if group.name in self._apart:
            return APART
        shared: dict[str, str] = {}
        entries = []
        for index, (number, cells) in enumerate(group.rows):
            try:
                entries.append(columns.entry(cells, index))
                _merge(shared, columns.shared(cells), row.lines[0])
            except Malformed as error:
                return row.at(number, error.refused)
        return _object(shared, entries)

    def _transaction(self, columns: CsvColumns, number: int, cells: list[str]) -> CsvRow:
        row = CsvRow(self._mapping, columns.name_of(cells), [number], {})
        try:
            row.fields = _object(columns.shared(cells), columns.both_entries(cells))
        except Malformed as error:
            row.fields = error.refused
        return row


def _merge(shared: dict[str, str], more: dict[str, str], first: int) -> None:
    for name, text in more.items():
        if shared.setdefault(name, text) != text:
            raise malformed(
                name, f"is {shown(text)}, and not that of the transaction's line {first}"
            )


def _object(shared: dict[str, str], entries: list[dict[str, str]]) -> dict[str, Any]:
    metadata = {name.removeprefix("metadata."): text for name, text in shared.items()
                if name.startswith("metadata.")}  # fmt: skip
    plain = {name: text for name, text in shared.items() if not name.startswith("metadata.")}
    return {**plain, "entries": entries, "metadata": metadata}


async def csv_lines_of(
    stream: BinaryIO,
    mapping: CsvMapping,
    on_bytes: Callable[[int], None] = lambda count: None,
    *,
    apart: Collection[str] = (),
) -> AsyncIterator[list[tuple[int, bytes | Row]]]:
    """The transactions of `stream` as they arrive, each with the number of its first line."""
    reader = CsvReader(mapping, apart=apart)
    async for rows in _rows_of(stream, mapping, on_bytes):
        yield [made for row in rows for made in reader.take(*row)]
    yield list(reader.end())


async def _rows_of(
    stream: BinaryIO, mapping: CsvMapping, on_bytes: Callable[[int], None] = lambda count: None
) -> AsyncIterator[list[tuple[int, Cells]]]:
    reader = RowReader(mapping.encoding, mapping.delimiter)
    async for found in lines_of(stream, on_bytes, keep_blank=True):
        yield list(reader.rows(found))
    yield list(reader.rows([], final=True))


async def ids_apart(stream: BinaryIO, mapping: CsvMapping) -> set[str]:
    """The ids whose rows do not follow each other, in a file of which each row is an entry.

    It keeps eight bytes of each id's digest: two ids that share them are refused, and not mixed.
    """
    seen, apart, last = set[bytes](), set[str](), ""
    columns: CsvColumns | None = None
    async for rows in _rows_of(stream, mapping):
        for _, cells in rows:
            if isinstance(cells, Refused):
                continue
            if columns is None:
                columns = CsvColumns(mapping, cells)
                continue
            name = columns.name_of(cells) if len(cells) == columns.width else ""
            if name in ("", last):
                continue
            last, digest = name, blake2b(name.encode(), digest_size=8).digest()
            if digest in seen:
                apart.add(name)
            seen.add(digest)
    return apart

"""What `publish` and `check` read: JSON Lines or CSV, from a file or standard input."""

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

import typer

from ledger.clock import now

if TYPE_CHECKING:
    from ledger.client.bulk import Source
    from ledger.client.csv_mapping import CsvMapping

SPOOL_BYTES = 16 * 1024 * 1024

FileArgument = Annotated[
    str,
    typer.Argument(help="A file of JSON Lines, or of CSV with --csv; - for standard input."),
]
CsvOption = Annotated[
    Path | None,
    typer.Option(
        "--csv", metavar="MAPPING.toml",
        help="The input is CSV; this file states what its columns mean (docs/producers.md).",
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Input:
    """The lines; for a regular file also its size and its modification time in microseconds.

    `mapping`: of CSV. `apart`: ids that its rows have at several places.
    """

    stream: BinaryIO
    size: int | None = None
    modified: int | None = None
    is_seekable: bool = False
    mapping: "CsvMapping | None" = None
    apart: Collection[str] = ()

    def lines(self, on_bytes: Callable[[int], None] = lambda count: None) -> "Source":
        """The lines or transactions as they arrive; `on_bytes` is called with the bytes read."""
        if self.mapping is None:
            from ledger.client.bulk import lines_of

            return lines_of(self.stream, on_bytes)
        from ledger.client.csv_lines import csv_lines_of

        return csv_lines_of(self.stream, self.mapping, on_bytes, apart=self.apart)

    def rewind(self) -> None:
        """Begin again; only where it is seekable."""
        self.stream.seek(0)

    def default_time(self) -> int:
        """created_at of lines without one: when the file was modified, else the present."""
        return now() if self.modified is None else self.modified

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self.stream is not _standard_input():
            self.stream.close()


async def open_input(file: str, csv: Path | None, *, spool: bool) -> Input:
    """With `spool`, what cannot be read twice is copied to a temporary file first.

    A usage error for a file that cannot be read, or a mapping that is not the file's.
    """
    if csv is None:
        if file.lower().endswith(".csv"):
            raise typer.BadParameter(
                f"{file} is CSV by its name: give --csv MAPPING.toml, which states what its "
                "columns mean (docs/producers.md).", param_hint="FILE",
            )  # fmt: skip
        return await _opened(file, spool=spool)
    from ledger.client.csv_lines import ids_apart
    from ledger.client.csv_mapping import read_mapping

    mapping = read_mapping(csv)
    if mapping.rows == "transactions":
        return replace(await _opened(file, spool=spool), mapping=mapping)
    # Half of a transaction could be published before its other rows are seen.
    found = await _opened(file, spool=True)
    try:
        apart = await ids_apart(found.stream, mapping)
    except BaseException:
        found.close()
        raise
    found.rewind()
    return replace(found, mapping=mapping, apart=apart)


async def _opened(file: str, *, spool: bool) -> Input:
    stream = _stream_of(file)
    if file != "-":
        found = os.fstat(stream.fileno())
        if stat.S_ISREG(found.st_mode):
            return Input(stream, found.st_size, found.st_mtime_ns // 1000, is_seekable=True)
    if not spool:
        return Input(stream)
    from ledger.client.bulk import read_chunk

    spooled = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - Input.close
    # Not in this thread: a silent pipe could then not be interrupted.
    while chunk := await read_chunk(stream):
        spooled.write(chunk)
    spooled.seek(0)
    return Input(cast("BinaryIO", spooled), is_seekable=True)


def _stream_of(file: str) -> BinaryIO:
    if file == "-":
        return _standard_input()
    try:
        # Unbuffered: Python crashes at exit while a thread still waits for a buffer.
        return cast("BinaryIO", Path(file).open("rb", buffering=0))
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error


def _standard_input() -> BinaryIO:
    return cast("BinaryIO", getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))

"""The standard streams of a command: always open, and never a reason to crash."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

from ledger.errors import LedgerError

STANDARD = (0, 1, 2)
NO_READER = 141
"""Exit status of a command whose reader has gone: 128 and SIGPIPE, as in a shell."""


class OutputFailed(LedgerError):
    """Output could not be written."""


def open_streams() -> None:
    """Replace the standard streams with open ones that take any text. Call it before all else."""
    _open_closed()
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for ever
    sys.stdout = _on(1, Output, sys.stdout, by_line=_by_line(sys.stdout, 1))
    sys.stderr = _on(2, ErrorStream, sys.stderr, by_line=True)


def finish() -> None:
    """Flush. Raises as printing does; Python itself would exit with status 120."""
    sys.stdout.flush()
    sys.stderr.flush()


def _open_closed() -> None:
    """Open /dev/null where a standard stream is closed.

    Otherwise a socket to Kafka could get its number, and receive what is printed.
    """
    while (lowest := os.open(os.devnull, os.O_RDWR)) in STANDARD:
        # Processes that a command starts need it too.
        os.set_inheritable(lowest, True)
    os.close(lowest)


def _by_line(stream: TextIO | None, number: int) -> bool:
    """Whether to flush each line: on a terminal, and where PYTHONUNBUFFERED asks for it."""
    return os.isatty(number) or bool(getattr(stream, "write_through", False))


class Output(io.TextIOWrapper):
    """stdout. If its reader has gone the command exits silently with status 141.

    Raises OutputFailed where it cannot be written, for example on a full disk; later output is
    dropped.
    """

    # Not in a raw stream below this one: an interrupt between a write and the count of what was
    # written would make the buffer write the same text again.
    def write(self, text: str) -> int:
        with _ending(self.fileno()):
            return super().write(text)

    def flush(self) -> None:
        with _ending(self.fileno()):
            super().flush()


@contextmanager
def _ending(number: int) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _drop(number)
        # rich, click and typer exit with 1 for Python's own exceptions.
        raise SystemExit(NO_READER) from None
    except OSError as error:
        _drop(number)
        raise OutputFailed(
            f"Part of the output is missing: it cannot be written ({error.strerror}). Make room, "
            "or send it elsewhere, and run the command again."
        ) from error


class ErrorStream(io.TextIOWrapper):
    """stderr. What cannot be written is dropped, and never ends a command."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            _drop(self.fileno())
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            _drop(self.fileno())


Stream = TypeVar("Stream", Output, ErrorStream)


def _on(number: int, kind: type[Stream], stream: TextIO | None, *, by_line: bool) -> Stream:
    """A buffered stream of text on a descriptor; characters that it cannot encode are spelt out.

    It is buffered under PYTHONUNBUFFERED too. Text on an unbuffered stream is silently cut where
    the system writes a part of it, as it does at a pipe when a signal arrives:
    https://github.com/python/cpython/issues/85393
    """
    # A descriptor that another program made non-blocking would lose what its buffer cannot take.
    os.set_blocking(number, True)
    return kind(
        open(number, "wb", closefd=False), encoding="utf-8" if stream is None else stream.encoding,
        errors="backslashreplace", line_buffering=by_line,
    )  # fmt: skip


def _drop(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)

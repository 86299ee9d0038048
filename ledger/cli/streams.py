"""The standard streams of a command: always there, and no reason to crash."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

from ledger.errors import LedgerError

STANDARD = (0, 1, 2)
NOBODY_READS = 141
"""The status of a command whose reader has gone: 128 and SIGPIPE, as a shell has it."""


class OutputFailed(LedgerError):
    """What was to be printed could not be written."""


def prepare() -> None:
    """Before anything is opened: streams that are there, and that take whatever is printed."""
    _open_closed()
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for ever
    sys.stdout = _on(1, Output, sys.stdout, by_line=_by_line(sys.stdout, 1))
    sys.stderr = _on(2, Messages, sys.stderr, by_line=True)


def finish() -> None:
    """Write what is left. Raises as printing does: Python itself would end with status 120."""
    sys.stdout.flush()
    sys.stderr.flush()


def _open_closed() -> None:
    """Open /dev/null where a standard stream is closed: a socket must not get its number.

    Kafka would be sent what is printed.
    """
    while (lowest := os.open(os.devnull, os.O_RDWR)) in STANDARD:
        # For the processes that a command starts as well.
        os.set_inheritable(lowest, True)
    os.close(lowest)


def _by_line(stream: TextIO | None, number: int) -> bool:
    """As it was: on a terminal, and where PYTHONUNBUFFERED asks for it."""
    return os.isatty(number) or bool(getattr(stream, "write_through", False))


class Output(io.TextIOWrapper):
    """stdout. If nobody reads it the command ends without a word, with status 141.

    Raises OutputFailed where it cannot be written, on a full disk say. Whatever comes after that is
    dropped.
    """

    # Here and not in a raw stream below: an interrupt between a write and what counts it would have
    # the same text written again.
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
        # Not an exception of Python's own: rich, click and typer end with 1 for those.
        raise SystemExit(NOBODY_READS) from None
    except OSError as error:
        _drop(number)
        raise OutputFailed(
            f"Part of the output is missing: it cannot be written ({error.strerror}). Make room, "
            "or send it elsewhere, and run the command again."
        ) from error


class Messages(io.TextIOWrapper):
    """stderr. What cannot be written there is dropped: it must not end what is being done."""

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


Stream = TypeVar("Stream", Output, Messages)


def _on(number: int, kind: type[Stream], stream: TextIO | None, *, by_line: bool) -> Stream:
    """Text of any kind on a descriptor: what the encoding has no place for is spelt out.

    It is buffered also under PYTHONUNBUFFERED. Text on an unbuffered stream ends where the system
    took a part of a write, as it does at a pipe when a signal comes, and nothing is said:
    https://github.com/python/cpython/issues/85393
    """
    # One that another program has, and does not wait on, would lose what it has no room for.
    os.set_blocking(number, True)
    return kind(
        open(number, "wb", closefd=False), encoding="utf-8" if stream is None else stream.encoding,
        errors="backslashreplace", line_buffering=by_line,
    )  # fmt: skip


def _drop(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)

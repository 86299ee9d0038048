"""What commands share: options, settings, one loop, output for people and for programs."""

import asyncio
import io
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ledger.settings import Settings

OK = 0
REFUSED = 1
TIME_UP = 2

T = TypeVar("T")

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", envvar="FAUST_LEDGER_DATA_DIR", show_default=False,
        help="The embedded stack to talk to. Default: the setting data_dir.",
    ),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout, for programs.")]


def settings_for(data_dir: Path | None) -> "Settings":
    """The settings of this command; a company's proxy is kept out of loopback's way."""
    from ledger.settings import load
    from ledger.stack.prepare import around_proxies

    os.environ.update(around_proxies())
    return load(data_dir)


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, on a fast loop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def buffer_output() -> None:
    """Under PYTHONUNBUFFERED, put stdout and stderr back on buffers that are written line by line.

    Text on an unbuffered stream ends where the system took a part of a write, as it does at a pipe
    when a signal comes, and nothing is said: https://github.com/python/cpython/issues/85393
    """
    sys.stdout, sys.stderr = map(_buffered, (sys.stdout, sys.stderr))


def _buffered(stream: TextIO) -> TextIO:
    # FileIO on purpose: typeshed says that a TextIO's buffer is never raw, but -u makes it so.
    raw: object = stream.buffer
    if not isinstance(raw, io.FileIO):
        return stream
    return open(
        raw.fileno(), "w", buffering=1, encoding=stream.encoding, errors=stream.errors,
        closefd=False,
    )  # fmt: skip


def plain(text: str) -> str:
    """`text` with whatever a terminal might obey, or show otherwise than it is, spelt out.

    What producers write is printed; control characters and marks of direction are among it.
    """
    return text if text.isprintable() else "".join(map(_plain, text))


def _plain(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def print_json(found: Mapping[str, Any]) -> None:
    """One object on a line of stdout."""
    # Escaped: some readers of lines take U+2028 for the end of one.
    print(json.dumps(found))


def say(text: str) -> None:
    """Lines for people, on stderr."""
    typer.echo("\n".join(map(plain, text.split("\n"))), err=True)


def errors() -> "Console":
    """stderr, as rich has it."""
    from rich.console import Console

    return Console(stderr=True)


Meter = Callable[[int], None]
"""Told how much is done so far."""


@contextmanager
def meter(what: str, total: int | None, *, in_bytes: bool = False) -> Iterator[Meter]:
    """A progress bar on stderr if that is a terminal, nothing otherwise."""
    console = errors()
    if not console.is_terminal:
        yield lambda done: None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    count = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def print_table(columns: Mapping[str, str], rows: list[list[str]]) -> None:
    """A table for people; `columns` by name, with "right" or "left"."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name, side in columns.items():
        table.add_column(name, justify="right" if side == "right" else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(plain(cell)) for cell in row))
    console = Console(emoji=False)
    # A pipe has no width to fold to.
    wide = console if console.is_terminal else Console(emoji=False, width=250)
    wide.print(table)


def time_option(text: str, name: str) -> int:
    """Microseconds since 1970 of an option: RFC 3339, or a date for that day's first instant, UTC.

    Anything else is a usage error, and so is a time that no ledger can speak of.
    """
    from ledger.client.lines import parse_time
    from ledger.domain.transaction import EARLIEST, LATEST

    found = parse_time(text if "T" in text.upper() or " " in text else f"{text}T00:00:00Z")
    if isinstance(found, str):
        raise typer.BadParameter(f"{text!r} {found}; or give a date, 2024-05-01.", param_hint=name)
    if not EARLIEST <= found <= LATEST:
        sentence = f"{text!r} is out of range: a ledger speaks of the years 1900 to 2199."
        raise typer.BadParameter(sentence, param_hint=name)
    return found

"""What commands share: options, settings, one loop, output for people and for programs."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ledger.errors import SettingsError
from ledger.hiding import hidden
from ledger.terminal import console, plain, plain_lines, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from ledger.settings import Settings

OK = 0
REFUSED = 1
TIME_UP = 2

T = TypeVar("T")

__all__ = [  # with what is `ledger.terminal`'s
    "OK", "REFUSED", "TIME_UP", "AsJson", "DataDir", "errors", "in_order", "meter", "one_of",
    "plain", "print_json", "print_table", "run", "say", "say_voids", "settings_for", "tell",
    "time_option", "voided_since",
]  # fmt: skip

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
    from ledger.settings import STACK_FILE, load
    from ledger.stack.prepare import around_proxies

    os.environ.update(around_proxies())
    settings = load(data_dir)
    given = settings.model_fields_set
    if {"data_dir", "bootstrap_servers"} & given == {"data_dir"}:
        # The defaults are the addresses of whatever ledger happens to run on this machine.
        raise SettingsError(
            f"There is no stack in {settings.data_dir} (no {STACK_FILE}), and bootstrap_servers is "
            "not set, so it is not known which ledger is meant. `faust-ledger up --data-dir "
            f"{settings.data_dir}` starts one there; or set bootstrap_servers."
        )
    return settings


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, on a fast loop."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def print_json(found: Mapping[str, Any]) -> None:
    """One object on a line of stdout."""
    # Escaped: some readers of lines take U+2028 for the end of one.
    print(json.dumps(found))


def tell(text: str) -> None:
    """Lines for people, on stdout; what a producer wrote is among them."""
    print(plain_lines(text))


def say(text: str) -> None:
    """Lines for people, on stderr, without passwords."""
    # Not typer's echo, which writes UTF-8 where ASCII was asked for.
    print(plain_lines(hidden(text)), file=sys.stderr, flush=True)


def errors() -> "Console":
    """stderr, as rich has it."""
    return console(sys.stderr)


Meter = Callable[[int], None]
"""Told how much is done so far."""


@contextmanager
def meter(what: str, total: int | None, *, in_bytes: bool = False) -> Iterator[Meter]:
    """A progress bar on stderr if that is a terminal, nothing otherwise."""
    if not sys.stderr.isatty():
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
    with Progress(*columns, console=errors(), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


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


def in_order(start: int | None, end: int | None) -> None:
    """A usage error unless there is something between --from and --to."""
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter("is not after --from, so nothing is between.", param_hint="--to")


def one_of(given: str, known: Collection[str], name: str, what: str) -> None:
    """A usage error unless `given`, of the option `name`, is one of the `what` there are."""
    if given in known:
        return
    from ledger.settings_sources import nearest

    alike = nearest(given, known)
    raise typer.BadParameter(
        f"{given!r} is no {what}.{alike} There are: {', '.join(known)}.", param_hint=name
    )


def say_voids(voids: Sequence[Mapping[str, Any]]) -> None:
    """What counts for nothing, by authority: in every audit, with who and why."""
    if not voids:
        return
    print(f"{len(voids):,} void by authority, counted nowhere (`faust-ledger void list`)")
    names = ("shard", "offset", "transaction", "void_offset", "reason")
    columns: dict[str, Any] = {
        "shard": "right", "offset": "right", "transaction": "left", "voided at": "right",
        "reason": "prose",
    }  # fmt: skip
    print_table(columns, [[str(each[name]) for name in names] for each in voids])


def voided_since(count: int) -> str:
    """What to say of accepted transactions that were voided before they were posted."""
    return (
        f"{count:,} of them could not be posted, and were voided: they count for nothing "
        "(`faust-ledger void list`)"
    )

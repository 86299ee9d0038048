"""What a command does about what nobody foresaw: a sentence, a trace in a file, and status 3."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from ledger.cli.output import say
from ledger.errors import LedgerError
from ledger.hiding import HidingFormatter, hidden
from ledger.settings_sources import PREFIX

USAGE = 2
FAULT = 3
DEBUG = f"{PREFIX}DEBUG"
KEPT = 20
"""Traces in the folder; older ones are removed."""
PRIVATE = 0o600
OURS = ("ledger", "agents", "migrations", "schemas")


class Commands(TyperGroup):
    """Every command: what it raises ends it with a status of ours.

    typer would end with 1 for an exception, for a socket's broken pipe, and for the end of a file
    that a library had not expected; 1 says that a command has found something.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            _say_usage(error)
            raise typer.Exit(USAGE if error.exit_code == USAGE else FAULT) from error
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            tell_fault(error)
            raise typer.Exit(FAULT) from error


def tell_fault(error: Exception) -> None:
    """Its own sentence, and what to report where nobody foresaw it."""
    faults = list(_leaves(error))
    if not all(isinstance(each, LedgerError) for each in faults):
        report(error)
        return
    for each in faults:
        say(str(each))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _say_usage(error: typer.TyperException) -> None:
    """As click does, and not in a frame that cuts the paths in it."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        say(f"{ctx.get_usage()}\nTry '{ctx.command_path} --help' for help.\n")
    say(f"Error: {error.format_message()}")


def report(error: BaseException) -> None:
    """Say what to report. The trace is in a file, or on stderr with FAUST_LEDGER_DEBUG."""
    trace = hidden("".join(traceback.format_exception(error)))
    kept = None if os.environ.get(DEBUG) else _kept(trace)
    if kept is None:
        sys.stderr.write(trace)
    what = str(error).strip().partition("\n")[0] or "it has no message"
    say(
        f"This is a fault of faust-ledger, and no finding about the ledger: {type(error).__name__}"
        f"{_place(error)} ({what}). Please report it with the trace "
        f"{'above' if kept is None else f'in {kept}'}."
    )


def _place(error: BaseException) -> str:
    """Where in our own code it was raised, or what called it was."""
    root = Path(__file__).parents[2]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if any(file.is_relative_to(root / each) for each in OURS):
            return f" in {file.relative_to(root)}, line {frame.lineno}"
    return ""


def _kept(trace: str) -> Path | None:
    """The trace's file; None where none can be written."""
    import platformdirs

    folder = platformdirs.user_log_path("faust-ledger")
    file = folder / f"fault-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as opened:
            opened.write(f"faust-ledger {version('faust-ledger')}, {sys.argv[1:2]}\n{trace}")
        for old in sorted(folder.glob("fault-*.txt"))[:-KEPT]:
            old.unlink(missing_ok=True)
    except OSError:
        return None
    return file


def log_plainly() -> None:
    """What libraries log about a command, without passwords and control characters."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(HidingFormatter("%(message)s"))

"""What a command does about an exception: a sentence, a trace in a file, and status 3."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from ledger.cli.help import CommandGroup
from ledger.cli.output import print_note
from ledger.errors import LedgerError
from ledger.hiding import HidingFormatter, hidden
from ledger.settings_sources import PREFIX

USAGE = 2
FAULT = 3
DEBUG = f"{PREFIX}DEBUG"
MAX_TRACES = 20
"""In the folder; older ones are removed."""
PRIVATE = 0o600
OUR_PACKAGES = ("ledger", "agents", "migrations", "schemas")


class FaultReporting(CommandGroup):
    """A group whose commands exit with status 3 for an exception, and 2 for wrong usage.

    typer would exit with 1, which means that a command has found something. It does so for a
    socket's broken pipe, and for the end of a file that a library had not expected, too.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            _print_usage(error)
            raise typer.Exit(USAGE if error.exit_code == USAGE else FAULT) from error
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            print_fault(error)
            raise typer.Exit(FAULT) from error


def print_fault(error: Exception) -> None:
    """Print the message of a fault of ours; for any other exception, what to report."""
    faults = list(_leaves(error))
    if not all(isinstance(each, LedgerError) for each in faults):
        report(error)
        return
    for each in faults:
        print_note(str(each))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _print_usage(error: typer.TyperException) -> None:
    """As click does; the help of a group for a command that was not given."""
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        return
    ctx = getattr(error, "ctx", None)
    if ctx is not None:
        print_note(f"{ctx.get_usage()}\nTry '{ctx.command_path} --help' for help.\n")
    # "Value error, " is pydantic's, and says nothing to people.
    message = error.format_message().replace(": Value error, ", ": ", 1)
    print_note(f"Error: {message}")


def report(error: BaseException) -> None:
    """Print what to report. The trace is in a file, or on stderr with FAUST_LEDGER_DEBUG."""
    trace = hidden("".join(traceback.format_exception(error)))
    file = None if os.environ.get(DEBUG) else _write_trace(trace)
    if file is None:
        sys.stderr.write(trace)
    what = str(error).strip().partition("\n")[0] or "it has no message"
    print_note(
        f"This is a fault of faust-ledger, and no finding about the ledger: {type(error).__name__}"
        f"{_place(error)} ({what}). Please report it with the trace "
        f"{'above' if file is None else f'in {file}'}."
    )


def _place(error: BaseException) -> str:
    """The innermost place in our own code of the exception's trace."""
    root = Path(__file__).parents[2]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if any(file.is_relative_to(root / each) for each in OUR_PACKAGES):
            return f" in {file.relative_to(root)}, line {frame.lineno}"
    return ""


def _write_trace(trace: str) -> Path | None:
    """The file with the trace; None where none can be written."""
    from importlib.metadata import version

    import platformdirs

    folder = platformdirs.user_log_path("faust-ledger")
    file = folder / f"fault-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as opened:
            opened.write(f"faust-ledger {version('faust-ledger')}, {sys.argv[1:2]}\n{trace}")
        for old in sorted(folder.glob("fault-*.txt"))[:-MAX_TRACES]:
            old.unlink(missing_ok=True)
    except OSError:
        return None
    return file


def log_plainly() -> None:
    """Print what libraries log, without passwords and control characters."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(HidingFormatter("%(message)s"))

"""The command `faust-ledger`: one file a command group, each of which registers its commands."""

import signal
import sys
from importlib.metadata import version as version_of
from types import FrameType
from typing import Annotated, NoReturn

import typer

from ledger.cli import (
    audit,
    bench,
    demo,
    policy,
    publish,
    read,
    rebuild,
    reconcile,
    reference,
    rejects,
    replay,
    settings_command,
    stack,
    topics,
    worker,
)
from ledger.cli.output import buffer_output, say
from ledger.errors import LedgerError

FAULT = 3
INTERRUPTED = 130

app = typer.Typer(
    name="faust-ledger",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

for group in (
    stack, publish, read, reconcile, reference, policy, rejects, audit, replay, rebuild,
    settings_command, topics, worker, demo, bench,
):  # fmt: skip
    group.register(app)


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_of("faust-ledger"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say which version this is.", callback=_say_version, is_eager=True
        ),
    ] = False,
) -> None:
    """A streaming general ledger."""


def _end(signum: int, frame: FrameType | None) -> None:
    """As Ctrl-C does, of which asyncio knows, where that is not ignored as in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        sys.exit(128 + signum)
    signal.raise_signal(signal.SIGINT)


def main() -> NoReturn:
    """Run a command; a `LedgerError` is a message on stderr and exit code 3, not a traceback."""
    buffer_output()
    # Else what a command has started, a stack for the bench say, would go on without it.
    signal.signal(signal.SIGTERM, _end)
    try:
        app()
    except LedgerError as error:
        say(str(error))
        sys.exit(FAULT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(0)


if __name__ == "__main__":
    main()

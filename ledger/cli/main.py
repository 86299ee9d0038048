"""The command `faust-ledger`: one file a command group, each of which registers its commands."""

import signal
import sys
from importlib.metadata import version as version_of
from types import FrameType
from typing import Annotated, NoReturn

import typer

from ledger.cli import (
    bench,
    commands,
    demo,
    faults,
    imports,
    policy,
    publish,
    read,
    rebuild,
    reconcile,
    reference_copy,
    rejects,
    replay,
    settings_command,
    stack,
    streams,
    topics,
    verify,
    void,
    worker,
)
from ledger.cli.faults import FAULT, Commands

INTERRUPTED = 130

app = typer.Typer(
    name="faust-ledger",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

for group in (
    stack, publish, read, reconcile, imports, reference_copy, policy, rejects, verify, replay,
    rebuild,
    settings_command, topics, void, worker, demo, bench,
):  # fmt: skip
    group.register(app)
commands.arrange(app)


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
    """A streaming general ledger: transactions in by Kafka, reconciled balances out.

    To look around, `faust-ledger demo`; to begin, `up`, then `publish`. Each command has --help.
    """


def _end(signum: int, frame: FrameType | None) -> None:
    """As Ctrl-C does, of which asyncio knows, where that is not ignored as in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        sys.exit(128 + signum)
    signal.raise_signal(signal.SIGINT)


def main() -> NoReturn:
    """Run a command, and end with its status: docs/operations.md lists them.

    A fault is a message on stderr and status 3; never 1, which says that something was found.
    """
    streams.prepare()
    faults.log_plainly()
    # Else what a command has started, a stack for the bench say, would go on without it.
    signal.signal(signal.SIGTERM, _end)
    sys.exit(_ended())


def _ended() -> int | str | None:
    try:
        status = _run()
        streams.finish()
    except SystemExit as ending:
        return ending.code
    except streams.OutputFailed as error:
        faults.tell_fault(error)
        return FAULT
    return status


def _run() -> int | str | None:
    try:
        app()
    except SystemExit as ending:
        return ending.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        faults.tell_fault(error)
        return FAULT
    return 0


if __name__ == "__main__":
    main()

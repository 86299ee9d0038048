"""The program `faust-ledger`."""

import signal
import sys
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from ledger.cli import encoding, faults, streams
from ledger.cli.commands import all_commands, reflowed
from ledger.cli.faults import FAULT, FaultReporting

INTERRUPTED = 130
ELSEWHERE = {
    "breaks": "reconcile",
    "why": "explain",
    "lines": "register",
    "transactions": "transaction show",
}
"""Words of the API and the documents that are no commands, with the command that answers them."""


class Program(FaultReporting):
    """The group of all commands."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given | {"commands": all_commands()})
        self.help = reflowed(self.help)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command; a word of ELSEWHERE is answered with the command to give."""
        command = ELSEWHERE.get(args[0]) if args else None
        if command is not None:
            ctx.fail(f"No such command {args[0]!r}. Give: faust-ledger {command}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="faust-ledger",
    cls=Program,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("faust-ledger"))
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """A streaming general ledger: transactions in by Kafka, reconciled balances out.

    `faust-ledger demo` shows everything at work. To begin, run `up`, then `publish`. Each command
    has --help.
    """


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C, which asyncio handles; exit where Ctrl-C is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        sys.exit(128 + signum)
    signal.raise_signal(signal.SIGINT)


def main() -> NoReturn:
    """Run a command and exit with its status; docs/operations.md lists them.

    A fault is a message on stderr and status 3. Status 1 is kept for what a command found.
    """
    encoding.require_utf8()
    streams.open_streams()
    faults.log_plainly()
    # A command that has started something, such as the bench a stack, then stops it.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status = _status()
        streams.finish()
    except SystemExit as ending:
        sys.exit(ending.code)
    except streams.OutputFailed as error:
        faults.print_fault(error)
        sys.exit(FAULT)
    sys.exit(status)


def _status() -> int | str | None:
    try:
        app()
    except SystemExit as ending:
        return ending.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        faults.print_fault(error)
        return FAULT
    return 0


if __name__ == "__main__":
    main()

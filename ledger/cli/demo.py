"""`faust-ledger demo`: show the whole ledger at work on one machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.output import FINDINGS, OK, errors, run
from ledger.cli.stack import directory, teller
from ledger.clock import now

if TYPE_CHECKING:
    from rich.console import Console

    from ledger.settings import Settings

SEED = 1993
SECONDS = 120.0


def run_demo(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="Data directory of the ledger that takes the made-up money. Default: one of the "
            "demo's own.",
        ),
    ] = None,
    transactions: Annotated[
        int, typer.Option(min=100, help="How many to publish; a few of them are bad.")
    ] = 5_000,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running.")] = False,
) -> None:
    """Start a ledger, publish a wealth manager's day of transactions, and show the results.

    Exit codes: 0 every transaction is reconciled or refused as expected; 1 not, or there is a
    break; 3 a fault.
    """
    from ledger.demo import show
    from ledger.demo.stage import running_stack
    from ledger.stack.progress import shown
    from ledger.stack.stack import settings_of
    from ledger.terminal import console as stdout

    place = directory(data_dir or home())
    console, messages = stdout(), errors()
    show.line(console, f"The demo's data: {place}")
    with (
        shown(messages) as meters,
        running_stack(place, workers=1, keep=keep, meters=meters, say=teller(messages)) as record,
    ):
        well = run(play(settings_of(record), console, transactions))
        show.line(console, ending(place, keep=keep))
    raise typer.Exit(OK if well else FINDINGS)


def home() -> Path:
    """The demo's own data directory."""
    import platformdirs

    return platformdirs.user_data_path("faust-ledger") / "demo"


async def play(settings: "Settings", console: "Console", count: int) -> bool:
    """Publish `count` transactions and print the results. Returns whether all are as expected."""
    from ledger.cli.reconcile import audited
    from ledger.client.balances import BalanceReader
    from ledger.demo import show
    from ledger.demo.generate import generate
    from ledger.demo.play import Player, register_assets

    at = now()
    # Each demo has ids of its own: those of an earlier demo would be repetitions.
    stream = list(generate(count, seed=SEED, label=f"demo-{at // 1_000_000}", at=at))
    await register_assets(settings, SECONDS)
    show.line(console, f"\nPublishing {count:,} transactions of a wealth manager and its clients")
    with show.following(console, count) as on_live:
        played = await Player(settings, seconds=SECONDS, on_live=on_live).play(stream)
    async with BalanceReader(settings) as reader:
        balances = await reader.snapshot()
    show.show_balances(console, balances, show.busiest_client(stream, balances))
    show.show_refusals(console, played.refusals)
    show.show_summary(console, played)
    report = await audited(settings, full=False)
    show.show_verdict(console, played, report)
    return played.well and not (report.breaks or report.pending)


def ending(place: Path, *, keep: bool) -> str:
    """The last line: what to do next."""
    if keep:
        return (
            "\nThe stack is running. Show balances with `faust-ledger balances --data-dir "
            f"{place}`, stop it with `faust-ledger down --data-dir {place}`"
        )
    return "Stopping what the demo started; the next demo continues from these balances"

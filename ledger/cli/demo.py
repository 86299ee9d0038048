"""`faust-ledger demo`: see the whole ledger at work on one machine."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.output import OK, errors, run
from ledger.cli.stack import directory, teller

if TYPE_CHECKING:
    from rich.console import Console

    from ledger.settings import Settings

SEED = 1993
SECONDS = 120.0
FAILED = 1


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(demo)


def demo(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="Whose ledger to play on: made-up money goes into it. Default: one of its own.",
        ),
    ] = None,
    transactions: Annotated[
        int, typer.Option(min=100, help="How many are published, a few bad ones included.")
    ] = 5_000,
    keep: Annotated[bool, typer.Option("--keep", help="Leave it running, to look around.")] = False,
) -> None:
    """A wealth manager's day: start everything, publish transactions, show what came of them.

    Exit codes: 0 all reconciled or refused, as they should be; 1 not, or a break; 3 a fault.
    """
    from ledger.demo import show
    from ledger.demo.stage import running
    from ledger.stack.progress import shown
    from ledger.stack.stack import settings_of

    place = directory(data_dir or home())
    console, messages = show.to_stdout(), errors()
    show.line(console, f"The demo's data: {place}")
    with (
        shown(messages) as meters,
        running(place, workers=1, keep=keep, meters=meters, say=teller(messages)) as record,
    ):
        well = run(play(settings_of(record), console, transactions))
        show.line(console, ending(place, keep=keep))
    raise typer.Exit(OK if well else FAILED)


def home() -> Path:
    """A data directory that is nobody else's."""
    import platformdirs

    return platformdirs.user_data_path("faust-ledger") / "demo"


async def play(settings: "Settings", console: "Console", count: int) -> bool:
    """Publish, follow, print; whether all came out as it should."""
    from ledger.client.balances import BalanceReader
    from ledger.demo import show
    from ledger.demo.check import reconcile
    from ledger.demo.generate import generate
    from ledger.demo.play import Player, register_assets

    now = time.time_ns() // 1_000
    # Other ids each time: the same ones would be repetitions, and no money would move.
    stream = list(generate(count, seed=SEED, label=f"demo-{now // 1_000_000}", at=now))
    await register_assets(settings, SECONDS)
    show.line(console, f"\nPublishing {count:,} transactions of a wealth manager and its clients")
    with show.following(console, count) as on_live:
        played = await Player(settings, seconds=SECONDS, on_live=on_live).play(stream)
    async with BalanceReader(settings) as reader:
        balances = await reader.snapshot()
    show.balances(console, balances, show.busiest_client(stream, balances))
    show.refusals(console, played.refusals)
    show.summary(console, played)
    report = await reconcile(settings)
    show.verdict(console, played, report)
    return played.well and not (report.breaks or report.pending)


def ending(place: Path, *, keep: bool) -> str:
    """What can be done next."""
    if keep:
        return (
            f"\nStill running. Look around with `faust-ledger balances --data-dir {place}`, stop "
            f"it with `faust-ledger down --data-dir {place}`"
        )
    return "Stopping what this has started; the next demo goes on from these balances"

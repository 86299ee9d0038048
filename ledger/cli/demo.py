"""`faust-ledger demo`: show the whole ledger at work on one machine."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from ledger.cli.output import FINDINGS, OK, errors, run
from ledger.cli.stack import directory, teller
from ledger.clock import now

if TYPE_CHECKING:
    from rich.console import Console

    from ledger.cli.demo_output import Stopwatch
    from ledger.settings import Settings

SEED = 1993
SECONDS = 120.0


class Shown(NamedTuple):
    """Whether the demo went as expected, and what there is to look at afterwards.

    `client`: the number of the client whose balances were shown; `refused`: a refused transaction's
    id, None if there is none.
    """

    well: bool
    client: int
    refused: str | None


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
    from ledger.cli import demo_output as show
    from ledger.demo.stage import running_stack
    from ledger.stack.progress import shown
    from ledger.stack.stack import settings_of
    from ledger.terminal import console as stdout

    place = directory(data_dir or home())
    console, messages = stdout(), errors()
    watch = show.Stopwatch(console)
    show.line(console, f"The demo's data: {place}")
    with (
        shown(messages) as meters,
        running_stack(place, workers=1, keep=keep, meters=meters, say=teller(messages)) as record,
    ):
        watch.done("Kafka, the schema registry, PostgreSQL and a worker run")
        result = run(play(settings_of(record), console, watch, transactions))
        if not keep:
            show.line(console, "\nStopping what the demo started")
    if not keep:
        watch.done("Stopped")
    for text in ending(place, result, keep=keep):
        show.line(console, text)
    raise typer.Exit(OK if result.well else FINDINGS)


def home() -> Path:
    """The demo's own data directory."""
    import platformdirs

    return platformdirs.user_data_path("faust-ledger") / "demo"


async def play(settings: "Settings", console: "Console", watch: "Stopwatch", count: int) -> Shown:
    """Publish `count` transactions and print the results."""
    from ledger.cli import demo_output as show
    from ledger.cli.reconcile import audited
    from ledger.client.balances import BalanceReader
    from ledger.demo.generate import generate
    from ledger.demo.play import Player, register_assets

    at = now()
    # Each demo has ids of its own: those of an earlier demo would be repetitions.
    stream = list(generate(count, seed=SEED, label=f"demo-{at // 1_000_000}", at=at))
    await register_assets(settings, SECONDS)
    show.line(console, f"\nPublishing {count:,} transactions of a wealth manager and its clients")
    with show.following(console, count) as on_live:
        played = await Player(settings, seconds=SECONDS, on_live=on_live).play(stream)
    watch.done("Each transaction is reconciled or refused" if played.finished else "Time is up")
    async with BalanceReader(settings) as reader:
        balances = await reader.snapshot()
    client = show.busiest_client(stream, balances)
    show.show_balances(console, balances, client)
    show.show_refusals(console, played.refusals)
    show.show_summary(console, played)
    report = await audited(settings, full=False)
    show.show_verdict(console, played, report)
    watch.done("Every account is compared, stream against general ledger")
    well = played.well and not (report.breaks or report.pending)
    return Shown(well, client, next((each.transaction_id for each in played.refusals), None))


def ending(place: Path, result: Shown, *, keep: bool) -> list[str]:
    """The last lines: what to look at next."""
    if not keep:
        return [
            "\nNext:",
            "  make demo KEEP=1           the same, and everything stays running",
            "  docs/getting-started.md    a page each to publish, read, audit and run it",
        ]
    commands = [
        f"export FAUST_LEDGER_DATA_DIR={shlex.quote(str(place))}",
        f"faust-ledger balances --prefix liabilities:clients:{result.client}",
        f"faust-ledger register liabilities:clients:{result.client}:cash --currency CAD",
        *([f"faust-ledger transaction show {result.refused}"] if result.refused else []),
        "faust-ledger trial-balance",
        "faust-ledger status",
        "faust-ledger down",
    ]
    return [
        "\nEverything is still running. Look at it (`source .venv/bin/activate` first):",
        *(f"  {command}" for command in commands),
        "docs/getting-started.md has a page each to publish, read, audit and run it.",
    ]

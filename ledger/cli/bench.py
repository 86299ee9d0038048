"""`faust-ledger bench`: throughput, latency and cost of the whole system on this machine."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import AsJson, say
from ledger.cli.stack import directory

if TYPE_CHECKING:
    from ledger.settings import Settings
    from ledger.stack.record import Record

FAILED = 1


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command()(bench)


def bench(
    transactions: Annotated[int, typer.Option(min=1_000, help="How many are loaded.")] = 200_000,
    accounts: Annotated[int, typer.Option(min=100, help="Over how many accounts.")] = 10_000,
    workers: Annotated[int, typer.Option(min=1, help="How many workers share the work.")] = 1,
    paced_seconds: Annotated[
        float, typer.Option(min=1, help="How long latency is measured, at a third of the rate.")
    ] = 10,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="Measure on this stack, and leave the transactions in it. Default: a new one, "
            "removed afterwards.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure from the first publish to the last reconciled balance out.

    Transactions of two entries, uniform over the accounts, from a process of its own. Beside it
    the floor: the least work that gets the same transactions into the same journal.

    Exit codes: 0 measured; 1 it does not reconcile, so there is no result; 3 a fault.
    """
    from ledger.bench import show
    from ledger.bench.run import BenchFailed, Wanted, measure
    from ledger.demo.show import to_stdout

    wanted = Wanted(transactions, accounts, workers, paced_seconds)
    try:
        with fresh(data_dir) as record:
            found = measure(record, wanted, check, say)
    except BenchFailed as error:
        say(f"No result: {error}")
        if as_json:
            print(json.dumps({"failed": str(error)}))
        raise typer.Exit(FAILED) from error
    if as_json:
        print(json.dumps(found))
    else:
        show.results(to_stdout(), found)


@contextmanager
def fresh(data_dir: Path | None) -> Iterator["Record"]:
    """A stack for the measurement; stopped afterwards, and removed if it was made for it alone.

    One whose measurement failed stays: its logs say why.
    """
    from ledger.cli.output import errors
    from ledger.demo.stage import running
    from ledger.stack.progress import shown

    place = directory(data_dir or Path(mkdtemp(prefix="faust-ledger-bench-")))
    try:
        say(f"starting a stack in {place}")
        with (
            shown(errors()) as meters,
            running(place, workers=0, meters=meters, say=lambda line: None) as record,
        ):
            yield record
    except BaseException:
        say(f"What it left, its logs too, is in {place}")
        raise
    if data_dir is None:
        shutil.rmtree(place, ignore_errors=True)


async def check(settings: "Settings") -> Mapping[str, Any]:
    """What `faust-ledger reconcile --json` prints."""
    from ledger.demo.check import reconcile

    return (await reconcile(settings)).as_json()

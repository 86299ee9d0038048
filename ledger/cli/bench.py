"""`faust-ledger bench`: throughput, latency and cost of the whole system on this machine."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
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


class Scenario(StrEnum):
    """What can be measured."""

    REFERENCE = "reference"
    ACCOUNTS = "accounts"
    FEES = "fees"
    WORKERS = "workers"
    SHARDS = "shards"
    JOURNAL = "journal"
    RECOVERY = "recovery"


def bench(
    scenario: Annotated[
        Scenario, typer.Argument(help="What is measured.", show_choices=True)
    ] = Scenario.REFERENCE,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="How long, at least, as fast as they go.")
    ] = 60,
    warm_up: Annotated[
        float, typer.Option(min=0.1, help="Seconds of load that are not counted, first.")
    ] = 20,
    rates: Annotated[
        str, typer.Option(help="Transactions a second at which latency is measured.")
    ] = "500,2000,5000",
    rate_seconds: Annotated[float, typer.Option(min=1, help="How long each of them.")] = 20,
    accounts: Annotated[
        int | None,
        typer.Option(
            min=100,
            show_default=False,
            help="Over how many accounts. Default: 10,000; for recovery 1,000,000.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many workers share the work.")] = 1,
    single: Annotated[
        int, typer.Option(min=1, help="Transactions for the comparator: one record at a time.")
    ] = 5_000,
    rounds: Annotated[int, typer.Option(min=1, help="Of a scenario of two cases.")] = 5,
    chart: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Draw latency over throughput: .svg, .png, .pdf."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            show_default=False,
            help="Measure on this stack, and leave the transactions in it; two cases below it. "
            "Default: a new one, removed afterwards.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure throughput and latency, from publishing to the reconciled balance.

    Transactions of two entries, uniform over the accounts, from a process of its own. Beside it
    the floor, the least work that gets the same transactions into the same journal, and Faust as
    it is usually written, one record at a time. The other scenarios compare two cases in turns:
    a million accounts, one account in every transaction (fees), two workers, 32 shards, a journal
    of 20 million entries; recovery restarts a worker with its disk and without it.

    Exit codes: 0 measured; 1 it does not reconcile, so there is no result; 3 a fault.
    """
    from ledger.bench import show
    from ledger.bench.recovery import recover
    from ledger.bench.run import BenchFailed, Wanted, measure
    from ledger.demo.show import to_stdout

    try:
        if scenario is Scenario.REFERENCE:
            wanted = Wanted(
                seconds, warm_up, _numbers(rates), rate_seconds,
                accounts or 10_000, workers, single,
            )  # fmt: skip
            with fresh(data_dir) as record:
                found = measure(record, wanted, check, say)
            shown = show.results
        elif scenario is Scenario.RECOVERY:
            with fresh(data_dir) as record:
                found = recover(record, accounts or 1_000_000, check, say)
            shown = show.recovered
        else:
            found = _compared(scenario, rounds, seconds, warm_up, data_dir)
            shown = show.compared
    except BenchFailed as error:
        say(f"No result: {error}")
        if as_json:
            print(json.dumps({"failed": str(error)}))
        raise typer.Exit(FAILED) from error
    found = {"scenario": scenario.value} | found
    if chart is not None and scenario is Scenario.REFERENCE:
        from ledger.bench.chart import draw

        draw(found, chart)
        say(f"drawn in {chart}")
    if as_json:
        print(json.dumps(found))
    else:
        shown(to_stdout(), found)


def _numbers(rates: str) -> tuple[int, ...]:
    found = rates.split(",")
    if not all(each.strip().isdecimal() and int(each) for each in found):
        raise typer.BadParameter(
            "give whole numbers of transactions a second with commas between: 500,2000.",
            param_hint="--rates",
        )
    return tuple(map(int, found))


def _compared(
    scenario: Scenario, rounds: int, seconds: float, warm_up: float, data_dir: Path | None
) -> dict[str, Any]:
    from ledger.bench.pairs import PAIRS, Rounds, compare

    place = data_dir or Path(mkdtemp(prefix="faust-ledger-bench-"))
    say(f"two ledgers in {place}")
    found = compare(
        PAIRS[scenario.value], Rounds(rounds, warm_up, seconds), place, _prepared, check, say
    )
    if data_dir is None:
        shutil.rmtree(place, ignore_errors=True)
    return found


@contextmanager
def _prepared(place: Path, given: Mapping[str, str]) -> Iterator["Record"]:
    """A stack of a ledger with settings of its own."""
    os.environ |= {f"FAUST_LEDGER_{name.upper()}": value for name, value in given.items()}
    with fresh(place) as record:
        yield record


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


async def check(settings: "Settings", *, full: bool = True) -> Mapping[str, Any]:
    """What `faust-ledger reconcile --full --json` prints, or without `--full`."""
    from ledger.cli.reconcile import compared

    return (await compared(settings, full=full)).as_json()

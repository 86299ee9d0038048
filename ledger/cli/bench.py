"""`faust-ledger bench`: measure throughput, latency and cost of the whole system."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ledger.cli.output import FINDINGS, AsJson, print_note
from ledger.cli.stack import directory
from ledger.settings_sources import variable_of

if TYPE_CHECKING:
    from ledger.bench.run import Wanted
    from ledger.settings import Settings
    from ledger.stack.record import Record


Scenario = Literal[
    "reference", "accounts", "fees", "workers", "shards", "journal", "history", "recovery", "api"
]
API_PARTS = ("requests", "live", "as-of", "trial-balance")


def bench(
    scenario: Annotated[Scenario, typer.Argument(help="What to measure.")] = "reference",
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.1,
            help="Least seconds at full speed; for api of each kind of request. Default: 60; for "
            "api 10.",
        ),
    ] = None,
    warm_up: Annotated[float, typer.Option(min=0.1, help="Seconds of warm-up load.")] = 20,
    rates: Annotated[
        str, typer.Option(help="Transactions a second at which latency is measured.")
    ] = "500,2000,5000",
    rate_seconds: Annotated[float, typer.Option(min=1, help="Seconds at each rate.")] = 20,
    accounts: Annotated[
        int | None,
        typer.Option(min=100, help="Number of accounts. Default: 10,000; for recovery 1,000,000."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of workers.")] = 1,
    single: Annotated[
        int, typer.Option(min=1, help="Transactions for the comparator with one at a time.")
    ] = 5_000,
    rounds: Annotated[
        int, typer.Option(min=1, help="Rounds of a comparison of two cases, and of api.")
    ] = 5,
    only: Annotated[
        str,
        typer.Option(
            help="Parts of api, separated by commas: requests, live, as-of, trial-balance. "
            "Default: all."
        ),
    ] = "",
    chart: Annotated[
        Path | None,
        typer.Option(help="File for a chart of latency over throughput: .svg, .png or .pdf."),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            help="Data directory of the stack to measure; the transactions stay in it. A "
            "comparison makes two stacks below it. Default: a new stack, removed afterwards."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure throughput and latency, from publishing to the reconciled balance.

    A separate process publishes transactions of two entries, uniform over the accounts. Two
    comparators process the same transactions: the floor, which is the least work that posts them
    to the same journal, and a usual Faust application, which takes one record at a time.

    Other scenarios compare two cases in turns: a million accounts (accounts), one account in every
    transaction (fees), two workers (workers), 32 shards (shards), a journal of 20 million entries
    (journal), and workers that fold history (history); in all others history is off, unless the
    setting says otherwise or --data-dir is given. recovery restarts a worker with its disk and
    without it.

    api sends requests at fixed rates, --seconds for each kind in each round, while the ledger takes
    500 transactions a second; in turns with a plain route that answers a constant. Its parts are
    balances and writes (requests), live connections (live), balances and trial balances at a past
    time over few and many entries (as-of, trial-balance); --only chooses some. Each target is
    printed with whether it is met. All parts take about 35 minutes; how long it will be is said at
    the start.

    Exit codes: 0 measured; 1 the ledger does not reconcile, so there is no result; 3 a fault.
    """
    from ledger.bench import show, show_api
    from ledger.bench.run import BenchFailed, Wanted
    from ledger.terminal import console

    wanted = Wanted(
        seconds or 60, warm_up, _numbers(rates), rate_seconds, accounts or 10_000, workers, single
    )
    chosen = _parts(only)
    try:
        if scenario == "reference":
            found, show_found = _measure(wanted, data_dir), show.show_results
        elif scenario == "recovery":
            found = _measure_recovery(accounts or 1_000_000, data_dir)
            show_found = show.show_recovery
        elif scenario == "api":
            found = _measure_api(rounds, seconds or 10, accounts or 10_000, chosen, data_dir)
            show_found = show_api.show_api
        else:
            found = _compare(scenario, rounds, seconds or 60, warm_up, data_dir)
            show_found = show.show_comparison
    except BenchFailed as error:
        print_note(f"No result: {error}")
        if as_json:
            print(json.dumps({"failed": str(error)}))
        raise typer.Exit(FINDINGS) from error
    found = {"scenario": scenario} | found
    if chart is not None and scenario == "reference":
        from ledger.bench.chart import draw

        draw(found, chart)
        print_note(f"chart written to {chart}")
    if as_json:
        print(json.dumps(found))
    else:
        show_found(console(), found)


def _numbers(rates: str) -> tuple[int, ...]:
    found = rates.split(",")
    if not all(each.strip().isdecimal() and int(each) for each in found):
        raise typer.BadParameter(
            "give whole numbers of transactions a second, separated by commas: 500,2000.",
            param_hint="--rates",
        )
    return tuple(map(int, found))


def _parts(only: str) -> tuple[str, ...]:
    found = tuple(each.strip() for each in only.split(",") if each.strip())
    if unknown := [each for each in found if each not in API_PARTS]:
        raise typer.BadParameter(
            f"{', '.join(unknown)}: give some of {', '.join(API_PARTS)}, separated by commas.",
            param_hint="--only",
        )
    return found


def _measure(wanted: "Wanted", data_dir: Path | None) -> dict[str, Any]:
    from ledger.bench.run import measure

    with fresh(data_dir) as record:
        return measure(record, wanted, check, print_note)


def _measure_recovery(accounts: int, data_dir: Path | None) -> dict[str, Any]:
    from ledger.bench.recovery import measure_recovery

    with fresh(data_dir) as record:
        return measure_recovery(record, accounts, check, print_note)


def _measure_api(
    rounds: int, seconds: float, accounts: int, only: tuple[str, ...], data_dir: Path | None
) -> dict[str, Any]:
    from ledger.bench.api import UNLIMITED, measure_api
    from ledger.bench.api_programs import ApiWanted

    os.environ |= {variable_of(name): str(value) for name, value in UNLIMITED.items()}
    with fresh(data_dir) as record:
        wanted = ApiWanted(rounds, seconds, accounts, only=only)
        return measure_api(record, wanted, check, print_note)


def _compare(
    scenario: Scenario, rounds: int, seconds: float, warm_up: float, data_dir: Path | None
) -> dict[str, Any]:
    from ledger.bench.pairs import PAIRS, Rounds, compare_cases

    place = data_dir or Path(mkdtemp(prefix="faust-ledger-bench-"))
    print_note(f"two ledgers in {place}")
    found = compare_cases(
        PAIRS[scenario], Rounds(rounds, warm_up, seconds), place, _stack_of, check, print_note
    )
    if data_dir is None:
        shutil.rmtree(place, ignore_errors=True)
    return found


@contextmanager
def _stack_of(place: Path, given: Mapping[str, str]) -> Iterator["Record"]:
    """A stack of a ledger with the settings `given`."""
    os.environ |= {f"FAUST_LEDGER_{name.upper()}": value for name, value in given.items()}
    with fresh(place) as record:
        yield record


@contextmanager
def fresh(data_dir: Path | None) -> Iterator["Record"]:
    """A stack for the measurement, stopped afterwards; removed too if it has no `data_dir`.

    After a failure the stack's files stay: its logs show the reason.
    """
    from ledger.cli.output import errors
    from ledger.demo.stage import running_stack
    from ledger.stack.progress import shown

    place = directory(data_dir or Path(mkdtemp(prefix="faust-ledger-bench-")))
    if data_dir is None:
        # It has a scenario of its own; everything else is about the way to a reconciled balance.
        # Not in a stack that goes on afterwards, whose workers would then have no history.
        os.environ.setdefault("FAUST_LEDGER_HISTORY", "off")
    try:
        print_note(f"starting a stack in {place}")
        with (
            shown(errors()) as meters,
            running_stack(place, workers=0, meters=meters, say=lambda line: None) as record,
        ):
            yield record
    except BaseException:
        print_note(f"The stack's data and logs are left in {place}")
        raise
    if data_dir is None:
        shutil.rmtree(place, ignore_errors=True)


async def check(settings: "Settings", *, full: bool = True) -> Mapping[str, Any]:
    """The report of `faust-ledger reconcile --full --json`, or without `--full`."""
    from ledger.cli.reconcile import audited

    return (await audited(settings, full=full)).as_json()

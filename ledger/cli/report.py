"""`faust-ledger report`: balance sheet, income statement, statements of accounts, and others."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.completeness import INCOMPLETE
from ledger.cli.moments import (
    AsOf,
    By,
    KnownAt,
    Moment,
    Through,
    Timezone,
    instant_of,
    moment_of,
    zone_of,
)
from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    print_note,
    settings_for,
)
from ledger.cli.read import Currencies, Depth, NoZero, require_types
from ledger.cli.report_choice import OF_BALANCES, OF_ENTRIES, Chosen, Name, ReportFormat

if TYPE_CHECKING:
    from ledger.cli.completeness import CompletenessReport
    from ledger.reports.report import Report

BINARY = frozenset({ReportFormat.XLSX, ReportFormat.PDF})


def print_report(
    name: Annotated[Name, typer.Argument(metavar="NAME", help="Which report.")],
    account: Annotated[
        str | None,
        typer.Argument(
            metavar="ACCOUNT",
            help="The account of a register or a statement, or a path: then all accounts below it.",
        ),
    ] = None,
    as_of: AsOf = None,
    through: Through = None,
    timezone: Timezone = None,
    by: By = None,
    known_at: KnownAt = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Beside it, the same as of another time, and the change. It is read as --through "
            "is if that is given, and else as --as-of.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Only entries at or after this. Of entries, not balances.",
        ),
    ] = None,
    currency: Currencies = None,
    depth: Depth = None,
    no_zero: NoZero = False,
    presentation: Annotated[
        str | None,
        typer.Option(metavar="CODE", help="Convert all balances to this currency, by --rates."),
    ] = None,
    rates: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Rates as CSV (from,to,rate,source,at) or JSON. They stand on the report.",
        ),
    ] = None,
    fmt: Annotated[
        ReportFormat | None,
        typer.Option("--format", show_default="table", help="What to write the report as."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default="stdout", help="The file to write it to."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a report from the general ledger: for people, for spreadsheets, or to send on.

    trial-balance, balance-sheet and income-statement are of balances: now, or as of a time by
    either axis, beside another time with --compare, and in one currency with --presentation.
    register, statement and movements (by day) are of the entries of an account, or of all below a
    path. breaks has where stream and general ledger disagree, by age.

    Every total is added up again from its parts. A report states what it is of, and whether it is
    complete, as `balances` does. XLSX and PDF need the extra `reports`.

    Exit codes: 0 complete; 1 it does not balance, or a total is not the sum of its parts; 2 wrong
    usage; 3 a fault; 4 the report is written, and something is missing, or that is not known.
    """
    form = _form(fmt, as_json=as_json)
    from ledger.cli.report_making import made
    from ledger.cli.report_output import write

    # Of entries they are also of their order and dates, and need no end.
    is_free = name in OF_ENTRIES and as_of is None and through is None
    moment = Moment()
    if not is_free or known_at is not None:
        moment = moment_of(as_of, through, timezone, by, known_at)
    chosen = Chosen(
        name, account, moment, _compared(compare, through, timezone, moment, known_at),
        _start(name, start, timezone), currency or [], depth, no_zero, presentation, rates,
        timezone, by or "effective",
    )  # fmt: skip
    _require_fitting(chosen, compare, form, output)
    report, reports = made(settings_for(data_dir), chosen)
    write(report, form, output)
    raise typer.Exit(_status(report, reports))


def _form(fmt: ReportFormat | None, *, as_json: bool) -> ReportFormat:
    if as_json and fmt is not None:
        raise typer.BadParameter("give --format or --json, not both.", param_hint="--format")
    return ReportFormat.JSON if as_json else fmt or ReportFormat.TABLE


def _compared(
    compare: str | None, through: str | None, timezone: str | None, moment: Moment,
    known_at: str | None,
) -> Moment | None:  # fmt: skip
    if compare is None:
        return None
    if through is not None:
        return moment_of(None, compare, timezone, moment.by, known_at)
    return moment_of(compare, None, timezone, moment.by, known_at)


def _start(name: Name, start: str | None, timezone: str | None) -> int | None:
    if start is not None and name not in OF_ENTRIES:
        raise typer.BadParameter(
            "is for entries. Of balances, --compare has another time and the change since.",
            param_hint="--from",
        )
    return instant_of(start, zone_of(timezone), "--from")


def _require_fitting(
    chosen: Chosen, compare: str | None, fmt: ReportFormat, output: Path | None
) -> None:
    """A usage error for options that are not of this report."""
    name = chosen.name
    for_balances = {
        "--compare": compare, "--depth": chosen.depth, "--no-zero": chosen.no_zero or None,
        "--presentation": chosen.presentation, "--rates": chosen.rates,
    }  # fmt: skip
    for option, given in for_balances.items():
        if given is not None and name not in OF_BALANCES:
            raise typer.BadParameter(f"is for reports of balances, not {name}.", param_hint=option)
    _require_account(chosen)
    if name in OF_ENTRIES:
        _require_entries(chosen)
    if name is Name.BREAKS and chosen.moment.at is not None:
        raise typer.BadParameter("breaks are those of now.", param_hint="--as-of")
    if (chosen.presentation is None) != (chosen.rates is None):
        raise typer.BadParameter(
            "--presentation and --rates belong together.",
            param_hint="--rates" if chosen.rates is None else "--presentation",
        )
    if fmt in BINARY and output is None and sys.stdout.isatty():
        raise typer.BadParameter(
            f"{fmt} is not for a terminal: name a file.", param_hint="--output"
        )


def _require_account(chosen: Chosen) -> None:
    if chosen.account is not None and chosen.name is Name.BREAKS:
        raise typer.BadParameter("breaks is of the whole ledger.", param_hint="ACCOUNT")
    if chosen.account is None and chosen.name in OF_ENTRIES:
        sentence = f"{chosen.name} needs an account or a path."
        raise typer.BadParameter(sentence, param_hint="ACCOUNT")
    if chosen.account is not None:
        require_types([chosen.account])


def _require_entries(chosen: Chosen) -> None:
    if chosen.moment.known_at is not None:
        raise typer.BadParameter("is for reports of balances.", param_hint="--known-at")
    if len(chosen.currencies) > 1:
        raise typer.BadParameter("give one, or none for all.", param_hint="--currency")
    start, end = chosen.start, chosen.moment.at
    if start is not None and end is not None and start >= end:
        sentence = "is not before the end of the report, so nothing is between."
        raise typer.BadParameter(sentence, param_hint="--from")


def _status(report: "Report", reports: "Sequence[CompletenessReport]") -> int:
    from ledger.reports.report import wrong_sums

    wrong = [*report.differences, *wrong_sums(report)]
    for sentence in wrong:
        print_note(sentence)
    if wrong:
        return FINDINGS
    incomplete = [each for each in reports if not each.complete]
    for sentence in dict.fromkeys(each for found in incomplete for each in found.sentences()):
        print_note(sentence)
    return INCOMPLETE if incomplete else OK

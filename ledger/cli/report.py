"""`faust-ledger report`: balance sheet, income statement, statements of accounts, and others."""

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from ledger.cli.completeness import INCOMPLETE
from ledger.cli.moments import AsOf, By, KnownAt, Moment, Through, Timezone, moment_of
from ledger.cli.output import FINDINGS, OK, DataDir, print_json, print_note, print_sentence, run
from ledger.cli.output import settings_for
from ledger.cli.read import Currencies, Depth, NoZero, is_under, require_types

if TYPE_CHECKING:
    from ledger.cli.completeness import CompletenessReport
    from ledger.reports.report import Condition, Report
    from ledger.settings import Settings


class Name(StrEnum):
    """The reports that there are."""

    TRIAL_BALANCE = "trial-balance"
    BALANCE_SHEET = "balance-sheet"
    INCOME_STATEMENT = "income-statement"
    REGISTER = "register"
    STATEMENT = "statement"
    MOVEMENTS = "movements"
    BREAKS = "breaks"


class ReportFormat(StrEnum):
    """What a report is written as."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PDF = "pdf"


OF_BALANCES = frozenset({Name.TRIAL_BALANCE, Name.BALANCE_SHEET, Name.INCOME_STATEMENT})
OF_ENTRIES = frozenset({Name.REGISTER, Name.STATEMENT, Name.MOVEMENTS})
BINARY = frozenset({ReportFormat.XLSX, ReportFormat.PDF})


class Chosen(NamedTuple):
    """What a report is asked for; `compare` as --as-of and --through take a time."""

    name: Name
    account: str | None
    moment: Moment
    compared: Moment | None
    start: int | None
    currencies: Sequence[str]
    depth: int | None
    no_zero: bool
    presentation: str | None
    rates: Path | None
    timezone: str | None


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
            "--from", metavar="TIME", help="Only entries at or after this. Of entries, not balances."
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
        ReportFormat, typer.Option("--format", help="What to write the report as.")
    ] = ReportFormat.TABLE,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default="stdout", help="The file to write it to."),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a report from the general ledger: for people, for spreadsheets, or to send on.

    trial-balance, balance-sheet and income-statement are of balances: now, or as of a time by
    either axis, beside another time with --compare, and in one currency with --presentation.
    register, statement and movements (by day) are of the entries of an account, or of all below a
    path. breaks has where stream and general ledger disagree, by age.

    Every total is added up again from its parts before the report is written. A report states what
    it is of, and whether it is complete, as `balances` does. XLSX and PDF need the extra `reports`.

    Exit codes: 0 complete; 1 it does not balance, or a total is not the sum of its parts; 2 wrong
    usage; 3 a fault; 4 the report is written, and something is missing, or that is not known.
    """
    moment = moment_of(as_of, through, timezone, _axis(name, by, as_of, through), known_at)
    chosen = Chosen(
        name, account, moment, _compared(compare, through, timezone, moment, known_at),
        _start(name, start, timezone), currency or [], depth, no_zero, presentation, rates,
        timezone,
    )  # fmt: skip
    _require_fitting(chosen, compare, by, fmt, output)
    report, reports = _made(settings_for(data_dir), chosen, by)
    write(report, fmt, output)
    raise typer.Exit(_status(report, reports))


def _axis(name: Name, by: Any, as_of: str | None, through: str | None) -> Any:
    # Of entries it is also their order, and needs no end.
    return None if name in OF_ENTRIES and as_of is None and through is None else by


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
    from ledger.cli.moments import instant_of, zone_of

    if start is not None and name not in OF_ENTRIES:
        raise typer.BadParameter(
            "is for entries. Of balances, --compare has another time and the change since.",
            param_hint="--from",
        )
    return instant_of(start, zone_of(timezone), "--from")


def _require_fitting(
    chosen: Chosen, compare: str | None, by: Any, fmt: ReportFormat, output: Path | None
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
    if name in OF_ENTRIES:
        if chosen.account is None:
            raise typer.BadParameter(f"{name} needs an account or a path.", param_hint="ACCOUNT")
        if chosen.moment.known_at is not None:
            raise typer.BadParameter("is for reports of balances.", param_hint="--known-at")
        from ledger.cli.output import require_order

        require_order(chosen.start, chosen.moment.at)
    elif chosen.account is not None and name not in OF_BALANCES:
        raise typer.BadParameter(f"{name} is of the whole ledger.", param_hint="ACCOUNT")
    if chosen.account is not None:
        require_types([chosen.account])
    if name is Name.BREAKS and chosen.moment.at is not None:
        raise typer.BadParameter("breaks are those of now.", param_hint="--as-of")
    if (chosen.presentation is None) != (chosen.rates is None):
        raise typer.BadParameter(
            "--presentation and --rates belong together.",
            param_hint="--rates" if chosen.rates is None else "--presentation",
        )
    if fmt in BINARY and output is None and sys.stdout.isatty():
        raise typer.BadParameter(f"{fmt} is not for a terminal: name a file.", param_hint="--output")


def _made(
    settings: "Settings", chosen: Chosen, by: Any
) -> "tuple[Report, list[CompletenessReport]]":
    if chosen.name in OF_BALANCES:
        return _of_balances(settings, chosen)
    if chosen.name in OF_ENTRIES:
        return _of_entries(settings, chosen, by or "effective")
    return _of_breaks(settings, chosen), []


def _of_balances(
    settings: "Settings", chosen: Chosen
) -> "tuple[Report, list[CompletenessReport]]":
    from ledger.cli.read import from_ledger
    from ledger.reports.asked import Asked, books
    from ledger.reports.rates import read_rates
    from ledger.reports.sheets import SHEETS

    prefix = chosen.account
    moments = [chosen.moment, *([] if chosen.compared is None else [chosen.compared])]
    answers = [run(from_ledger(settings, None, prefix, each)) for each in moments]
    reports = [report for _, report in answers]
    rates = [] if chosen.rates is None else read_rates(_text(chosen.rates))
    asked = Asked(
        labels=[_label(each) for each in moments],
        currencies=tuple(chosen.currencies),
        depth=chosen.depth,
        has_zeros=not chosen.no_zero,
        presentation=chosen.presentation,
        rates=rates,
        conditions=_conditions(chosen, moments, reports),
        positions=_positions(reports[0]),
    )
    made = books(asked, *(rows for rows, _ in answers))
    return SHEETS[chosen.name](made), reports


def _label(moment: Moment) -> str:
    """The title of a column."""
    from ledger.client.drafts import rfc3339

    if moment.through is not None:
        return f"through {moment.through}"
    return "now" if moment.at is None else f"before {rfc3339(moment.at)}"


def _conditions(
    chosen: Chosen, moments: Sequence[Moment], reports: "Sequence[CompletenessReport]"
) -> "list[Condition]":
    from ledger.client.drafts import rfc3339
    from ledger.clock import now
    from ledger.reports.report import Condition

    whens = [each.sentence or "Now: everything that is posted." for each in moments]
    found = [
        Condition("made at", rfc3339(now())),
        *([] if chosen.account is None else [Condition("accounts", chosen.account)]),
        *map(Condition, ("of", "beside"), whens),
    ]
    sentences = dict.fromkeys(sentence for each in reports for sentence in each.sentences())
    return [*found, *(Condition("complete", sentence) for sentence in sentences)]


def _positions(report: "CompletenessReport") -> dict[int, int]:
    through = report.whole()["through"]
    return {int(shard): int(each["position"]) for shard, each in through.items()}


def _text(file: Path) -> str:
    from ledger.errors import LedgerError

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"The rates {file} cannot be read: {error}. Give a text file.") from error


def _of_entries(
    settings: "Settings", chosen: Chosen, by: Any
) -> "tuple[Report, list[CompletenessReport]]":
    from ledger.cli.moments import zone_of
    from ledger.cli.read import from_ledger
    from ledger.cli.register import read_register
    from ledger.reports.lines import LINES, Entries
    from ledger.reports.report import Condition

    assert chosen.account is not None
    rows, _ = run(from_ledger(settings, None, chosen.account, Moment()))
    # An account alone is shown also where it has no entry.
    accounts = sorted({row.account for row in rows if is_under(row.account, chosen.account)})
    currency = chosen.currencies[0] if len(chosen.currencies) == 1 else None
    asked: Any = {"currency": currency, "start": chosen.start, "end": chosen.moment.at, "by": by,
                  "limit": None}  # fmt: skip
    answers = [run(read_register(settings, each, asked)) for each in accounts or [chosen.account]]
    reports = [report for _, report in answers]
    found = _conditions(chosen, [chosen.moment], reports)
    if chosen.start is not None:
        from ledger.client.drafts import rfc3339

        found.append(Condition("from", rfc3339(chosen.start)))
    found.append(Condition("dates", f"{by} time, {chosen.timezone or 'UTC'}"))
    entries = Entries(
        dict(zip(accounts or [chosen.account], (each for each, _ in answers), strict=True)),
        by,
        zone_of(chosen.timezone),
        is_whole=chosen.start is None,
        conditions=found,
        positions=_positions(reports[0]),
    )
    return LINES[chosen.name](entries), reports


def _of_breaks(settings: "Settings", chosen: Chosen) -> "Report":
    from ledger.cli.breaks import open_breaks
    from ledger.clock import now
    from ledger.reports.ageing import ageing

    found = [
        each
        for each in run(open_breaks(settings))
        if not chosen.currencies or each.currency in chosen.currencies
    ]
    return ageing(found, now(), _conditions(chosen, [], []))


def write(report: "Report", fmt: ReportFormat, output: Path | None) -> None:
    """Write the report to the file, or to stdout."""
    from ledger.reports.rendered import as_csv, as_json

    if output is None and fmt is ReportFormat.TABLE:
        print_table(report)
    elif output is None and fmt is ReportFormat.JSON:
        print_json(as_json(report))
    elif output is None and fmt is ReportFormat.CSV:
        from ledger.terminal import plain_lines

        text = as_csv(report)
        # Its lines end with CR LF, which stdout writes as they are.
        sys.stdout.write(plain_lines(text.replace("\r\n", "\n")) if sys.stdout.isatty() else text)
    elif output is None:
        sys.stdout.buffer.write(_bytes(report, fmt))
    else:
        replace_file(output, _bytes(report, fmt))
        print_note(f"Written: {output}")


def _bytes(report: "Report", fmt: ReportFormat) -> bytes:
    import json

    from ledger.reports.pages import as_pdf
    from ledger.reports.rendered import as_csv, as_json
    from ledger.reports.workbook import as_xlsx

    if fmt is ReportFormat.XLSX:
        return as_xlsx(report)
    if fmt is ReportFormat.PDF:
        return as_pdf(report)
    if fmt is ReportFormat.JSON:
        return f"{json.dumps(as_json(report))}\n".encode()
    if fmt is ReportFormat.CSV:
        return as_csv(report).encode()
    raise typer.BadParameter(
        "a table is for a terminal: give --format csv, json, xlsx or pdf.", param_hint="--output"
    )


def replace_file(file: Path, content: bytes) -> None:
    """Write a file whole, or not at all. Raises LedgerError where it cannot be written."""
    import os

    from ledger.errors import LedgerError

    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    except OSError as error:
        raise LedgerError(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)


def print_table(report: "Report") -> None:
    """Print it for people: conditions, the table, and what does not balance."""
    from ledger.cli.tables import Column, Format, print_table_of

    print_sentence(report.title)
    columns = [
        Column(each.key, each.title, "text" if each.kind == "time" else each.kind)
        for each in report.columns
    ]
    rows = [_shown(report, each) for each in report.all_rows()]
    print_table_of(columns, rows, Format.TABLE, nothing="There is nothing to report.")
    for condition in report.conditions:
        print_sentence(f"{condition.name}: {condition.value}")


def _shown(report: "Report", row: Any) -> dict[str, Any]:
    cells = {
        column.key: None if cell is None else str(cell)
        for column, cell in zip(report.columns, row.cells, strict=True)
    }
    first = report.columns[0].key
    return cells | {first: f"{'  ' * row.depth}{cells[first]}"}


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

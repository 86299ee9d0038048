"""`faust-ledger export`: the journal or balances as a file for other programs."""

from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.completeness import INCOMPLETE
from ledger.cli.moments import AsOf, By, KnownAt, Moment, Through, Timezone, moment_of
from ledger.cli.output import OK, AsJson, DataDir, print_json, print_note, run, settings_for

if TYPE_CHECKING:
    from ledger.settings import Settings


class What(StrEnum):
    """What can be exported."""

    JOURNAL = "journal"
    BALANCES = "balances"


class ExportFormat(StrEnum):
    """Forms of an export."""

    CSV = "csv"
    PARQUET = "parquet"
    BEANCOUNT = "beancount"
    HLEDGER = "hledger"


PLAIN_TEXT = frozenset({ExportFormat.BEANCOUNT, ExportFormat.HLEDGER})


def export_books(
    what: Annotated[What, typer.Argument(metavar="WHAT", help="journal or balances.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    fmt: Annotated[
        ExportFormat, typer.Option("--format", help="The form; plain text is of the journal alone.")
    ] = ExportFormat.CSV,
    as_of: AsOf = None,
    through: Through = None,
    timezone: Timezone = None,
    by: By = None,
    known_at: KnownAt = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the journal or all balances to a file: CSV, Parquet, or plain-text accounting.

    The journal has a row for each entry of what is posted and not void. Beancount and hledger files
    end with what each account has, which those programs compare with their own sums. Times choose
    balances. Parquet needs the extra `reports`. The file is replaced whole, or not at all.

    Exit codes: 0 written; 2 wrong usage; 3 a fault; 4 written, and something is missing in the
    balances, or whether they are complete is not known.
    """
    moment = moment_of(as_of, through, timezone, by, known_at)
    if what is What.JOURNAL and moment.at is not None:
        raise typer.BadParameter("chooses balances; the journal has all.", param_hint="--as-of")
    if what is What.BALANCES and fmt in PLAIN_TEXT:
        raise typer.BadParameter(f"{fmt} is a form of the journal.", param_hint="--format")
    settings = settings_for(data_dir)
    if what is What.JOURNAL:
        count, status = _write_journal(settings, fmt, output), OK
    else:
        count, status = _write_balances(settings, fmt, output, moment)
    if as_json:
        print_json({"file": str(output), "what": what, "format": fmt, "rows": count})
    else:
        rows = "entries" if what is What.JOURNAL else "balances"
        print_note(f"Written: {output}, {count:,} {rows}.")
    raise typer.Exit(status)


def _write_journal(settings: "Settings", fmt: ExportFormat, output: Path) -> int:
    from ledger.cli.report_output import written
    from ledger.gl.databases import open_journal
    from ledger.reports.exports import journal_of, write_journal_csv
    from ledger.reports.parquet import write_journal_parquet

    with closing(open_journal(settings.database_url)) as journal:
        export = journal_of(journal)
        if fmt is ExportFormat.PARQUET:
            return written(output, lambda file: write_journal_parquet(export, file), "wb")
        if fmt is ExportFormat.CSV:
            return written(output, lambda file: write_journal_csv(export, file), "w")
        return written(output, lambda file: _write_lines(export, fmt, file), "w")


def _write_lines(export: Any, fmt: ExportFormat, file: IO[str]) -> int:
    """Plain text; returns the number of entries, as the other forms do."""
    from ledger.reports.exports import Nets
    from ledger.reports.plain_text import beancount, hledger

    form, nets = beancount if fmt is ExportFormat.BEANCOUNT else hledger, Nets()
    for line in form(export, nets):
        file.write(f"{line}\n")
    return nets.entries


def _write_balances(
    settings: "Settings", fmt: ExportFormat, output: Path, moment: Moment
) -> tuple[int, int]:
    from ledger.cli.read import from_ledger
    from ledger.cli.report_output import written
    from ledger.reports.exports import write_balances_csv
    from ledger.reports.parquet import write_balances_parquet

    rows, report = run(from_ledger(settings, None, None, moment))
    for sentence in () if report.complete else report.sentences():
        print_note(sentence)
    if fmt is ExportFormat.PARQUET:
        count = written(output, lambda file: write_balances_parquet(rows, file), "wb")
    else:
        count = written(output, lambda file: write_balances_csv(rows, file), "w")
    return count, OK if report.complete else INCOMPLETE

"""`faust-ledger replay` and `shadows`: post the log again, and compare it with the ledger."""

from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.completion import complete_shadows
from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    founded_settings,
    meter,
    optional_time,
    print_json,
    print_plain,
    require_order,
    run,
    settings_for,
    time_option,
)
from ledger.cli.tables import Column, FormatOption, format_of, print_table_of
from ledger.terminal import print_table

if TYPE_CHECKING:
    from ledger.replay.replay import ReplayReport

DIFFERENCES = {"shard": "right", "kind": "left", "what": "prose"}
OTHERWISE = {
    "shard": "right", "offset": "right", "transaction": "left", "was": "left", "now": "left",
    "because of": "left", "what": "prose",
}  # fmt: skip

SHADOWS = (Column("name", "schema", "code"), Column("purpose", "purpose", "prose"))


def replay_to_shadow(
    start: Annotated[
        str,
        typer.Option("--from", help="Only recorded at or after this: RFC 3339, or a date, UTC."),
    ],
    into: Annotated[str, typer.Option(help="The schema to create; it must not exist.")],
    end: Annotated[
        str | None, typer.Option("--to", show_default="all", help="Only recorded before this.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Post a part of the log to a shadow ledger, and compare it with the live ledger.

    The shadow ledger is a new schema with the same tables in the general ledger's database. It
    starts with the balances from before --from, and has whole runs, so up to a run more at each
    end. The live ledger is only read.

    The command also decides every transaction again, with the present rules and reference data. It
    lists those that would have another outcome, and does not count them as differences.

    Exit codes: 0 both ledgers have the same, 1 there are differences, 2 wrong usage, 3 a fault.
    """
    from ledger.replay.replay import replay_log
    from ledger.replay.shadow import Span

    first, last = time_option(start, "--from"), optional_time(end, "--to")
    require_order(first, last)
    settings, span = founded_settings(data_dir), Span(first, last)
    with meter("Shards", settings.shards) as shown:
        report = run(replay_log(settings, into, span, shown))
    if as_json:
        print_json(report.as_json())
    else:
        print_report(report)
        print_plain(
            f"The shadow ledger stays in schema {into} until: faust-ledger shadows drop {into}"
        )
    raise typer.Exit(FINDINGS if report.compared.count else OK)


def print_report(report: "ReplayReport") -> None:
    """Print a report of replay or rebuild for people."""
    compared = report.compared
    print(
        f"{report.transactions:,} transactions in {report.runs:,} runs of {len(report.built)} "
        f"shards posted from the log; {compared.same:,} are the same in the live ledger, "
        f"{compared.not_posted:,} not posted there yet, {compared.count:,} differences"
    )
    rows = [[str(each.shard), each.kind.value, each.sentence()] for each in compared.differences]
    if rows:
        print_table(DIFFERENCES, rows)
    if compared.count > len(rows):
        print(f"... and {compared.count - len(rows):,} more")
    otherwise = [each for built in report.built for each in built.otherwise]
    if otherwise:
        print(f"{len(otherwise):,} would be decided otherwise today, which changes nothing:")
        rows = [
            [str(shard), str(offset), name, was, now, cause, what]
            for shard, offset, name, was, now, what, cause in otherwise
        ]
        print_table(OTHERWISE, rows)
    if undecided := sum(built.undecided for built in report.built):
        print(f"{undecided:,} were not decided again: the log no longer has their records")


def list_shadows(
    fmt: FormatOption = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the shadow ledgers. --json prints one object a line."""
    from ledger.gl.postgresql import shadows

    form = format_of(fmt, as_json=as_json)
    found = shadows.existing_shadows(settings_for(data_dir).database_url)
    rows = [each._asdict() for each in found]
    print_table_of(SHADOWS, rows, form, nothing="There is no shadow ledger.")


def drop_shadow(
    name: Annotated[
        str,
        typer.Argument(
            help="Its schema, as `shadows list` shows it.", autocompletion=complete_shadows
        ),
    ],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove a shadow ledger and all its rows. Any other schema is refused, with exit code 3."""
    from ledger.gl.postgresql import shadows

    shadows.remove_shadow(settings_for(data_dir).database_url, name)
    if as_json:
        print_json({"schema": name, "dropped": True})
    else:
        print_plain(f"{name} is dropped.")

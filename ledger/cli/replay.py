"""`faust-ledger replay` and `shadows`: what the log makes, beside what the ledger has."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import (
    OK,
    REFUSED,
    AsJson,
    DataDir,
    in_order,
    meter,
    print_json,
    print_table,
    run,
    settings_for,
    tell,
    time_option,
)

if TYPE_CHECKING:
    from ledger.replay.replay import ReplayReport

DIFFERENCES = {"shard": "right", "kind": "left", "what": "prose"}
OTHERWISE = {
    "shard": "right", "offset": "right", "transaction": "left", "was": "left", "now": "left",
    "because of": "left", "what": "prose",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(replay)
    group = typer.Typer(
        name="shadows",
        help="List and drop the shadow ledgers that replay and rebuild made.",
        no_args_is_help=True,
    )
    group.command("list")(list_shadows)
    group.command("drop")(drop_shadow)
    app.add_typer(group)


def replay(
    start: Annotated[
        str, typer.Option("--from", help="Recorded at or after: RFC 3339, or a date, UTC.")
    ],
    into: Annotated[str, typer.Option(help="The schema to make; refused if it is there.")],
    end: Annotated[
        str | None, typer.Option("--to", show_default="all", help="Recorded before.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Post a stretch of the log to a shadow ledger, and compare it with the live one.

    The shadow is a schema of its own in the general ledger's database, with the same tables: it
    begins with the balances that came before, and has whole runs, so up to a run more at each end.
    The live ledger is only read. Every transaction is also decided again, with today's rules and
    reference data: what would be decided otherwise is listed, and is no difference.

    Exit codes: 0 both ledgers say the same, 1 there are differences, 2 wrong usage, 3 a fault.
    """
    from ledger.client.shards import as_founded
    from ledger.replay.replay import replay_log
    from ledger.replay.shadow import Span

    first = time_option(start, "--from")
    last = None if end is None else time_option(end, "--to")
    in_order(first, last)
    settings, span = run(as_founded(settings_for(data_dir))), Span(first, last)
    with meter("Shards", settings.shards) as shown:
        report = run(replay_log(settings, into, span, shown))
    if as_json:
        print_json(report.as_json())
    else:
        print_report(report)
        tell(f"The shadow ledger stays in schema {into} until: faust-ledger shadows drop {into}")
    raise typer.Exit(REFUSED if report.compared.count else OK)


def print_report(report: "ReplayReport") -> None:
    """For people."""
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
        print_table(OTHERWISE, [_shown(each) for each in otherwise])
    if undecided := sum(built.undecided for built in report.built):
        print(f"{undecided:,} were not decided again: their records are not in the log any more")


def _shown(otherwise: Any) -> list[str]:
    shard, offset, name, was, now, what, cause = otherwise
    return [str(shard), str(offset), name, was, now, cause, what]


def list_shadows(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the shadow ledgers. With --json, one object a line."""
    from ledger.gl.postgresql import shadows

    found = shadows.existing_shadows(settings_for(data_dir).database_url)
    if as_json:
        for each in found:
            print_json(each._asdict())
    elif found:
        print_table({"schema": "left", "purpose": "prose"}, [list(each) for each in found])
    else:
        print("There is no shadow ledger.")


def drop_shadow(
    name: Annotated[str, typer.Argument(help="As `shadows list` shows it.")],
    data_dir: DataDir = None,
) -> None:
    """Remove a shadow ledger and all its rows. What is no shadow is refused, exit code 3."""
    from ledger.gl.postgresql import shadows

    shadows.remove_shadow(settings_for(data_dir).database_url, name)
    tell(f"{name} is dropped.")

"""`faust-ledger rebuild ledger | tables | balances`: made again from what they were made of."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.output import (
    OK,
    REFUSED,
    AsJson,
    DataDir,
    meter,
    one_of,
    print_json,
    run,
    say,
    settings_for,
    tell,
)
from ledger.cli.replay import print_report

if TYPE_CHECKING:
    from ledger.replay.balances import Outcome
    from ledger.replay.replay import ReplayReport
    from ledger.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    group = typer.Typer(
        name="rebuild", help="Make again what can be made again from the log.", no_args_is_help=True
    )
    group.command("ledger")(ledger)
    group.command("tables")(tables)
    group.command("balances")(balances)
    app.add_typer(group)


def ledger(
    into: Annotated[str, typer.Option(help="The schema to build in; one begun is gone on with.")],
    switch: Annotated[
        bool, typer.Option("--switch", help="Put it in the live ledger's place afterwards.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept-differences", help="Switch even where the two differ.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Post the whole decision log to a schema of its own, and compare it with the live ledger.

    With --switch it takes the live ledger's place, in one database transaction during which
    postings wait and reading goes on; what was live is kept in schema INTO_before. Workers need not
    be stopped. Where the two differ nothing is switched without --accept-differences: the log is
    what was decided, so first find out who changed the ledger. It is refused where the log has less
    than the ledger.

    Exit codes: 0 the same, or switched; 1 there are differences, and nothing was switched; 3 a
    fault, or refused.
    """
    from ledger.client.shards import as_founded
    from ledger.replay.rebuild import Rebuild, rebuild_ledger, require_unused

    settings = run(as_founded(settings_for(data_dir)))
    if switch:
        require_unused(settings.database_url, into)
    with meter("Shards", settings.shards) as shown:
        report, kept = run(rebuild_ledger(settings, Rebuild(into, switch, accept), shown))
    if as_json:
        print_json(report.as_json() | {"switched": kept is not None, "kept": kept})
    else:
        print_report(report)
        _say_next(report, into, kept, switch=switch)
    raise typer.Exit(OK if kept is not None or not report.compared.count else REFUSED)


class Kind(StrEnum):
    """A worker's tables."""

    INTAKE = "intake"
    STRIPES = "stripes"
    BALANCES = "balances"


def tables(
    worker: Annotated[str, typer.Option(help="Whose tables, as its --name says.")] = "worker-1",
    table: Annotated[
        list[Kind] | None, typer.Option(show_default="all", help="Only this; may be repeated.")
    ] = None,
    from_log: Annotated[
        bool,
        typer.Option(
            "--from-log",
            help="Have stripes folded from the decision log, not restored from their changelog.",
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove a stopped worker's tables; when it starts it makes them again from Kafka.

    intake is made from the decision log, stripes from their changelog, balances from the stripes
    topic. It is refused while the worker runs, and where one of these topics was cut at its
    beginning: then nothing is removed, for the table may be the last copy of what it has.

    Exit codes: 0 removed, or there was nothing; 1 refused because a topic was cut; 3 a fault, or
    the worker runs.
    """
    from ledger.client.shards import as_founded
    from ledger.replay import tables as found

    settings = settings_for(data_dir)
    kinds = [each.value for each in table] if table else list(found.TABLE_KINDS)
    require_worker(settings, worker)
    settings = run(as_founded(settings))
    wanted = found.tables_of(settings, worker, kinds)
    # First, for that can be known without stopping anything.
    lacking = run(found.lacking(settings, wanted, from_log=from_log))
    if not lacking:
        found.require_stopped(settings, worker, wanted)
    removed = 0 if lacking else found.remove(wanted)
    if removed and from_log:
        run(found.refold_stripes(settings, wanted))
    if as_json:
        print_json({"removed": removed, "lacking": [each.sentence() for each in lacking]})
    elif lacking:
        for each in lacking:
            tell(each.sentence())
        print("Nothing was removed. Keep these tables, and see docs/runbooks/log-cut.md.")
    else:
        tell(f"{removed} tables of {worker} removed; it makes them again when it starts.")
    raise typer.Exit(REFUSED if lacking else OK)


def require_worker(settings: "Settings", worker: str) -> None:
    """A usage error for a worker that has kept nothing here, where others have."""
    place = settings.data_dir / "workers"
    known = sorted(each.name for each in place.iterdir()) if place.is_dir() else []
    if known:
        one_of(worker, known, "--worker", "worker of this data directory")


def balances(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to go on for.")] = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Publish again every balance that the balances topic lacks or has wrong, from the stripes.

    While all runs. What the topic has for an account that the stripes do not know is taken back:
    a record without a value, which makes readers forget what they knew.

    Exit codes: 0 the topic is right, 1 not all of it yet, 3 a fault, or the stripes topic was cut.
    """
    settings = settings_for(data_dir)
    outcome = run(_balances(settings, timeout))
    if as_json:
        rows = [each.as_json() for each in outcome.left]
        print_json(outcome._asdict() | {"left": rows})
    else:
        print(
            f"{outcome.accounts:,} accounts checked, {outcome.published:,} published again, "
            f"{outcome.pending:,} pending, {len(outcome.left):,} still wrong"
        )
        for each in outcome.left:
            tell(each.sentence)
        if outcome.pending:
            say("What is pending the workers publish themselves: do they run? "
                "(`faust-ledger status`)")  # fmt: skip
    raise typer.Exit(REFUSED if outcome.left or outcome.pending else OK)


async def _balances(settings: "Settings", seconds: float) -> "Outcome":
    from ledger.audit.reading import Sources
    from ledger.client.shards import as_founded
    from ledger.gl.postgresql import PostgresJournal
    from ledger.replay.balances import rebuild_balances

    settings = await as_founded(settings)
    sources = Sources.of(settings, PostgresJournal(settings.database_url))
    try:
        return await rebuild_balances(sources, seconds)
    finally:
        await sources.close()


def _say_next(report: "ReplayReport", into: str, kept: str | None, *, switch: bool) -> None:
    if kept is not None:
        tell(
            f"Switched: what was built is the live ledger. The one before is kept in schema {kept} "
            f"until: faust-ledger shadows drop {kept}"
        )
    elif report.compared.count:
        say(
            f"{'Nothing was switched. ' if switch else ''}If the log is right: faust-ledger "
            f"rebuild ledger --into {into} --switch --accept-differences"
        )
    else:
        print(
            f"Built in schema {into}. To put it in the live ledger's place: faust-ledger rebuild "
            f"ledger --into {into} --switch; to drop it: faust-ledger shadows drop {into}"
        )

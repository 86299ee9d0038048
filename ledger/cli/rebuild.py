"""`faust-ledger rebuild ledger | tables | balances | history`: derived state from Kafka."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    founded_settings,
    meter,
    open_sources,
    print_json,
    print_note,
    print_plain,
    require_choice,
    run,
    settings_for,
)
from ledger.cli.replay import print_report

if TYPE_CHECKING:
    from ledger.replay.balances import Outcome
    from ledger.replay.replay import ReplayReport
    from ledger.settings import Settings


def build_ledger(
    into: Annotated[
        str, typer.Option(help="The schema to build in; an unfinished one is continued.")
    ],
    switch: Annotated[
        bool, typer.Option("--switch", help="Replace the live ledger with the result.")
    ] = False,
    accept: Annotated[
        bool, typer.Option("--accept-differences", help="Replace it even if the two differ.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Post the whole decision log to a new schema, and compare the result with the live ledger.

    --switch replaces the live ledger with the result in one database transaction; postings wait
    during it, reads do not, and workers keep running. The former ledger stays in schema
    INTO_before. If the two differ, nothing is switched without --accept-differences: the log has
    what was decided, so first find out who changed the ledger. The command refuses to switch if the
    log has less than the ledger.

    Exit codes: 0 the same, or switched; 1 there are differences, and nothing was switched; 3 a
    fault, or the command refused.
    """
    from ledger.replay.rebuild import Rebuild, rebuild_ledger, require_unused

    settings = founded_settings(data_dir)
    if switch:
        require_unused(settings.database_url, into)
    with meter("Shards", settings.shards) as shown:
        report, kept = run(rebuild_ledger(settings, Rebuild(into, switch, accept), shown))
    if as_json:
        print_json(report.as_json() | {"switched": kept is not None, "kept": kept})
    else:
        print_report(report)
        _print_next(report, into, kept, switch=switch)
    raise typer.Exit(OK if kept is not None or not report.compared.count else FINDINGS)


class TableKind(StrEnum):
    """The kinds of a worker's tables."""

    INTAKE = "intake"
    STRIPES = "stripes"
    BALANCES = "balances"


def remove_tables(
    worker: Annotated[
        str, typer.Option(help="The worker, by the --name it runs with.")
    ] = "worker-1",
    table: Annotated[
        list[TableKind] | None,
        typer.Option(show_default="all", help="Only this table; may be repeated."),
    ] = None,
    from_log: Annotated[
        bool,
        typer.Option(
            "--from-log",
            help="Fold stripes from the decision log; do not restore them from their changelog.",
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove the tables of a stopped worker; when it starts, it rebuilds them from Kafka.

    The worker rebuilds intake from the decision log, stripes from their changelog, and balances
    from the stripes topic. The command refuses while the worker runs. It also refuses, and removes
    nothing, if the beginning of one of these topics was deleted: the table may be the last copy.

    Exit codes: 0 removed, or there was nothing to remove; 1 refused because the beginning of a
    topic was deleted; 3 a fault, or the worker runs.
    """
    from ledger.replay import tables as found

    settings = settings_for(data_dir)
    kinds = [each.value for each in table] if table else list(found.TABLE_KINDS)
    require_worker(settings, worker)
    settings = founded_settings(data_dir)
    wanted = found.tables_of(settings, worker, kinds)
    # First: this check needs no stopped worker.
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
            print_plain(each.sentence())
        print("Nothing was removed. Keep these tables, and see docs/runbooks/log-cut.md.")
    else:
        print_plain(f"{removed} tables of {worker} removed; the worker rebuilds them on its start.")
    raise typer.Exit(FINDINGS if lacking else OK)


def require_worker(settings: "Settings", worker: str) -> None:
    """A usage error for a worker without files here, if other workers have some."""
    place = settings.data_dir / "workers"
    known = sorted(each.name for each in place.iterdir()) if place.is_dir() else []
    if known:
        require_choice(worker, known, "--worker", "worker of this data directory")


def republish_balances(
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to try for.")] = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Publish again, from the stripes, every balance that the balances topic lacks or has wrong.

    Workers keep running. For an account that the stripes do not know, the command publishes a
    record without a value, which makes readers forget its balance.

    Exit codes: 0 the topic is right; 1 a part of it is not yet; 3 a fault, or the beginning of the
    stripes topic was deleted.
    """
    outcome = run(_rebuild_balances(settings_for(data_dir), timeout))
    if as_json:
        rows = [each.as_json() for each in outcome.left]
        print_json(outcome._asdict() | {"left": rows})
    else:
        print(
            f"{outcome.accounts:,} accounts checked, {outcome.published:,} published again, "
            f"{outcome.pending:,} pending, {len(outcome.left):,} still wrong"
        )
        for each in outcome.left:
            print_plain(each.sentence)
        if outcome.pending:
            print_note("The workers publish pending balances themselves: are they running? "
                       "(`faust-ledger status`)")  # fmt: skip
    raise typer.Exit(FINDINGS if outcome.left or outcome.pending else OK)


def refold_history(
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to wait until it is folded again.")
    ] = 600,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Empty history, and have the workers fold it again from the decision log.

    Workers keep running, and nothing else waits for it. Until it is folded again, answers about
    points in time are complete up to earlier positions, which they name. The command refuses if the
    beginning of the decision log was deleted: history has what is no longer there.

    Exit codes: 0 folded again as far as it was; 1 not so far yet, the workers go on; 3 a fault, and
    nothing was changed.
    """
    from ledger.gl.databases import require_history
    from ledger.replay import history

    settings = settings_for(data_dir)
    require_history(settings)
    history.require_owner(settings)
    with meter("Positions", None) as shown:
        found = run(history.refold_history(settings, timeout, shown))
    if as_json:
        print_json(found._asdict() | {"left": found.left})
    else:
        print(
            f"{sum(found.before.values()):,} positions of {len(found.before)} shards, "
            f"{found.left:,} not folded again yet"
        )
        if found.left:
            print_note("The workers go on: `faust-ledger status` shows how far they are, or why "
                       "not.")  # fmt: skip
    raise typer.Exit(FINDINGS if found.left else OK)


async def _rebuild_balances(settings: "Settings", seconds: float) -> "Outcome":
    from ledger.replay.balances import rebuild_balances

    async with open_sources(settings) as sources:
        return await rebuild_balances(sources, seconds)


def _print_next(report: "ReplayReport", into: str, kept: str | None, *, switch: bool) -> None:
    if kept is not None:
        print_plain(
            f"Switched: the new schema is the live ledger. The former one stays in schema {kept} "
            f"until: faust-ledger shadows drop {kept}"
        )
    elif report.compared.count:
        print_note(
            f"{'Nothing was switched. ' if switch else ''}If the log is right: faust-ledger "
            f"rebuild ledger --into {into} --switch --accept-differences"
        )
    else:
        print(
            f"Built in schema {into}. To replace the live ledger with it: faust-ledger rebuild "
            f"ledger --into {into} --switch; to drop it: faust-ledger shadows drop {into}"
        )

"""`faust-ledger reconcile`: do stream and general ledger agree, and what they were made from."""

import gc
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.output import (
    OK,
    REFUSED,
    AsJson,
    DataDir,
    meter,
    print_json,
    print_table,
    run,
    say_voids,
    settings_for,
)

if TYPE_CHECKING:
    from ledger.audit.findings import AuditReport
    from ledger.settings import Settings

COLUMNS = {
    "account": "left", "currency": "left", "shard": "right", "kind": "left", "between": "left",
    "what": "prose",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `reconcile`."""
    app.command()(reconcile)


def reconcile(
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Fold the whole log again and compare everything that was made of it."
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare public balances with the general ledger, and list the breaks that are open.

    What moves is pending and no break. With --full, an audit of its own follows the log from its
    beginning: every record decided once, every id accepted once, the journal's rows, the
    database's stripes, the stripes table, the stripes and the balances topic, each at the
    position that it states itself, with nothing missing up to there. It also judges every record
    by the rules, written once more: a decision that contradicts them is named with both outcomes.

    Exit codes: 0 no break, 1 there are breaks, 3 a fault.
    """
    report = run(compared(settings_for(data_dir), full=full))
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    raise typer.Exit(REFUSED if report.breaks else OK)


async def compared(settings: "Settings", *, full: bool) -> "AuditReport":
    """What the command of that name found."""
    from ledger.audit.full import audit_size, full_audit
    from ledger.audit.quick import quick_audit
    from ledger.audit.reading import Sources
    from ledger.client.shards import as_founded
    from ledger.gl.postgresql import PostgresJournal

    settings = await as_founded(settings)
    sources = Sources.of(settings, PostgresJournal(settings.database_url))
    try:
        if not full:
            return await quick_audit(sources)
        # What an audit holds it holds to its end; the collector looks through it again and again.
        gc.disable()
        with meter("Auditing", await audit_size(sources)) as shown:
            return await full_audit(sources, shown)
    finally:
        gc.enable()
        await sources.close()


def _print(report: "AuditReport") -> None:
    print(
        f"{report.reconciled:,} of {report.accounts:,} accounts reconciled, {report.pending:,} "
        f"pending, {len(report.breaks):,} breaks ({report.stripes:,} stripes)"
    )
    say_voids([each.as_json() for each in report.voided])
    rows = [each.as_json() | {"what": each.sentence} for each in report.breaks]
    if rows:
        rows = [row | {"between": " / ".join(row["between"])} for row in rows]
        print_table(
            COLUMNS,
            [["" if row[name] is None else str(row[name]) for name in COLUMNS] for row in rows],
        )

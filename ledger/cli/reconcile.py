"""`faust-ledger reconcile`: compare stream and general ledger, or audit the whole ledger."""

import gc
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    meter,
    open_sources,
    print_json,
    print_rows,
    print_voids,
    run,
    settings_for,
)

if TYPE_CHECKING:
    from ledger.audit.findings import AuditReport
    from ledger.settings import Settings

COLUMNS = {
    "account": "left", "currency": "left", "shard": "right", "kind": "left", "between": "left",
    "what": "prose",
}  # fmt: skip


def reconcile_ledger(
    full: Annotated[
        bool,
        typer.Option(
            "--full", help="Re-derive everything from the log, and compare it with what there is."
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare public balances with the general ledger, and list the open breaks.

    An account that is changing is pending, and not a break. With --full, an independent audit reads
    the log from its beginning. It checks that every record was decided once and every id accepted
    once, and compares the journal, the stripes in the database, the stripes table, and the stripes
    and balances topics, each at the position that it states. It also decides every record again
    with an independent implementation of the rules, and reports each decision that differs, with
    both outcomes.

    Exit codes: 0 no break, 1 there are breaks, 3 a fault.
    """
    report = run(audited(settings_for(data_dir), full=full))
    if as_json:
        print_json(report.as_json())
    else:
        _print(report)
    raise typer.Exit(FINDINGS if report.breaks else OK)


async def audited(settings: "Settings", *, full: bool) -> "AuditReport":
    """The report of the command."""
    from ledger.audit.full import audit_size, full_audit
    from ledger.audit.quick import quick_audit

    async with open_sources(settings) as sources:
        if not full:
            return await quick_audit(sources)
        # An audit frees little before its end, and the collector would search all of it repeatedly.
        gc.disable()
        try:
            with meter("Auditing", await audit_size(sources)) as shown:
                return await full_audit(sources, shown)
        finally:
            gc.enable()


def _print(report: "AuditReport") -> None:
    print(
        f"{report.reconciled:,} of {report.accounts:,} accounts reconciled, {report.pending:,} "
        f"pending, {len(report.breaks):,} breaks ({report.stripes:,} stripes)"
    )
    print_voids([each.as_json() for each in report.voided])
    rows = [each.as_json() | {"what": each.sentence} for each in report.breaks]
    if rows:
        print_rows(COLUMNS, [row | {"between": " / ".join(row["between"])} for row in rows])

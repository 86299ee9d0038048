"""`faust-ledger reconcile`: compare stream and general ledger, or audit the whole ledger."""

import gc
from collections.abc import Mapping
from contextlib import suppress
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
    from ledger.audit.reading import Sources
    from ledger.client.ends import LogEnds
    from ledger.domain.run import Watermark
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

    What is in the log and not decided yet is counted, and is no break.

    Exit codes: 0 no break, 1 there are breaks, 3 a fault.
    """
    report, undecided = run(reconciled(settings_for(data_dir), full=full))
    if as_json:
        print_json(report.as_json() | {"undecided": undecided})
    else:
        _print(report)
        if undecided:
            print(
                f"{undecided:,} records of the log are not decided yet: `faust-ledger status` "
                "shows whether a worker runs, and what it waits for"
            )
    raise typer.Exit(FINDINGS if report.breaks else OK)


async def reconciled(settings: "Settings", *, full: bool) -> "tuple[AuditReport, int]":
    """The report, and how many records that were in the log before it are not decided after it."""
    from ledger.client.ends import log_ends
    from ledger.settings import require_database

    # Before Kafka is read, which takes time.
    require_database(settings.database_url)
    async with open_sources(settings) as sources:
        ends = await log_ends(sources.settings)
        return await audit(sources, full=full), await not_decided(sources, ends)


async def audited(settings: "Settings", *, full: bool) -> "AuditReport":
    """The report of an audit."""
    async with open_sources(settings) as sources:
        return await audit(sources, full=full)


async def audit(sources: "Sources", *, full: bool) -> "AuditReport":
    """The report of the quick audit, or of the full one."""
    from ledger.audit.full import audit_size, full_audit
    from ledger.audit.quick import quick_audit

    if not full:
        return await quick_audit(sources)
    # An audit frees little before its end, and the collector would search all of it repeatedly.
    gc.disable()
    try:
        with meter("Auditing", await audit_size(sources)) as shown:
            return await full_audit(sources, shown)
    finally:
        gc.enable()


async def not_decided(sources: "Sources", ends: "LogEnds") -> int:
    """How many records before `ends` no decision is on; markers of Kafka transactions count too."""
    from ledger.client.ends import completeness_of
    from ledger.domain.completeness import Asked

    marks = await decided(sources, ends)
    found = await completeness_of(sources.settings, Asked(), ends, marks)
    return sum(each.waiting or 0 for each in found.positions)


async def decided(sources: "Sources", ends: "LogEnds") -> "Mapping[int, Watermark]":
    """By shard, the position before which everything is decided."""
    from ledger.domain.run import Watermark

    found = {}
    for record in await sources.log.last_of(sources.names.decisions.name, ends.by_shard):
        # A record that is not ours is reported by the full audit.
        with suppress(ValueError):
            decision = sources.codec.decode("Decision", record.value or b"")
            found[record.partition] = Watermark(end=int(decision["end"]))
    return found


def _print(report: "AuditReport") -> None:
    print(
        f"{report.reconciled:,} of {report.accounts:,} accounts reconciled, {report.pending:,} "
        f"pending, {len(report.breaks):,} breaks ({report.stripes:,} stripes)"
    )
    print_voids([each.as_json() for each in report.voided])
    rows = [each.as_json() | {"what": each.sentence} for each in report.breaks]
    if rows:
        print_rows(COLUMNS, [row | {"between": " / ".join(row["between"])} for row in rows])

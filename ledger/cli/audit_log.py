"""`faust-ledger audit-log`: what was changed through the API, by whom, and what became of it."""

from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import (
    AsJson,
    DataDir,
    optional_time,
    require_order,
    require_utf8,
    run,
    settings_for,
)
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of, time_in

if TYPE_CHECKING:
    from ledger.client.audit_reader import AuditSelection
    from ledger.settings import Settings

COLUMNS = (
    Column("at", "at", "time"),
    Column("who", "who", "code"),
    Column("action", "action", "code", drop=3),
    Column("targets", "on", "text"),
    Column("outcome", "outcome", "code"),
    Column("source", "from", "code", drop=1),
    Column("request", "request", "code", drop=2),
    Column("detail", "detail", "prose"),
)
SHOWN_TARGETS = 3
"""Of a bulk request, in a table; the other formats have all of them."""


def print_audit_log(
    who: Annotated[
        str | None, typer.Option(help="Only by this one, such as token:3kTMd7Qz0a.")
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this action, such as tokens.create.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Only what was done to this transaction or token.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Only at or after this: RFC 3339, or a date.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Only before this.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, show_default="all", help="Only the newest ones, this many.")
    ] = None,
    fmt: FormatOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List who changed what through the API and by `tokens`, when, from where, and the outcome.

    The oldest is first. Each action is recorded before it is carried out (outcome begun) and after
    it; the two have the same request. With begun alone, the process ended in between, and the
    ledger shows what became of it.
    """
    from ledger.client.audit_reader import AuditSelection

    form = format_of(fmt, as_json=as_json)
    for name, given in (("--who", who), ("--action", action), ("--target", target)):
        require_utf8(given or "", name)
    first, last = optional_time(start, "--from"), optional_time(end, "--to")
    require_order(first, last)
    wanted = AuditSelection(first, last, who, action, target)
    rows = run(_newest(settings_for(data_dir), wanted, limit))
    if form in (Format.TABLE, Format.CSV):
        rows = [
            {**row, "at": time_in(form, row["at"]), "targets": _targets(row, form)} for row in rows
        ]
    nothing = "The audit log is empty."
    if wanted != AuditSelection():
        nothing = "Nothing in the audit log matches what was asked for."
    print_table_of(COLUMNS, rows, form, nothing=nothing)


async def _newest(
    settings: "Settings", wanted: "AuditSelection", limit: int | None
) -> list[dict[str, Any]]:
    from ledger.client.audit_reader import AuditReader

    found: deque[dict[str, Any]] = deque(maxlen=limit)
    async for row in AuditReader(settings).read(wanted):
        found.append(row)
    return list(found)


def _targets(row: dict[str, Any], form: Format | None) -> str:
    targets = row["targets"]
    if form is Format.CSV or len(targets) <= SHOWN_TARGETS:
        return ", ".join(targets)
    return f"{', '.join(targets[:SHOWN_TARGETS])} and {len(targets) - SHOWN_TARGETS} more"

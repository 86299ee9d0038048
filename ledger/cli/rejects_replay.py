"""`faust-ledger rejects replay`: send refused records again."""

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import (
    FINDINGS,
    OK,
    TIME_UP,
    AsJson,
    DataDir,
    optional_time,
    print_json,
    print_note,
    print_refusal,
    require_order,
    run,
    settings_for,
    voided_since,
)
from ledger.cli.rejects import PLACE, WHY, Codes, From, Ids, To, as_json_row, require_codes
from ledger.cli.tables import Column, Format, print_table_of
from ledger.clock import now

if TYPE_CHECKING:
    from ledger.client.rejects import Selection
    from ledger.client.resend import RejectedRecord
    from ledger.settings import Settings

COLUMNS = (*PLACE, Column("transaction_id", "transaction", "code"),
           *(each for each in WHY if each.key != "since"))  # fmt: skip


def replay_rejects(
    code: Codes = None,
    transaction_id: Ids = None,
    start: From = None,
    end: To = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the records, and send nothing.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for the outcomes.")] = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Send refused records again, unchanged and with their keys, and wait for the outcomes.

    Use it after a fix, such as registering an asset or a schema, or declaring an account. Select
    records with --code, --id, --from and --to; a record must match all of those given. Each
    distinct record is sent once.

    It is safe to repeat: a refused id is not remembered, so it can be accepted now, and a
    transaction that was accepted meanwhile counts as a duplicate and changes nothing. Records whose
    ids the general ledger has from before the window (window_days) are not sent. If it cannot be
    asked, records refused TOO_EARLY are not sent, because created_at does not show how old they
    are.

    Exit codes: 0 all accepted or duplicates; 1 some were refused again (stderr names them); 2 the
    time was up, or wrong usage; 3 a fault.
    """
    if not (code or transaction_id or start or end):
        raise typer.BadParameter("give --code, --id, --from or --to.", param_hint="replay")
    from ledger.client.rejects import Selection

    require_codes(code or [])
    first, last = optional_time(start, "--from"), optional_time(end, "--to")
    require_order(first, last)
    codes, ids = frozenset(code or ()), frozenset(transaction_id or ())
    wanted = Selection(codes, ids, start=first, end=last)
    settings = settings_for(data_dir)
    raise typer.Exit(run(_replay(settings, wanted, timeout, dry_run=dry_run, as_json=as_json)))


async def _replay(
    settings: "Settings", wanted: "Selection", seconds: float, *, dry_run: bool, as_json: bool
) -> int:
    from ledger.client.rejects import RejectReader
    from ledger.client.resend import distinct_records

    rows = [found.row async for found in RejectReader(settings).read(wanted)]
    rows.sort(key=lambda row: (row["recorded_at"], row["shard"], row["offset"]))
    for unknown in sorted(wanted.ids - {row["transaction_id"] for row in rows}):
        print_note(f"No refusal of this selection has the id {unknown}.")
    records = distinct_records(await _safe(settings, rows))
    if dry_run:
        _show_dry_run(rows, len(records), as_json=as_json)
        return OK
    return await _send(settings, records, len(rows), seconds, as_json=as_json)


async def _safe(settings: "Settings", rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that cannot become new money although they were accepted; prints the others.

    A record that was not refused TOO_EARLY was created before it was refused, so it is too late
    when its id is forgotten. A created_at that was ahead of the clock may be in the window again.
    """
    from ledger.cli.dating import open_past
    from ledger.client.past import HOUR
    from ledger.domain.refusal import Reason

    async with AsyncExitStack() as stack:
        past = open_past(settings, stack)
        found = await past.find([row["transaction_id"] for row in rows if row["transaction_id"]])
    known, since = found or {}, now() - past.window + HOUR
    safe = []
    for row in rows:
        name = row["transaction_id"]
        if name in known and known[name].known_from <= since:
            print_note(f"{name}: accepted before the window, and in the ledger; not sent.")
        elif found is None and row["code"] == Reason.TOO_EARLY:
            print_note(
                f"{name}: refused TOO_EARLY, and the general ledger cannot be asked here whether "
                "it was accepted since; not sent."
            )
        else:
            safe.append(row)
    return safe


def _show_dry_run(rows: list[dict[str, Any]], distinct: int, *, as_json: bool) -> None:
    shown = [as_json_row(row) for row in rows]
    if as_json or shown:
        form = Format.JSONL if as_json else Format.TABLE
        print_table_of(COLUMNS, shown, form, nothing="")
    if as_json:
        return
    print(f"{len(rows):,} refusals match; {distinct:,} records would be sent. Nothing was sent.")


async def _send(
    settings: "Settings",
    records: "list[RejectedRecord]",
    matching: int,
    seconds: float,
    *,
    as_json: bool,
) -> int:
    from ledger.client.outcomes import OutcomeWatch
    from ledger.client.resend import resend

    began = time.monotonic()
    async with OutcomeWatch(settings, on_refused=print_refusal) as outcomes:
        sent = await resend(settings, records, outcomes.add, seconds=seconds or None)
        tally, done = await outcomes.wait(seconds)
    if as_json:
        counts = ("accepted", "duplicates", "rejected", "reconciled", "voided")
        print_json({
            "matching": matching, "sent": sent, "seconds": round(time.monotonic() - began, 3),
            **{name: getattr(tally, name) for name in counts},
        })  # fmt: skip
    else:
        print(
            f"{matching:,} refusals match, {sent:,} records sent: {tally.accepted:,} accepted, "
            f"{tally.duplicates:,} duplicates, {tally.rejected:,} refused again"
        )
    if not done:
        print_note(f"Not all of them are reconciled within {seconds:g} s: is a worker running? "
                   "(`faust-ledger status`) It is safe to send them again.")  # fmt: skip
    if tally.voided:
        print_note(voided_since(tally.voided))
    bad = tally.rejected or tally.breaks or tally.voided
    return FINDINGS if bad else OK if done else TIME_UP

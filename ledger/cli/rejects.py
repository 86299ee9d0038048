"""`faust-ledger rejects list | replay`: list refused records, and send them again."""

import base64
import heapq
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
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
    print_rows,
    require_choice,
    require_order,
    run,
    settings_for,
    voided_since,
)
from ledger.clock import now

if TYPE_CHECKING:
    from ledger.client.resend import RejectedRecord
    from ledger.settings import Settings

COLUMNS = {
    "recorded_at": "left", "shard": "right", "offset": "right", "transaction_id": "left",
    "code": "left", "field": "left", "reason": "prose",
}  # fmt: skip


def list_rejects(
    code: Annotated[
        str | None, typer.Option(help="Only this refusal code, such as NOT_BALANCED.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, show_default="all", help="Only the newest ones, this many.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List refused records, the oldest first.

    With --json, `key` and `value` are those of the original record if they are text. Otherwise they
    are null, and `key_base64` and `value_base64` have the bytes. Exit code 3 is a fault.
    """
    require_codes([] if code is None else [code])
    found = run(refused(settings_for(data_dir), code, limit))
    if as_json:
        for row in found:
            print_json(row)
    elif found:
        print_rows(COLUMNS, found)
    else:
        print_note("Nothing was refused." if code is None else f"Nothing was refused with {code}.")


def require_codes(codes: list[str]) -> None:
    """A usage error for an unknown refusal code: an empty list would look like good news."""
    from ledger.domain.refusal import Reason

    for code in codes:
        require_choice(code, list(Reason), "--code", "refusal code")


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice of refusals; times in microseconds, half-open. Empty or None selects all."""

    codes: frozenset[str]
    ids: frozenset[str]
    start: int | None
    end: int | None

    def has(self, row: dict[str, Any]) -> bool:
        """Whether it selects this Reject row."""
        return (
            (not self.codes or row["code"] in self.codes)
            and (not self.ids or row["transaction_id"] in self.ids)
            and (self.start is None or row["recorded_at"] >= self.start)
            and (self.end is None or row["recorded_at"] < self.end)
        )


def replay_rejects(
    code: Annotated[
        list[str] | None, typer.Option(help="Only this refusal code; may be repeated.")
    ] = None,
    transaction_id: Annotated[
        list[str] | None, typer.Option("--id", help="Only this transaction; may be repeated.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Only recorded at or after this: RFC 3339, or a date."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Only recorded before this.")] = None,
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
    require_codes(code or [])
    first, last = optional_time(start, "--from"), optional_time(end, "--to")
    require_order(first, last)
    wanted = Selection(frozenset(code or ()), frozenset(transaction_id or ()), first, last)
    settings = settings_for(data_dir)
    raise typer.Exit(run(_replay(settings, wanted, timeout, dry_run=dry_run, as_json=as_json)))


async def _replay(
    settings: "Settings", wanted: Selection, seconds: float, *, dry_run: bool, as_json: bool
) -> int:
    from ledger.client.resend import distinct_records

    rows = [row async for row in _rejects(settings, None) if wanted.has(row)]
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
    if as_json:
        for row in shown:
            print_json(row)
        return
    if shown:
        print_rows(COLUMNS, shown)
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


async def refused(
    settings: "Settings", code: str | None, limit: int | None
) -> list[dict[str, Any]]:
    """The rows that --json prints, in order of recorded_at, shard and offset."""
    newest: list[tuple[int, int, int, dict[str, Any]]] = []
    async for row in _rejects(settings, code):
        heapq.heappush(newest, (row["recorded_at"], row["shard"], row["offset"], row))
        # After a flood all of them may not fit in memory.
        if limit is not None and len(newest) > limit:
            heapq.heappop(newest)
    return [as_json_row(row) for *_, row in sorted(newest)]


async def _rejects(settings: "Settings", code: str | None) -> AsyncIterator[dict[str, Any]]:
    from aiokafka import TopicPartition

    from ledger.client.partitions import partition_counts
    from ledger.client.records import Records
    from ledger.streaming.reader import Reader
    from ledger.streaming.topics import topics

    name = topics(settings).rejects.name
    counts = await partition_counts(settings, name)
    records = await Records.of(settings, "Reject")
    last: dict[int, int] = {}
    async with Reader(settings) as reader:
        bounds = await reader.bounds(TopicPartition(name, each) for each in range(counts[name]))
        reader.assign({tp: first for tp, (first, _) in bounds.items()})
        async for fetched in reader.until({tp: end for tp, (_, end) in bounds.items()}):
            for _, row in await records.decode("Reject", fetched):
                # They are in order; after a crash the topic may have some twice.
                if row["offset"] > last.get(row["shard"], -1):
                    last[row["shard"]] = row["offset"]
                    if code in (None, row["code"]):
                        yield row


def as_json_row(row: dict[str, Any]) -> dict[str, Any]:
    """The row for JSON: bytes as text or, if they are none, as base64; the time as RFC 3339."""
    from ledger.client.drafts import rfc3339

    names = ("code", "reason", "field", "shard", "offset", "transaction_id")
    texts = {name: _text(row[name] or b"") for name in ("key", "value")}
    return {
        **{name: row[name] for name in names},
        "recorded_at": rfc3339(row["recorded_at"]),
        **{name: None if row[name] is None else text for name, text in texts.items()},
        **{
            f"{name}_base64": base64.b64encode(row[name]).decode() if text is None else None
            for name, text in texts.items()
        },
    }


def _text(found: bytes) -> str | None:
    text = found.decode(errors="replace")
    return text if text.encode() == found and text.isprintable() else None

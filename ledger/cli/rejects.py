"""`faust-ledger rejects list | replay`: what was refused and why, and sending it again."""

import base64
import heapq
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import (
    OK,
    REFUSED,
    TIME_UP,
    AsJson,
    DataDir,
    in_order,
    one_of,
    print_json,
    print_table,
    run,
    say,
    settings_for,
    time_option,
    voided_since,
)

if TYPE_CHECKING:
    from ledger.client.resend import Original
    from ledger.domain.run import Refusal
    from ledger.settings import Settings

COLUMNS = {
    "recorded_at": "left", "shard": "right", "offset": "right", "transaction_id": "left",
    "code": "left", "field": "left", "reason": "prose",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    group = typer.Typer(
        name="rejects", help="List refused transactions, and send them again.", no_args_is_help=True
    )
    group.command("list")(list_rejects)
    group.command("replay")(replay_rejects)
    app.add_typer(group)


def list_rejects(
    code: Annotated[str | None, typer.Option(help="Only this one, such as NOT_BALANCED.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, show_default="all", help="The newest so many.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Refused records, oldest first.

    With --json, `key` and `value` are the record as it came: as text where it is text, otherwise
    null, with the bytes in `key_base64` and `value_base64`. Exit code 3 is a fault.
    """
    require_codes([] if code is None else [code])
    found = run(refused(settings_for(data_dir), code, limit))
    if as_json:
        for row in found:
            print_json(row)
    elif found:
        print_table(COLUMNS, list(map(_cells, found)))
    else:
        say("Nothing was refused." if code is None else f"Nothing was refused with {code}.")


def require_codes(codes: list[str]) -> None:
    """A usage error unless there are such refusal codes: none found would look like good news."""
    from ledger.domain.refusal import Reason

    for code in codes:
        one_of(code, list(Reason), "--code", "refusal code")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which refusals; times in microseconds, half-open. What is empty or None selects all."""

    codes: frozenset[str]
    ids: frozenset[str]
    start: int | None
    end: int | None

    def has(self, row: dict[str, Any]) -> bool:
        """Whether a Reject row is one of them."""
        return (
            (not self.codes or row["code"] in self.codes)
            and (not self.ids or row["transaction_id"] in self.ids)
            and (self.start is None or row["recorded_at"] >= self.start)
            and (self.end is None or row["recorded_at"] < self.end)
        )


def replay_rejects(
    code: Annotated[
        list[str] | None, typer.Option(help="Refused with this one; may be repeated.")
    ] = None,
    transaction_id: Annotated[
        list[str] | None, typer.Option("--id", help="This transaction; may be repeated.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Recorded at or after: RFC 3339, or a date.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Recorded before.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")
    ] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for the outcome.")] = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Send refused records again, byte for byte and with their keys, and wait for what comes of it.

    For use after a fix: an asset registered, an account declared, a schema registered. A refused id
    is not remembered, so it may be accepted now; what was accepted meanwhile counts as a duplicate
    and changes nothing. So this may be repeated. Each distinct record is sent once. What the
    general ledger has from before the window (window_days) is not sent; where it cannot be asked,
    nothing that was refused TOO_EARLY is, for its created_at does not say how old it is. Say which
    by --code, --id, --from or --to; those given must all hold.

    Exit codes: 0 all accepted or duplicates; 1 some were refused again, reported on stderr; 2 the
    time was up, or wrong usage; 3 a fault.
    """
    if not (code or transaction_id or start or end):
        raise typer.BadParameter("say which: --code, --id, --from or --to.", param_hint="replay")
    require_codes(code or [])
    first = None if start is None else time_option(start, "--from")
    last = None if end is None else time_option(end, "--to")
    in_order(first, last)
    wanted = Selection(frozenset(code or ()), frozenset(transaction_id or ()), first, last)
    settings = settings_for(data_dir)
    raise typer.Exit(run(_replay(settings, wanted, timeout, dry_run=dry_run, as_json=as_json)))


async def _replay(
    settings: "Settings", wanted: Selection, seconds: float, *, dry_run: bool, as_json: bool
) -> int:
    from ledger.client.resend import originals

    rows = [row async for row in _rejects(settings, None) if wanted.has(row)]
    rows.sort(key=lambda row: (row["recorded_at"], row["shard"], row["offset"]))
    for unknown in sorted(wanted.ids - {row["transaction_id"] for row in rows}):
        say(f"No refusal of this selection has the id {unknown}.")
    records = originals(await _safe(settings, rows))
    if dry_run:
        _show_dry_run(rows, len(records), as_json=as_json)
        return OK
    return await _send(settings, records, len(rows), seconds, as_json=as_json)


async def _safe(settings: "Settings", rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that the service cannot take for new although they were accepted; says which are not.

    What was refused for another reason is too late when its id is not remembered, for it was made
    before it was refused. A created_at that was ahead of the clock may be within the window again.
    """
    from ledger.cli.dating import opened
    from ledger.client.past import HOUR
    from ledger.client.publisher import present
    from ledger.domain.refusal import Reason

    async with AsyncExitStack() as stack:
        past = opened(settings, stack)
        found = await past.find([row["transaction_id"] for row in rows if row["transaction_id"]])
    known, since = found or {}, present() - past.window + HOUR
    safe = []
    for row in rows:
        name = row["transaction_id"]
        if name in known and known[name].known_from <= since:
            say(f"{name}: it is in the ledger since before the window; not sent.")
        elif found is None and row["code"] == Reason.TOO_EARLY:
            say(f"{name}: it was refused TOO_EARLY, and whether it was accepted since only the "
                "general ledger knows, which cannot be asked here; not sent.")  # fmt: skip
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
        print_table(COLUMNS, list(map(_cells, shown)))
    print(f"{len(rows):,} refusals match; {distinct:,} records would be sent. Nothing was sent.")


async def _send(
    settings: "Settings", records: "list[Original]", matching: int, seconds: float, *, as_json: bool
) -> int:
    from ledger.client.outcomes import Outcomes
    from ledger.client.resend import resend

    began = time.monotonic()
    async with Outcomes(settings, on_refused=_say_again) as outcomes:
        sent = await resend(settings, records, outcomes.add, seconds=seconds or None)
        tally, done = await outcomes.settle(seconds)
    report = {
        "matching": matching,
        "sent": sent,
        "accepted": tally.accepted,
        "duplicates": tally.duplicates,
        "rejected": tally.rejected,
        "reconciled": tally.reconciled,
        "seconds": round(time.monotonic() - began, 3),
        "voided": tally.voided,
    }
    if as_json:
        print_json(report)
    else:
        print(
            f"{matching:,} refusals match, {sent:,} records sent: {tally.accepted:,} accepted, "
            f"{tally.duplicates:,} duplicates, {tally.rejected:,} refused again"
        )
    if not done:
        say(f"Not all of them are reconciled within {seconds:g} s; does a worker run? "
            "(`faust-ledger status`) To send them again is harmless.")  # fmt: skip
    if tally.voided:
        say(voided_since(tally.voided))
    bad = tally.rejected or tally.breaks or tally.voided
    return REFUSED if bad else OK if done else TIME_UP


def _say_again(shard: int, refusal: "Refusal") -> None:
    name = refusal.transaction_id or f"shard {shard} offset {refusal.offset}"
    say(f"{name}: {refusal.code}: {refusal.reason}")


def _cells(row: dict[str, Any]) -> list[str]:
    return ["" if row[name] is None else str(row[name]) for name in COLUMNS]


async def refused(
    settings: "Settings", code: str | None, limit: int | None
) -> list[dict[str, Any]]:
    """As --json prints them, in order of recorded_at, shard and offset."""
    newest: list[tuple[int, int, int, dict[str, Any]]] = []
    async for row in _rejects(settings, code):
        heapq.heappush(newest, (row["recorded_at"], row["shard"], row["offset"], row))
        # After a flood there are more than this machine can hold.
        if limit is not None and len(newest) > limit:
            heapq.heappop(newest)
    return [as_json_row(row) for *_, row in sorted(newest)]


async def _rejects(settings: "Settings", code: str | None) -> AsyncIterator[dict[str, Any]]:
    from aiokafka import TopicPartition

    from ledger.client.reading import partition_counts
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
                # They come in order; after a crash the same ones may come again.
                if row["offset"] > last.get(row["shard"], -1):
                    last[row["shard"]] = row["offset"]
                    if code in (None, row["code"]):
                        yield row


def as_json_row(row: dict[str, Any]) -> dict[str, Any]:
    """Bytes as text where they are text, as base64 otherwise; the time as RFC 3339."""
    from ledger.client.drafts import shown

    names = ("code", "reason", "field", "shard", "offset", "transaction_id")
    key, value = row["key"], row["value"]
    return {
        **{name: row[name] for name in names},
        "recorded_at": shown(row["recorded_at"]),
        "key": _text(key),
        "value": _text(value),
        "key_base64": _base64(key) if _text(key) is None else None,
        "value_base64": _base64(value) if _text(value) is None else None,
    }


def _text(found: bytes | None) -> str | None:
    try:
        text = None if found is None else found.decode()
    except UnicodeDecodeError:
        return None
    return text if text is not None and text.isprintable() else None


def _base64(found: bytes | None) -> str | None:
    return None if found is None else base64.b64encode(found).decode()

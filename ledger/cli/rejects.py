"""`faust-ledger rejects list`: list refused records."""

import base64
import heapq
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import (
    AsJson,
    DataDir,
    optional_time,
    print_note,
    require_choice,
    require_order,
    run,
    settings_for,
)
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of, time_in

if TYPE_CHECKING:
    from ledger.client.accepted import AcceptedSince
    from ledger.client.rejects import Rejected, Selection
    from ledger.domain.transaction import Draft
    from ledger.settings import Settings

Codes = Annotated[
    list[str] | None,
    typer.Option(help="Only this refusal code, such as NOT_BALANCED; may be repeated."),
]
Ids = Annotated[
    list[str] | None, typer.Option("--id", help="Only this transaction; may be repeated.")
]
From = Annotated[
    str | None,
    typer.Option("--from", help="Only recorded at or after this: RFC 3339, or a date."),
]
To = Annotated[str | None, typer.Option("--to", help="Only recorded before this.")]

PLACE = (
    Column("recorded_at", "recorded at", "time", drop=4),
    Column("shard", "shard", "number", drop=2),
    Column("offset", "offset", "number", drop=2),
)
WHY = (
    Column("code", "code", "code"),
    Column("field", "field", "code", drop=1),
    Column("since", "accepted since", "code", drop=3),
    Column("reason", "reason", "prose"),
)
TABLE = (*PLACE, Column("name", "transaction or key", "code"), *WHY)
CSV = (*PLACE, Column("transaction_id", ""), Column("key", ""), *WHY)
SHOWN_KEY = 128
"""Characters of a key that a table shows: it may be anything."""


def list_rejects(
    code: Codes = None,
    transaction_id: Ids = None,
    account: Annotated[
        list[str] | None,
        typer.Option(help="Only with an entry on this account or one below it; may be repeated."),
    ] = None,
    producer: Annotated[
        list[str] | None,
        typer.Option(help="Only with this `producer` in their metadata; may be repeated."),
    ] = None,
    start: From = None,
    end: To = None,
    limit: Annotated[
        int | None, typer.Option(min=1, show_default="all", help="Only the newest ones, this many.")
    ] = None,
    fmt: FormatOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List refused records, the oldest first. A record must match every option that is given.

    In JSON `transaction` is the record as `publish` takes it, null where it cannot be decoded.
    `accepted_since` states whether the same id was accepted after the refusal, and `accepted`
    where; null is not known: without an id, or where neither the general ledger nor the decision
    log can be asked. `key` and `value` are those of the original record if they are text.
    Otherwise they are null, and `key_base64` and `value_base64` have the bytes.

    Exit codes: 0 done, 3 a fault.
    """
    from ledger.client.rejects import Selection

    form = format_of(fmt, as_json=as_json)
    require_codes(code or [])
    first, last = optional_time(start, "--from"), optional_time(end, "--to")
    require_order(first, last)
    codes, ids, accounts, producers = (
        frozenset(each or ()) for each in (code, transaction_id, account, producer)
    )
    wanted = Selection(codes, ids, accounts, producers, first, last)
    rows = run(refused(settings_for(data_dir), wanted, limit))
    if form in (Format.TABLE, Format.CSV):
        rows = [
            {**row, "recorded_at": time_in(form, row["recorded_at"]), "name": _name(row),
             "since": _since(row)}
            for row in rows
        ]  # fmt: skip
    nothing = "Nothing was refused."
    if wanted != Selection():
        nothing = "No refusal matches what was asked for."
    print_table_of(CSV if form is Format.CSV else TABLE, rows, form, nothing=nothing)


def require_codes(codes: list[str]) -> None:
    """A usage error for an unknown refusal code: an empty list would look like good news."""
    from ledger.domain.refusal import Reason

    for code in codes:
        require_choice(code, list(Reason), "--code", "refusal code")


def _name(row: dict[str, Any]) -> str:
    """The transaction's id; where it cannot be read, the record's key."""
    if row["transaction_id"] is not None:
        return str(row["transaction_id"])
    key, form = row["key"], "key"
    if key is None and row["key_base64"] is not None:
        key, form = row["key_base64"], "key in base64"
    if key is None:
        return "no key"
    return f"{form}: {key if len(key) <= SHOWN_KEY else key[:SHOWN_KEY] + '...'}"


def _since(row: dict[str, Any]) -> str:
    return {True: "yes", False: "no", None: "not known"}[row["accepted_since"]]


async def refused(
    settings: "Settings", wanted: "Selection", limit: int | None
) -> list[dict[str, Any]]:
    """The rows that --json prints, in order of recorded_at, shard and offset."""
    from ledger.cli.dating import connector
    from ledger.client.accepted import AcceptedSince, accepted_since
    from ledger.client.rejects import RejectReader

    reader = RejectReader(settings)
    found = await newest(reader.read(wanted), limit)
    ids = {each.row["transaction_id"] for each in found} - {None}
    known = AcceptedSince()
    if ids:
        async with AsyncExitStack() as stack:
            known = await accepted_since(settings, ids, connector(settings, stack))
    if known.known_from is None and known.why is not None:
        print_note(f"Whether they were accepted since is not known of all: {known.why}")
    drafts = [each.draft or await reader.draft_of(each.row) for each in found]
    pairs = zip(found, drafts, strict=True)
    return [_whole_row(each.row, draft, known) for each, draft in pairs]


def _whole_row(
    row: dict[str, Any], draft: "Draft | None", known: "AcceptedSince"
) -> dict[str, Any]:
    from ledger.client.rejects import line_of

    accepted = known.of(row)
    since = False if known.knows(row) else None
    return {
        **as_json_row(row),
        "transaction": None if draft is None else line_of(draft),
        "accepted_since": since if accepted is None else True,
        "accepted": accepted and {"shard": accepted.shard, "offset": accepted.offset},
    }


async def newest(found: "AsyncIterator[Rejected]", limit: int | None) -> "list[Rejected]":
    """The newest ones in order of recorded_at, shard and offset."""
    kept: list[tuple[int, int, int, Rejected]] = []
    async for each in found:
        row = each.row
        heapq.heappush(kept, (row["recorded_at"], row["shard"], row["offset"], each))
        # After a flood all of them may not fit in memory.
        if limit is not None and len(kept) > limit:
            heapq.heappop(kept)
    return [each for *_, each in sorted(kept, key=lambda one: one[:3])]


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

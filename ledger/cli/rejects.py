"""`faust-ledger rejects list`: what was refused, and why."""

import base64
import heapq
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import AsJson, DataDir, print_json, print_table, run, say, settings_for

if TYPE_CHECKING:
    from ledger.settings import Settings

COLUMNS = {
    "recorded_at": "left", "shard": "right", "offset": "right", "transaction_id": "left",
    "code": "left", "field": "left", "reason": "left",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    group = typer.Typer(name="rejects", help="What was refused.", no_args_is_help=True)
    group.command("list")(list_rejects)
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
    found = run(refused(settings_for(data_dir), code, limit))
    if as_json:
        for row in found:
            print_json(row)
    elif found:
        print_table(COLUMNS, [[str(row[name] or "") for name in COLUMNS] for row in found])
    else:
        say("Nothing was refused.")


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

    from ledger.client.reading import Reader, partition_counts
    from ledger.client.records import Records
    from ledger.streaming.topics import topics

    name = topics(settings).rejects.name
    counts = await partition_counts(settings, name)
    records = await Records.of(settings, "Reject")
    last: dict[int, int] = {}
    async with Reader(settings) as reader:
        bounds = await reader.bounds(TopicPartition(name, each) for each in range(counts[name]))
        reader.place({tp: first for tp, (first, _) in bounds.items()})
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

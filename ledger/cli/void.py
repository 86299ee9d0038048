"""`faust-ledger void`: void accepted transactions that cannot be posted."""

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import (
    FINDINGS,
    OK,
    TIME_UP,
    AsJson,
    DataDir,
    Reason,
    print_json,
    print_note,
    run,
    settings_for,
)
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ledger.client.voids import Unposted, Voids
    from ledger.gl.rows import PostedVoid
    from ledger.settings import Settings

COLUMNS = (
    Column("state", "state", "code"),
    Column("shard", "shard", "number"),
    Column("offset", "offset", "number"),
    Column("transaction", "transaction", "code"),
    Column("void_offset", "voided at", "number"),
    Column("reason", "reason", "prose"),
)

Shard = Annotated[int, typer.Argument(min=0, help="The shard whose postings have stopped.")]
Offsets = Annotated[list[int], typer.Argument(min=0, help="Offsets of its transactions to void.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for the outcome.")]


def list_voids(fmt: FormatOption = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List voided transactions, and those that wait because their decimals differ.

    Those that wait were decided with other decimals than the general ledger has. If the database
    refuses a decision for another reason, the shard's alarm names it (`faust-ledger status`, and
    the workers' log).

    --json prints one object, {"waiting", "voided"}; the other formats are one list, in which the
    state is waiting or void.

    Exit codes: 0 everything that waits can be posted, 1 something cannot, 3 a fault.
    """
    form = format_of(fmt, as_json=as_json, whole=True)
    rows, voids = run(_list(settings_for(data_dir)))
    voided = [each.as_json() for each in voids]
    if form is None:
        print_json({"waiting": rows, "voided": voided})
    else:
        listed = [*map(_waiting, rows), *({"state": "void"} | each for each in voided)]
        if form is Format.TABLE:
            print(f"{len(rows):,} cannot be posted, {len(voids):,} void")
        if listed or form is not Format.TABLE:
            print_table_of(COLUMNS, listed, form, nothing="")
    raise typer.Exit(FINDINGS if rows else OK)


def _waiting(row: dict[str, Any]) -> dict[str, Any]:
    """A row of what waits, with the fields of a void one."""
    return {"state": "waiting", **row, "void_offset": None, "reason": row["why"]}


async def _list(settings: "Settings") -> "tuple[list[dict[str, Any]], list[PostedVoid]]":
    """The transactions that wait with other decimals, as rows, and those that are void."""
    from ledger.client.partitions import ledger_partitions
    from ledger.client.voids import unposted
    from ledger.domain.run import Watermark
    from ledger.gl.databases import open_journal
    from ledger.streaming.topics import topics

    name = topics(settings).transactions.name
    shards = (await ledger_partitions(settings, name))[name]
    with closing(open_journal(settings.database_url)) as journal:
        scales, marks, voids = journal.scales(), journal.watermarks(), journal.voids()
    void = {(each.shard, each.offset) for each in voids}
    rows: list[dict[str, Any]] = []
    for shard in range(shards):
        found = await unposted(settings, shard, marks.get(shard, Watermark()), scales)
        rows += [_row(each, scales) for each in found if (shard, each.offset) not in void]
    return rows, voids


def _row(each: "Unposted", scales: "Mapping[str, int]") -> dict[str, Any]:
    why = "; ".join(
        f"{code} was decided with {has} decimals, and the general ledger has it with {had}"
        for code, (has, had) in each.mixed(scales).items()
    )
    return {"shard": each.shard, "offset": each.offset, "transaction": each.transaction_id,
            "decisions_offset": each.run, "why": why}  # fmt: skip


def add_voids(
    shard: Shard,
    offsets: Offsets,
    reason: Reason,
    timeout: Timeout = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Void accepted transactions that cannot be posted. Afterwards they do not count.

    It needs the right to change the policy. The decision log records the void with its reason, and
    every audit shows it. A posted transaction cannot be voided: publish a reversal instead.

    Exit codes: 0 they are void; 1 one is not, and stderr shows why; 2 the time was up, or wrong
    usage; 3 a fault.
    """
    made = run(_void(settings_for(data_dir), shard, offsets, reason, timeout))
    if as_json:
        print_json({
            "voided": made.voided,
            "refused": [each.reason for each in made.refused],
            "behind": made.behind,
        })  # fmt: skip
    else:
        print(f"{made.voided:,} of {len(set(offsets)):,} are void")
    for each in made.refused:
        print_note(f"offset {each.offset}: {each.reason}")
    if made.behind:
        print_note(
            f"The leave is recorded, but shard {shard} did not take it up within {timeout:.0f} s: "
            "is a worker running? (`faust-ledger status`) Run this again when one is."
        )
    late = made.voided + len(made.refused) < len(set(offsets))
    raise typer.Exit(FINDINGS if made.refused else TIME_UP if late else OK)


async def _void(
    settings: "Settings", shard: int, offsets: list[int], reason: str, seconds: float
) -> "Voids":
    from ledger.client.voids import Voids, require_unposted, unposted, void
    from ledger.gl.databases import open_journal

    with closing(open_journal(settings.database_url)) as journal:
        posted, void_already = journal.watermark(shard), journal.voids(shard)
    wanted = set(offsets) - {each.offset for each in void_already}
    found = await unposted(settings, shard, posted, wanted)
    require_unposted(shard, wanted, found, posted)
    made = await void(settings, found, reason=reason, seconds=seconds) if found else Voids()
    made.voided += len(set(offsets)) - len(wanted)
    return made

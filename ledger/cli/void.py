"""`faust-ledger void`: the way out for decisions that cannot be posted."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import (
    OK,
    REFUSED,
    TIME_UP,
    AsJson,
    DataDir,
    print_json,
    print_table,
    run,
    say,
    say_voids,
    settings_for,
)
from ledger.cli.policy import Reason

if TYPE_CHECKING:
    from ledger.client.voids import Voids, Waiting
    from ledger.gl.journal import PostedVoid
    from ledger.settings import Settings

WAITING = {
    "shard": "right", "offset": "right", "transaction": "left", "why": "prose",
}  # fmt: skip

Shard = Annotated[int, typer.Argument(min=0, help="The shard that posts no more.")]
Offsets = Annotated[list[int], typer.Argument(min=0, help="Offsets of the transactions in it.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for what becomes of it.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    void = typer.Typer(
        name="void", help="Decisions that cannot be posted, and the way out.", no_args_is_help=True
    )
    void.command("list")(show)
    void.command("add")(add)
    app.add_typer(void)


def show(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List what is void, and what waits with other decimals than the general ledger has.

    A decision that the database refuses for another reason is named by its shard's alarm
    (`faust-ledger status`, and the workers' log).

    Exit codes: 0 nothing waits that cannot be posted, 1 something does, 3 a fault.
    """
    waiting, voids = run(_listed(settings_for(data_dir)))
    if as_json:
        print_json({
            "waiting": [_waiting_row(*each) for each in waiting],
            "voided": [each.as_json() for each in voids],
        })  # fmt: skip
    else:
        print(f"{len(waiting):,} cannot be posted, {len(voids):,} void")
        _print(waiting, voids)
    raise typer.Exit(REFUSED if waiting else OK)


def _print(
    waiting: "list[tuple[Waiting, dict[str, tuple[int, int]]]]", voids: "list[PostedVoid]"
) -> None:
    if waiting:
        rows = [_waiting_row(*each) for each in waiting]
        print_table(WAITING, [[str(row[each]) for each in WAITING] for row in rows])
    say_voids([each.as_json() for each in voids])


def _waiting_row(each: "Waiting", mixed: dict[str, tuple[int, int]]) -> dict[str, Any]:
    why = "; ".join(
        f"{code} was decided with {has} decimals, and the general ledger has it with {had}"
        for code, (has, had) in mixed.items()
    )
    return {"shard": each.shard, "offset": each.offset, "transaction": each.transaction_id,
            "decisions_offset": each.run, "why": why}  # fmt: skip


async def _listed(
    settings: "Settings",
) -> "tuple[list[tuple[Waiting, dict[str, tuple[int, int]]]], list[PostedVoid]]":
    from ledger.client.reading import ledger_partitions
    from ledger.client.voids import waiting
    from ledger.domain.run import Watermark
    from ledger.gl.postgresql import PostgresJournal
    from ledger.streaming.topics import topics

    name = topics(settings).transactions.name
    shards = (await ledger_partitions(settings, name))[name]
    journal = PostgresJournal(settings.database_url)
    try:
        scales, marks, voids = journal.scales(), journal.watermarks(), journal.voids()
    finally:
        journal.close()
    void = {(each.shard, each.offset) for each in voids}
    found: list[tuple[Waiting, dict[str, tuple[int, int]]]] = []
    for shard in range(shards):
        mixed = await waiting(settings, shard, marks.get(shard, Watermark()), scales)
        found += [(each, each.mixed(scales)) for each in mixed if (shard, each.offset) not in void]
    return found, voids


def add(
    shard: Shard,
    offsets: Offsets,
    reason: Reason,
    timeout: Timeout = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Void transactions that were accepted and cannot be posted: they count for nothing then.

    Whoever may change the policy may do this. It is in the decision log, with the reason, and
    every audit shows it. What is posted is not voided: publish a reversal.

    Exit codes: 0 they are void; 1 one is not, and stderr says why; 2 the time was up, or wrong
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
        say(f"offset {each.offset}: {each.reason}")
    if made.behind:
        say(f"Leave is given, but shard {shard} did not take it up within {timeout:.0f} s: does a "
            "worker run? (`faust-ledger status`) Run this again when one does.")  # fmt: skip
    late = made.voided + len(made.refused) < len(set(offsets))
    raise typer.Exit(REFUSED if made.refused else TIME_UP if late else OK)


async def _void(
    settings: "Settings", shard: int, offsets: list[int], reason: str, seconds: float
) -> "Voids":
    from ledger.client.voids import Voids, require_waiting, waiting
    from ledger.client.voids import void as void_them
    from ledger.gl.postgresql import PostgresJournal

    journal = PostgresJournal(settings.database_url)
    try:
        posted, void_already = journal.watermark(shard), journal.voids(shard)
    finally:
        journal.close()
    wanted = set(offsets) - {each.offset for each in void_already}
    found = await waiting(settings, shard, posted, wanted)
    require_waiting(shard, wanted, found, posted)
    made = await void_them(settings, found, reason=reason, seconds=seconds) if found else Voids()
    made.voided += len(set(offsets)) - len(wanted)
    return made

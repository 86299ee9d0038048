"""`faust-ledger policy` and `clock limit`: what a ledger decides by, as records of its own."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ledger.cli.output import (
    OK,
    TIME_UP,
    AsJson,
    DataDir,
    print_json,
    print_table,
    run,
    say,
    settings_for,
    time_option,
)

if TYPE_CHECKING:
    from ledger.client.policy import Changed
    from ledger.domain.reference import ClockLimit
    from ledger.settings import Settings

ENDING = """

Exit codes: 0 done; 2 the time was up: it is written, and workers take it up when they run; 3 a
fault, or somebody else was first.
"""
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for every shard.")]
Reason = Annotated[str, typer.Option(help="Who wants it, and why; it is kept with the change.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    policy = typer.Typer(
        name="policy",
        help="Settings that are the ledger's own, such as how long ids are remembered.",
        no_args_is_help=True,
    )
    policy.command("init")(init)
    policy.command("show")(show)
    policy.command("set", help=f"{set_policy.__doc__}{ENDING}")(set_policy)
    app.add_typer(policy)
    clock = typer.Typer(
        name="clock", help="What to do after a broker's clock was ahead.", no_args_is_help=True
    )
    clock.command("limit", help=f"{limit.__doc__}{ENDING}")(limit)
    app.add_typer(clock)


def init(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Write a new ledger's first policy, from the settings, and the currencies of ISO 4217.

    `up` does it for the embedded stack; on servers of your own do it once the topics and tables are
    there, and after an upgrade, as a user who may write reference data and as the database's owner.
    Doing it again changes nothing.
    """
    from ledger.stack.prepare import found_ledger

    settings = settings_for(data_dir)
    run(found_ledger(settings))
    _print(run(_present(settings)), as_json=as_json)


def show(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show the policy that counts. Settings make a ledger's first one, then `policy set` does."""
    _print(run(_present(settings_for(data_dir))), as_json=as_json)


async def _present(settings: "Settings") -> "Changed":
    from ledger.client.imports import Importer
    from ledger.client.policy import present

    async with Importer(settings) as importer:
        return present(importer)


def set_policy(
    reason: Reason,
    window_days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="How long an id is remembered.")
    ] = None,
    early_minutes: Annotated[
        int | None,
        typer.Option(min=0, max=1_000_000, help="How far ahead created_at may be."),
    ] = None,
    unknown_accounts: Annotated[
        Literal["open", "refuse"] | None,
        typer.Option(help="What happens to an account nobody declared."),
    ] = None,
    max_transaction_bytes: Annotated[
        int | None, typer.Option(min=1024, max=1_000_000, help="A bigger record is refused.")
    ] = None,
    timeout: Timeout = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change the policy. Returns when every shard decides by it.

    It counts from the position in each shard that the decision log records. A longer window never
    makes a repetition new money: what was created before ids are remembered stays TOO_LATE.
    """
    given = {
        "window_days": window_days,
        "early_minutes": early_minutes,
        "unknown_accounts": unknown_accounts,
        "max_transaction_bytes": max_transaction_bytes,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("nothing to change was named: see --help")
    changed = run(_change(settings_for(data_dir), changes, reason, timeout))
    _print(changed, as_json=as_json)
    for note in changed.notes:
        say(note)
    raise typer.Exit(_behind(changed.behind, timeout))


async def _change(
    settings: "Settings", changes: dict[str, Any], reason: str, seconds: float
) -> "Changed":
    from ledger.client.imports import Importer
    from ledger.client.policy import change

    async with Importer(settings) as importer:
        return await change(importer, changes, reason=reason, seconds=seconds)


def _print(changed: "Changed", *, as_json: bool) -> None:
    if as_json:
        print_json({"policy": dict(changed.policy), "offset": changed.offset,
                    "behind": changed.behind, "notes": changed.notes})  # fmt: skip
        return
    rows = [[name, str(value)] for name, value in changed.policy.items()]
    print_table({"policy": "left", "value": "right"}, rows)


def limit(
    shard: Annotated[int, typer.Argument(min=0, help="The shard whose log's clock was ahead.")],
    reason: Reason,
    until: Annotated[
        int | None,
        typer.Option(min=0, help="Positions before this one. Default: all that are in the log."),
    ] = None,
    at_most: Annotated[
        str | None, typer.Option(help="RFC 3339 time. Default: the present, by this machine.")
    ] = None,
    timeout: Timeout = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Have what is in a shard's log recorded at a given time at the latest.

    For a broker's clock that was ahead, once it is right again: the shard waits until then, for
    its records are dated in the future. See docs/runbooks/clock-ahead.md.
    """
    at = None if at_most is None else time_option(at_most, "--at-most")
    made, behind = run(_limit(settings_for(data_dir), shard, until, at, reason, timeout))
    from ledger.domain.transaction import shown_time

    at_text = shown_time(made.at_most)
    if as_json:
        print_json({"shard": shard, "until": made.until, "at_most": at_text, "behind": behind})
    else:
        print(f"shard {shard}: positions before {made.until} are recorded at {at_text} at latest")
    raise typer.Exit(_behind(behind, timeout))


async def _limit(
    settings: "Settings", shard: int, until: int | None, at: int | None, reason: str, seconds: float
) -> "tuple[ClockLimit, list[int]]":
    from ledger.client.imports import Importer
    from ledger.client.policy import limit_clock

    async with Importer(settings) as importer:
        return await limit_clock(
            importer, shard, until=until, at_most=at, reason=reason, seconds=seconds
        )


def _behind(shards: list[int], seconds: float) -> int:
    if not shards:
        return OK
    names = ", ".join(map(str, shards))
    say(f"Written, but not taken up within {seconds:.0f} s by shards {names}: does a worker run? "
        "(`faust-ledger status`) They take it up as soon as one does.")  # fmt: skip
    return TIME_UP

"""`faust-ledger policy` and `clock limit`: records that change how a ledger decides."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ledger.cli.output import (
    OK,
    TIME_UP,
    AsJson,
    DataDir,
    Reason,
    Timeout,
    note_behind,
    optional_time,
    print_json,
    print_note,
    run,
    settings_for,
)
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of

if TYPE_CHECKING:
    from ledger.client.policy import PresentPolicy
    from ledger.domain.reference import ClockLimit
    from ledger.settings import Settings

COLUMNS = (Column("policy", "policy", "code"), Column("value", "value", "number"))


def init_policy(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Write the first policy of a new ledger, from the settings, and the currencies of ISO 4217.

    `up` does this for the embedded stack. On your own servers, run it once after the topics and
    tables are created, and again after each upgrade, as a Kafka user who may write reference data
    and as the owner of the database. Running it again changes nothing.
    """
    from ledger.stack.prepare import found_ledger

    settings = settings_for(data_dir)
    run(found_ledger(settings))
    _print(run(_present(settings)), None if as_json else Format.TABLE)


def show_policy(
    fmt: FormatOption = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Show the current policy.

    The settings make the first policy of a ledger; `policy set` changes it. --json prints one
    object; the other formats are a list of names and values.
    """
    form = format_of(fmt, as_json=as_json, whole=True)
    _print(run(_present(settings_for(data_dir))), form)


async def _present(settings: "Settings") -> "PresentPolicy":
    from ledger.client.imports import Importer
    from ledger.client.policy import present_policy

    async with Importer(settings) as importer:
        return present_policy(importer)


def set_policy(
    reason: Reason,
    window_days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days for which an id is remembered.")
    ] = None,
    early_minutes: Annotated[
        int | None,
        typer.Option(min=0, max=1_000_000, help="Minutes that created_at may be ahead."),
    ] = None,
    unknown_accounts: Annotated[
        Literal["open", "refuse"] | None,
        typer.Option(help="What to do with an account that is not declared."),
    ] = None,
    max_transaction_bytes: Annotated[
        int | None, typer.Option(min=1024, max=1_000_000, help="Largest record that is accepted.")
    ] = None,
    timeout: Timeout = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Change the policy. The command returns when every shard decides by it.

    The decision log records the position in each shard from which the policy counts. A longer
    window never makes a repetition new money: a transaction that was created before the ledger
    remembers all ids stays TOO_LATE.

    Exit codes: 0 done; 2 the time was up: the record is written, and workers take it up when they
    run; 3 a fault, or another change came first.
    """
    given = {
        "window_days": window_days,
        "early_minutes": early_minutes,
        "unknown_accounts": unknown_accounts,
        "max_transaction_bytes": max_transaction_bytes,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("give at least one option to change; see --help.")
    changed = run(_change(settings_for(data_dir), changes, reason, timeout))
    _print(changed, None if as_json else Format.TABLE)
    for note in changed.notes:
        print_note(note)
    note_behind("Written", changed.behind, timeout)
    raise typer.Exit(TIME_UP if changed.behind else OK)


async def _change(
    settings: "Settings", changes: dict[str, Any], reason: str, seconds: float
) -> "PresentPolicy":
    from ledger.client.imports import Importer
    from ledger.client.policy import change_policy

    async with Importer(settings) as importer:
        return await change_policy(importer, changes, reason=reason, seconds=seconds)


def _print(changed: "PresentPolicy", form: Format | None) -> None:
    if form is None:
        print_json({"policy": dict(changed.policy), "offset": changed.offset,
                    "behind": changed.behind, "notes": changed.notes})  # fmt: skip
        return
    rows = [{"policy": name, "value": value} for name, value in changed.policy.items()]
    print_table_of(COLUMNS, rows, form, nothing="")


def limit_shard_clock(
    shard: Annotated[int, typer.Argument(min=0, help="The shard whose broker's clock was ahead.")],
    reason: Reason,
    until: Annotated[
        int | None,
        typer.Option(min=0, help="Limit positions before this one. Default: all in the log."),
    ] = None,
    at_most: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="RFC 3339. Default: this machine's present time."),
    ] = None,
    timeout: Timeout = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Limit the recorded time of the records in a shard's log.

    Use it after a broker's clock was ahead and was set right: the shard's records are dated in the
    future, and without a limit the shard waits until then. See docs/runbooks/clock-ahead.md.

    Exit codes: 0 done; 2 the time was up: the record is written, and workers take it up when they
    run; 3 a fault, or another change came first.
    """
    from ledger.domain.transaction import shown_time

    at = optional_time(at_most, "--at-most")
    made, behind = run(_limit(settings_for(data_dir), shard, until, at, reason, timeout))
    at_text = shown_time(made.at_most)
    if as_json:
        print_json({"shard": shard, "until": made.until, "at_most": at_text, "behind": behind})
    else:
        print(f"shard {shard}: positions before {made.until} are recorded at {at_text} at latest")
    note_behind("Written", behind, timeout)
    raise typer.Exit(TIME_UP if behind else OK)


async def _limit(
    settings: "Settings", shard: int, until: int | None, at: int | None, reason: str, seconds: float
) -> "tuple[ClockLimit, list[int]]":
    from ledger.client import policy
    from ledger.client.imports import Importer

    async with Importer(settings) as importer:
        return await policy.limit_clock(
            importer, shard, until=until, at_most=at, reason=reason, seconds=seconds
        )

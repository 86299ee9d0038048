"""`faust-ledger assets import` and `accounts import`: reference data from JSON Lines."""

import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.output import (
    OK,
    REFUSED,
    TIME_UP,
    AsJson,
    DataDir,
    print_json,
    run,
    say,
    settings_for,
)

if TYPE_CHECKING:
    from ledger.domain.reference import Account, Asset
    from ledger.settings import Settings

ASSETS = """Register assets, one JSON object a line: {"code", "scale", "name"?}.

`scale` is the number of decimals and never changes.
"""
ACCOUNTS = """Declare accounts, one JSON object a line.

{"account", "name"?, "currency"?, "opened_at"?, "closed_at"?}, times as RFC 3339. The last line
about an account says what is so: one without closed_at opens it again.
"""
ENDING = """
Nothing is imported if a line is bad. Returns when every shard decides with it.

Exit codes: 0 done; 1 a line is bad, reported on stderr with its number; 2 the time was up, or
wrong usage: it is imported, and workers take it up when they run; 3 a fault.
"""

File = Annotated[str, typer.Argument(help="A file of JSON Lines, or - for standard input.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for every shard.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    assets = typer.Typer(name="assets", help="Assets besides ISO 4217.", no_args_is_help=True)
    assets.command("import", help=ASSETS + ENDING)(import_assets)
    app.add_typer(assets)
    accounts = typer.Typer(name="accounts", help="Declared accounts.", no_args_is_help=True)
    accounts.command("import", help=ACCOUNTS + ENDING)(import_accounts)
    app.add_typer(accounts)


def import_assets(
    file: File, timeout: Timeout = 60, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """`ASSETS` is what people read."""
    raise typer.Exit(_import(file, "asset", timeout, data_dir, as_json=as_json))


def import_accounts(
    file: File, timeout: Timeout = 60, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """`ACCOUNTS` is what people read."""
    raise typer.Exit(_import(file, "account", timeout, data_dir, as_json=as_json))


def _import(file: str, kind: str, timeout: float, data_dir: Path | None, *, as_json: bool) -> int:
    from ledger.client.imports import read_items

    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error
    items, bad = read_items(text, kind)
    return run(_import_items(settings_for(data_dir), items, bad, timeout, as_json=as_json))


async def _import_items(
    settings: "Settings",
    items: "list[tuple[int, Asset | Account]]",
    bad: list[tuple[int, str]],
    seconds: float,
    *,
    as_json: bool,
) -> int:
    from ledger.client.imports import Importer

    began = time.monotonic()
    async with AsyncExitStack() as stack:
        importer = await stack.enter_async_context(Importer(settings))
        bad = sorted(bad + importer.check(items))
        for number, sentence in bad:
            say(f"line {number}: {sentence}")
        if bad:
            say("Nothing was imported.")
            behind: list[int] = []
        else:
            behind = await importer.add([item for _, item in items], seconds)
    if as_json:
        count = 0 if bad else len(items)
        print_json({"imported": count, "seconds": round(time.monotonic() - began, 3)})
    elif not bad:
        print(f"{len(items):,} imported")
    if behind:
        names = ", ".join(map(str, behind))
        say(f"Imported, but not taken up within {seconds:.0f} s by shards {names}: does a worker "
            "run? (`faust-ledger status`) They take it up as soon as one does.")  # fmt: skip
    return REFUSED if bad else TIME_UP if behind else OK

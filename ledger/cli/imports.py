"""`faust-ledger assets import` and `accounts import`: reference data from JSON Lines."""

import sys
import time
from dataclasses import replace
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
    from ledger.client.import_checks import Line, Problem
    from ledger.client.imports import Imported
    from ledger.domain.reference import Asset
    from ledger.settings import Settings

ASSETS = """Register assets, one JSON object a line: {"code", "scale", "name"?}.

`scale` is the number of decimals and never changes: of two imports of one code the first counts.
An amount is 64 bits of the smallest unit: with 8 decimals one entry takes 92 billion at most, with
12 decimals 9 million, with 18 decimals 9.22. The largest amount is printed for each asset with 9
decimals or more. A code that differs from another in upper and lower case alone is refused.
"""
ACCOUNTS = """Declare accounts, one JSON object a line.

{"account", "name"?, "currency"?, "opened_at"?, "closed_at"?}, times as RFC 3339. The last line
about an account says what is so. A closed account is opened again by a line with
"closed_at": null, and a line without closed_at about it is refused. So is one that closes an
account with a balance or something pending: ledger.balances is looked at, as of then.
"""
ENDING = """
Nothing is imported if a line is bad. Returns when it was read back and every shard decides with it.

Exit codes: 0 done; 1 a line is bad, or another import came before it; reported on stderr with its
number; 2 the time was up, or wrong usage: it is imported, and workers take it up when they run; 3
a fault.
"""

File = Annotated[str, typer.Argument(help="A file of JSON Lines, or - for standard input.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for every shard.")]
CloseWithBalance = Annotated[
    bool,
    typer.Option(
        "--close-with-balance",
        help="Close accounts whatever they hold; balances are not looked at.",
    ),
]
MANY_DECIMALS = 9
"""From here on the largest amount of an entry is printed: ten billion are too many."""


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    assets = typer.Typer(
        name="assets",
        help="Register assets (shares, coins) beside ISO 4217's.",
        no_args_is_help=True,
    )
    assets.command("import", help=ASSETS + ENDING)(import_assets)
    app.add_typer(assets)
    accounts = typer.Typer(
        name="accounts", help="Declare accounts: currency, opening, closing.", no_args_is_help=True
    )
    accounts.command("import", help=ACCOUNTS + ENDING)(import_accounts)
    app.add_typer(accounts)


def import_assets(
    file: File, timeout: Timeout = 60, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """`ASSETS` is what people read."""
    raise typer.Exit(_import(file, "asset", timeout, data_dir, as_json=as_json))


def import_accounts(
    file: File,
    timeout: Timeout = 60,
    close_with_balance: CloseWithBalance = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """`ACCOUNTS` is what people read."""
    raise typer.Exit(
        _import(file, "account", timeout, data_dir, anyway=close_with_balance, as_json=as_json)
    )


def _import(
    file: str,
    kind: str,
    timeout: float,
    data_dir: Path | None,
    *,
    anyway: bool = False,
    as_json: bool,
) -> int:
    from ledger.client.imports import read_items

    try:
        text = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error
    lines, bad = read_items(text, kind)
    began = time.monotonic()
    found = run(_import_lines(settings_for(data_dir), lines, bad, timeout, anyway=anyway))
    assets = _registered(lines, found)
    if as_json:
        print_json({
            "imported": found.count,
            "refused": _numbered(found.lost),
            "notes": _numbered(found.notes),
            **({"assets": [_shown(asset) for asset in assets]} if kind == "asset" else {}),
            "seconds": round(time.monotonic() - began, 3),
        })  # fmt: skip
    elif found.count or not found.lost:
        print(f"{found.count:,} imported")
    _say(found, assets, timeout, as_json=as_json)
    return REFUSED if found.lost else TIME_UP if found.behind else OK


async def _import_lines(
    settings: "Settings", lines: "list[Line]", bad: "list[Problem]", seconds: float, *, anyway: bool
) -> "Imported":
    from ledger.client.imports import Imported, Importer

    async with Importer(settings) as importer:
        refused, notes = importer.check(lines)
        bad = sorted(bad + refused)
        if not anyway:
            bad = sorted(bad + await importer.check_closings(lines))
        if bad:
            return Imported(lost=bad)
        imported = await importer.add(lines, seconds)
        return replace(imported, notes=sorted(notes + imported.notes))


def _registered(lines: "list[Line]", found: "Imported") -> "list[Asset]":
    from ledger.domain.reference import Asset

    if not found.count:
        return []
    lost = {number for number, _ in found.lost}
    items = {line.item for line in lines if line.number not in lost}
    return sorted((each for each in items if isinstance(each, Asset)), key=lambda each: each.code)


def _shown(asset: "Asset") -> dict[str, object]:
    from ledger.client.import_checks import largest, limit

    return {
        "code": asset.code,
        "scale": asset.scale,
        "largest_amount": largest(asset),
        "advice": limit(asset),
    }


def _numbered(problems: "list[Problem]") -> list[dict[str, object]]:
    return [{"line": number, "reason": sentence} for number, sentence in problems]


def _say(found: "Imported", assets: "list[Asset]", seconds: float, *, as_json: bool) -> None:
    from ledger.client.import_checks import largest, limit

    for number, sentence in found.lost:
        say(f"line {number}: {sentence}")
    if found.lost and not found.count:
        say("Nothing was imported.")
    for number, sentence in found.notes:
        say(f"line {number}: note: {sentence}")
    for asset in assets:
        if advice := limit(asset):
            say(advice)
        elif asset.scale >= MANY_DECIMALS and not as_json:
            print(f"{asset.code}: one entry takes {largest(asset)} at most")
    # What was lost is not awaited by anybody.
    if found.behind and found.count:
        names = ", ".join(map(str, found.behind))
        say(f"Imported, but not taken up within {seconds:.0f} s by shards {names}: does a worker "
            "run? (`faust-ledger status`) They take it up as soon as one does.")  # fmt: skip

"""`faust-ledger assets import` and `accounts import`: import reference data from JSON Lines."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.output import (
    FINDINGS,
    OK,
    TIME_UP,
    AsJson,
    DataDir,
    Timeout,
    note_behind,
    print_json,
    print_note,
    run,
    settings_for,
)

if TYPE_CHECKING:
    from ledger.client.import_checks import Line, Problem
    from ledger.client.imports import ImportResult
    from ledger.domain.reference import Asset
    from ledger.settings import Settings

File = Annotated[str, typer.Argument(help="A file of JSON Lines, or - for standard input.")]
CloseWithBalance = Annotated[
    bool,
    typer.Option(
        "--close-with-balance",
        help="Close accounts whatever they hold, without reading balances.",
    ),
]
MANY_DECIMALS = 9
"""From here on the largest amount of an entry is printed: it is below ten billion."""


def import_assets(
    file: File, timeout: Timeout = 60, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Register assets, one JSON object a line: {"code", "scale", "name"?}.

    `scale` is the number of decimals. It never changes: of two imports of one code the first
    counts. An amount is a 64-bit number of the smallest unit: one entry takes at most 92
    billion with 8 decimals, 9 million with 12 decimals, and 9.22 with 18 decimals. The command
    prints the largest amount of each asset with 9 decimals or more. It refuses a code that
    differs from another only in upper and lower case.

    If a line is bad, nothing is imported. The command returns when the lines were read back and
    every shard decides with them.

    Exit codes: 0 done; 1 a line is bad, or another import came first (stderr names the line); 2
    the time was up, or wrong usage: after a timeout the lines are imported, and workers take
    them up when they run; 3 a fault.
    """
    raise typer.Exit(_import(file, "asset", timeout, data_dir, as_json=as_json))


def import_accounts(
    file: File,
    timeout: Timeout = 60,
    close_with_balance: CloseWithBalance = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Declare accounts, one JSON object a line.

    {"account", "name"?, "currency"?, "opened_at"?, "closed_at"?}, with times as RFC 3339. The
    last line about an account counts. A line with "closed_at": null opens a closed account
    again; a line about a closed account without closed_at is refused. A line that closes an
    account with a balance or a pending amount is refused too; the command reads the current
    balances from ledger.balances.

    If a line is bad, nothing is imported. The command returns when the lines were read back and
    every shard decides with them.

    Exit codes: 0 done; 1 a line is bad, or another import came first (stderr names the line); 2
    the time was up, or wrong usage: after a timeout the lines are imported, and workers take
    them up when they run; 3 a fault.
    """
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
            **({"assets": [_asset_row(asset) for asset in assets]} if kind == "asset" else {}),
            "seconds": round(time.monotonic() - began, 3),
        })  # fmt: skip
    elif found.count or not found.lost:
        print(f"{found.count:,} imported")
    _print_notes(found, assets, timeout, as_json=as_json)
    return FINDINGS if found.lost else TIME_UP if found.behind else OK


async def _import_lines(
    settings: "Settings", lines: "list[Line]", bad: "list[Problem]", seconds: float, *, anyway: bool
) -> "ImportResult":
    from ledger.client.imports import Importer, ImportResult

    async with Importer(settings) as importer:
        refused, notes = importer.check(lines)
        bad = sorted(bad + refused)
        if not anyway:
            bad = sorted(bad + await importer.check_closings(lines))
        if bad:
            return ImportResult(lost=bad)
        imported = await importer.add(lines, seconds)
        return replace(imported, notes=sorted(notes + imported.notes))


def _registered(lines: "list[Line]", found: "ImportResult") -> "list[Asset]":
    from ledger.domain.reference import Asset

    if not found.count:
        return []
    lost = {number for number, _ in found.lost}
    items = {line.item for line in lines if line.number not in lost}
    return sorted((each for each in items if isinstance(each, Asset)), key=lambda each: each.code)


def _asset_row(asset: "Asset") -> dict[str, object]:
    from ledger.client.import_checks import largest_amount, small_limit

    return {
        "code": asset.code,
        "scale": asset.scale,
        "largest_amount": largest_amount(asset),
        "advice": small_limit(asset),
    }


def _numbered(problems: "list[Problem]") -> list[dict[str, object]]:
    return [{"line": number, "reason": sentence} for number, sentence in problems]


def _print_notes(
    found: "ImportResult", assets: "list[Asset]", seconds: float, *, as_json: bool
) -> None:
    from ledger.client.import_checks import largest_amount, small_limit

    for number, sentence in found.lost:
        print_note(f"line {number}: {sentence}")
    if found.lost and not found.count:
        print_note("Nothing was imported.")
    for number, sentence in found.notes:
        print_note(f"line {number}: note: {sentence}")
    for asset in assets:
        if advice := small_limit(asset):
            print_note(advice)
        elif asset.scale >= MANY_DECIMALS and not as_json:
            print(f"{asset.code}: one entry takes {largest_amount(asset)} at most")
    # Nobody waits for lines that did not take effect.
    if found.count:
        note_behind("Imported", found.behind, seconds)

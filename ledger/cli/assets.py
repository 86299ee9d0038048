"""`faust-ledger assets list`: the assets that transactions may use."""

from typing import Annotated

import typer

from ledger.cli.output import AsJson, DataDir, run, settings_for
from ledger.cli.tables import Column, FormatOption, format_of, print_table_of

COLUMNS = (
    Column("code", "code", "code"),
    Column("scale", "decimals", "number"),
    Column("name", "name", "text"),
    Column("source", "from", "code"),
)


def list_assets(
    imported: Annotated[
        bool, typer.Option("--imported", help="Only those that `assets import` registered.")
    ] = False,
    fmt: FormatOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the assets that transactions may use: code, decimals, name, and where each is from.

    A ledger begins with the currencies of ISO 4217; `assets import` registers others. A code is
    known as it is written here: CAD is one, and cad is none.

    Exit code 3 is a fault.
    """
    from ledger.client.assets import IMPORTED, read_assets

    form = format_of(fmt, as_json=as_json)
    found = run(read_assets(settings_for(data_dir)))
    rows = [each._asdict() for each in found if each.source == IMPORTED or not imported]
    nothing = "No asset was imported; those of ISO 4217 are known (`faust-ledger assets list`)."
    print_table_of(COLUMNS, rows, form, nothing=nothing)

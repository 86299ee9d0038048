"""`faust-ledger clients`: what a role of the embedded stack is given to connect with."""

from pathlib import Path
from typing import Annotated

import typer

from ledger.cli.output import AsJson, DataDir, print_json, print_plain, require_choice
from ledger.cli.stack import directory


def export_client(
    role: Annotated[
        str, typer.Argument(help="One of admin, service, producer, backend, finance, api.")
    ],
    to: Annotated[Path, typer.Option(help="A new or empty folder.", show_default=False)],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the folder that a role is handed: settings, password and certificate authority.

    It may be moved anywhere: FAUST_LEDGER_CONFIG names its faust-ledger.toml. Only its owner can
    read it. A folder with something in it is refused, with exit code 3.
    """
    place = directory(data_dir)
    from ledger.stack import export, files, identity

    require_choice(role, export.ROLES, "ROLE", "role")
    layout = files.layout(place)
    files.require_own(layout)
    me = identity.require_identity(layout)
    written = export.export(layout, me, role, to.expanduser().absolute())
    if as_json:
        print_json({"role": role, "folder": str(to.absolute()), "files": [p.name for p in written]})
        return
    print_plain(f"{role} connects with FAUST_LEDGER_CONFIG={written[0]}")
    print_plain(f"In that folder: {', '.join(path.name for path in written)}")

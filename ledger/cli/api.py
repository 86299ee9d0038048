"""`faust-ledger api`: run one API process, and restart it."""

import os
from importlib.util import find_spec
from typing import Annotated

import typer

from ledger.cli.output import DataDir
from ledger.hiding import log_to_stderr

PACKAGES = ("fastapi", "uvicorn", "httptools", "websockets", "jwt", "redis")
"""Those that only the API needs."""


def api(
    data_dir: DataDir = None,
    name: Annotated[
        str, typer.Option(help="The process's name; its files are kept under it.")
    ] = "api-1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, show_default=False, help="Port. Default: api_port."),
    ] = None,
) -> None:
    """Run one API process in the foreground until SIGTERM or Ctrl-C.

    It answers HTTP at api_host and api_port, and is restarted when it exits. Several may run side
    by side, each with its own name and port.
    """
    from ledger import settings as configuration
    from ledger.errors import SettingsError
    from ledger.stack.environment import PRIVATE_UMASK

    if absent := [each for each in PACKAGES if find_spec(each) is None]:
        raise SettingsError(
            f"The API needs packages that are not installed ({', '.join(absent)}): `make install` "
            "in the project's directory installs them."
        )
    from ledger.cli.api_supervisor import supervise

    os.umask(PRIVATE_UMASK)
    log_to_stderr()
    settings = configuration.load(data_dir)
    configuration.require_ledger(settings)
    chosen = {} if port is None else {"api_port": port}
    place = settings.data_dir.resolve()
    supervise(settings.model_copy(update={"data_dir": place, **chosen}), name)

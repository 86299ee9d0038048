"""`faust-ledger worker`: run both applications of one worker, and restart them."""

import os
from typing import Annotated

import typer

from ledger.cli.output import DataDir
from ledger.hiding import log_to_stderr


def worker(
    data_dir: DataDir = None,
    name: Annotated[
        str, typer.Option(help="The worker's name; its tables are kept under it.")
    ] = "worker-1",
) -> None:
    """Run one worker in the foreground until SIGTERM or Ctrl-C.

    The worker restarts its applications when they exit. No state is lost: the log has it.
    """
    from ledger import settings as configuration
    from ledger.cli.supervisor import Supervisor
    from ledger.stack.environment import PRIVATE_UMASK

    os.umask(PRIVATE_UMASK)
    log_to_stderr()
    settings = configuration.load(data_dir)
    configuration.require_ledger(settings)
    configuration.require_database(settings.service_database_url)
    place = settings.data_dir.resolve()
    Supervisor(settings.model_copy(update={"data_dir": place}), name).run()

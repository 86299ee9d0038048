"""`faust-ledger worker`: run the applications of one worker, and restart them."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from ledger.cli.output import DataDir
from ledger.hiding import log_to_stderr


class Application(StrEnum):
    """One of those that a worker runs."""

    STREAM = "stream"
    POSTING = "posting"
    HISTORY = "history"


def worker(
    data_dir: DataDir = None,
    name: Annotated[
        str, typer.Option(help="The worker's name; its tables are kept under it.")
    ] = "worker-1",
    only: Annotated[
        list[Application] | None,
        typer.Option(
            show_default=False,
            help="Run this application alone; repeatable. For a container each, with a data "
            "directory each. Default: all.",
        ),
    ] = None,
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
    Supervisor(
        settings.model_copy(update={"data_dir": place}), name, tuple(map(str, only or ()))
    ).run()

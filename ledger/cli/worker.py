"""`faust-ledger worker`: both applications of one worker, kept running."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ledger.hiding import log_to_stderr


def register(app: typer.Typer) -> None:
    """Add `worker`."""

    @app.command()
    def worker(
        data_dir: Annotated[
            Path | None, typer.Option(envvar="FAUST_LEDGER_DATA_DIR", help="Data directory.")
        ] = None,
        name: Annotated[str, typer.Option(help="Names this worker's own tables.")] = "worker-1",
    ) -> None:
        """Run one worker in the foreground until it is told to stop.

        Its applications are started again when they die; what they knew is in the log.
        """
        # Other commands start sooner without what a supervisor needs.
        from ledger import settings as configuration
        from ledger.cli.supervisor import Supervisor
        from ledger.stack.environment import PRIVATE_UMASK

        os.umask(PRIVATE_UMASK)
        log_to_stderr()
        settings = configuration.load(data_dir)
        place = settings.data_dir.resolve()
        Supervisor(settings.model_copy(update={"data_dir": place}), name).run()

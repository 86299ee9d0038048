"""The supervisor of an API process, which holds the listening socket.

Connections that arrive while the process restarts wait in the socket's queue.
"""

import logging
import socket
from dataclasses import dataclass, field
from pathlib import Path

from ledger.api.certificates import Certificate
from ledger.api.listening import allow_connections, listen, url_of
from ledger.api.signing import read_key
from ledger.cli.supervisor import Supervisor
from ledger.health.worker import Child, WorkerHealth
from ledger.settings import Settings
from ledger.stack.environment import INTERPRETER

APPLICATION = "api"

log = logging.getLogger(__name__)


def supervise(settings: Settings, name: str) -> None:
    """Run the API process `name` until SIGTERM or SIGINT.

    Raises SettingsError for settings with which it cannot run, LedgerError for a port that is
    taken.
    """
    read_key(settings)
    Certificate.of(settings)
    allow_connections(settings.api_connections)
    with listen(settings) as listening:
        ApiSupervisor(settings, name, listening=listening).run()


@dataclass
class ApiSupervisor(Supervisor):
    """Keeps one API process running."""

    listening: socket.socket = field(default_factory=socket.socket)

    def applications(self) -> list[str]:
        """The process that answers, alone."""
        return [APPLICATION]

    @property
    def folder(self) -> Path:
        """The process's own directory."""
        return self.settings.data_dir / "api" / self.name

    def _serve(self, health: WorkerHealth) -> str:
        # The process itself answers for its health, on the port of all its answers.
        url = url_of(self.settings, self.listening)
        log.info("%s answers at %s", self.name, url)
        return url

    def _passed(self) -> list[int]:
        return [self.listening.fileno()]

    def _command(self, child: Child, pipe: int) -> list[str]:
        return [
            *INTERPRETER, "-m", "ledger.api", "--data-dir", str(self.settings.data_dir),
            "--name", self.name, "--socket", str(self.listening.fileno()), "--parent", str(pipe),
        ]  # fmt: skip

    def _stop_children(self) -> None:
        # Whoever comes now is refused at once.
        self.listening.close()
        super()._stop_children()

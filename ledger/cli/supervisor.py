"""The supervisor of a worker: it runs the stream, the posting and the history application."""

import logging
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from ledger.errors import LedgerError, SettingsError
from ledger.health.exits import meaning_of
from ledger.health.server import HealthServer, write_address
from ledger.health.worker import Child, WorkerHealth
from ledger.settings import Settings
from ledger.stack.environment import INTERPRETER, for_clients

APPLICATIONS = ("stream", "posting", "history")
STOP_SECONDS = 20.0
"""An application that has not stopped after this long is killed; its state is durable."""
POLL_SECONDS = 0.1
STEADY_SECONDS = 30.0
"""A process that ran this long is restarted at once; one that keeps exiting waits longer."""
MAX_PAUSE = 10.0
_MEMORY = {
    # By default glibc keeps a heap for each of many threads, and returns little of it.
    "MALLOC_ARENA_MAX": "2",
    # By default glibc raises the mmap threshold up to 32 MiB. Batches that come and go then leave
    # holes between what stays. The heap is trimmed as seldom as glibc would by itself.
    "MALLOC_MMAP_THRESHOLD_": str(512 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 1024 * 1024),
}
"""Variables for the environment of an application."""

log = logging.getLogger(__name__)


@dataclass
class Supervisor:
    """Keeps the applications of worker `name` running until it is stopped; `only` these, if any."""

    settings: Settings
    name: str
    only: tuple[str, ...] = ()
    children: list[Child] = field(init=False)
    stopping: bool = False
    complained: float = -MAX_PAUSE

    def __post_init__(self) -> None:
        self.children = [Child(each) for each in self.applications()]

    def applications(self) -> list[str]:
        """The names of what it runs. Raises SettingsError where the settings leave nothing."""
        off = {"history"} if self.settings.history == "off" else set[str]()
        chosen = self.only or APPLICATIONS
        found = [each for each in APPLICATIONS if each in chosen and each not in off]
        if not found:
            raise SettingsError(
                "This worker would run nothing: the setting history is off, and --only names "
                "history alone. Start it without --only, or with another application."
            )
        return found

    @property
    def folder(self) -> Path:
        """The worker's own directory."""
        return self.settings.data_dir / "workers" / self.name

    def run(self) -> None:
        """Run until SIGTERM or SIGINT."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._stop)
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        read, write = os.pipe()
        health = WorkerHealth(self.name, self.folder, self.children)
        url = self._serve(health)
        try:
            while not self.stopping:
                health.checked = time.monotonic()
                url = url and self._publish_address(url)
                for child in self.children:
                    self._tend(child, read)
                if select.select([wake], [], [], POLL_SECONDS)[0]:
                    os.read(wake, 1024)
        finally:
            self._stop_children()
            os.close(write)

    def _serve(self, health: WorkerHealth) -> str:
        host, port = self.settings.health_host, self.settings.health_port
        server = HealthServer(host, port, health.routes())
        try:
            server.start()
        except OSError as error:
            raise LedgerError(
                f"This worker cannot answer on {host}:{port} ({error.strerror}). Set health_port "
                "to a port of its own, or to 0 for any that is free."
            ) from error
        log.info("%s answers for its health at %s", self.name, server.url)
        return server.url

    def _publish_address(self, url: str) -> str:
        """Write the address; returns "" once it is written, `url` to try again.

        A full disk must not end this process.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_address(self.folder, url)
        except OSError as error:
            if time.monotonic() > self.complained + MAX_PAUSE:
                self.complained = time.monotonic()
                log.error("%s cannot be written (%s); this worker answers at %s",
                          self.folder, error, url)  # fmt: skip
            return url
        return ""

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _tend(self, child: Child, pipe: int) -> None:
        now = time.monotonic()
        if child.process is not None and (code := child.process.poll()) is not None:
            steady = now - child.started > STEADY_SECONDS
            child.pause = 0.0 if steady else min(max(2 * child.pause, 0.5), MAX_PAUSE)
            child.due, child.process = now + child.pause, None
            child.ends, child.status, child.ended = child.ends + 1, code, now
            log.error(
                "%s ended with %s; it restarts in %.1f s. %s",
                child.application, code, child.pause, meaning_of(code),
            )  # fmt: skip
        if child.process is None and now >= child.due:
            child.started = now
            child.process = subprocess.Popen(
                self._command(child, pipe), pass_fds=[pipe, *self._passed()],
                env=for_clients() | _MEMORY,
            )  # fmt: skip

    def _passed(self) -> list[int]:
        """Descriptors that its applications inherit beside the pipe."""
        return []

    def _command(self, child: Child, pipe: int) -> list[str]:
        options = [
            "--data-dir",
            str(self.settings.data_dir),
            "--name",
            self.name,
            "--parent",
            str(pipe),
        ]
        # By name: the command line may not import the agents.
        return [*INTERPRETER, "-m", "agents", child.application, *options]

    def _stop_children(self) -> None:
        log.info("%s stops", self.name)
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                log.warning("Process %s does not stop; killing it", process.pid)
                process.kill()
                process.wait()

"""`faust-ledger worker`: one supervisor, and under it the stream and the posting application."""

import logging
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ledger import settings as configuration

APPLICATIONS = ("stream", "posting")
STOP_SECONDS = 20.0
"""An application that has not stopped after this long is killed; its state is durable anyway."""
POLL_SECONDS = 0.1
STEADY_SECONDS = 30.0
"""A process that ran this long is started again at once; one that keeps dying waits longer."""
MAX_PAUSE = 10.0

log = logging.getLogger(__name__)


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
        logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level="INFO")
        Supervisor(configuration.load(data_dir).data_dir.resolve(), name).run()


@dataclass
class Child:
    """One application's process, or when to start it again."""

    application: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = 0.0
    due: float = 0.0


@dataclass
class Supervisor:
    """Keeps the applications of worker `name` running."""

    data_dir: Path
    name: str
    children: list[Child] = field(default_factory=lambda: [Child(each) for each in APPLICATIONS])
    stopping: bool = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        folder = self.data_dir / "workers" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        ready = folder / "ready"
        for each in APPLICATIONS:
            self._unready(each)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._stop)
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        read, write = os.pipe()
        try:
            while not self.stopping:
                for child in self.children:
                    self._tend(child, read)
                if not ready.exists() and all(
                    folder.joinpath(each, "ready").exists() for each in APPLICATIONS
                ):
                    ready.touch()
                if select.select([wake], [], [], POLL_SECONDS)[0]:
                    os.read(wake, 1024)
        finally:
            self._stop_children()
            ready.unlink(missing_ok=True)
            os.close(write)

    def _unready(self, application: str) -> None:
        folder = self.data_dir / "workers" / self.name
        folder.joinpath("ready").unlink(missing_ok=True)
        folder.joinpath(application, "ready").unlink(missing_ok=True)

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopping = True

    def _tend(self, child: Child, pipe: int) -> None:
        now = time.monotonic()
        if child.process is not None and (code := child.process.poll()) is not None:
            steady = now - child.started > STEADY_SECONDS
            child.pause = 0.0 if steady else min(max(2 * child.pause, 0.5), MAX_PAUSE)
            child.due, child.process = now + child.pause, None
            log.error(
                "%s ended with %s; it starts again in %.1f s", child.application, code, child.pause
            )
            self._unready(child.application)
        if child.process is None and now >= child.due:
            child.started = now
            # glibc would keep a heap for each of many threads, and give little of it back.
            environment = {"MALLOC_ARENA_MAX": "2", **os.environ}
            child.process = subprocess.Popen(
                self._command(child, pipe), pass_fds=[pipe], env=environment
            )

    def _command(self, child: Child, pipe: int) -> list[str]:
        options = ["--data-dir", str(self.data_dir), "--name", self.name, "--parent", str(pipe)]
        # By name: the command line does not import the agents, which import it inwards.
        return [sys.executable, "-m", "agents", child.application, *options]

    def _stop_children(self) -> None:
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

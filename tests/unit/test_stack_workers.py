"""Scaling workers, with a small program in the place of the real one."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import StackError
from ledger.health.server import ADDRESS_FILE
from ledger.settings import Settings
from ledger.stack import files, identity, parts, record, stack, workers
from ledger.stack.environment import EXTRA_IMPORTS
from ledger.stack.files import Layout
from ledger.stack.identity import Ports, Shape
from ledger.stack.record import Record

WORKER = """
import http.server, json, os, pathlib, sys
_, _, _, root, _, name = sys.argv

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ready": true, "why": []}')

server = http.server.HTTPServer(("127.0.0.1", 0), Ready)
folder = pathlib.Path(root) / "workers" / name
folder.mkdir(parents=True, exist_ok=True)
said = {"pid": os.getpid(), "url": f"http://127.0.0.1:{server.server_port}"}
(folder / "part").write_text(json.dumps(said))
(folder / "part").replace(folder / "health.json")
server.serve_forever()
"""


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    made = files.layout(tmp_path / "ledger")
    files.create_directories(made)
    return made


def install(folder: Path, text: str) -> None:
    """Have workers import `text` as the command line's module."""
    package = folder / "ledger" / "cli"
    package.mkdir(parents=True, exist_ok=True)
    for path in (package.parent / "__init__.py", package / "__init__.py"):
        path.touch()
    (package / "main.py").write_text(text)


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the small program, from which workers import first."""
    folder = tmp_path / "imports"
    install(folder, WORKER)
    monkeypatch.setenv(EXTRA_IMPORTS, str(folder))
    return folder


@pytest.fixture
def empty(place: Layout) -> Iterator[Record]:
    """A record without workers; those that a test starts are stopped."""
    me = identity.load_or_create(place, Ports(), Settings())
    identity.save_identity(place, me)
    yield record.new_record(place, me)
    workers.stop_all(workers.found(place), print)


def names(known: Record) -> list[str]:
    return [part.name for part in known.workers]


def scaled(place: Layout, known: Record, count: int) -> Record:
    return workers.scale(place, known, count, say=print)


def test_more_and_fewer(place: Layout, empty: Record) -> None:
    two = scaled(place, empty, 2)
    assert names(two) == ["worker-1", "worker-2"]
    assert all(parts.running(part) for part in two.workers)
    three = scaled(place, two, 3)
    assert three.workers[:2] == two.workers
    one = scaled(place, three, 1)
    assert one.workers == two.workers[:1]
    assert len(workers.found(place)) == 1
    assert record.load_record(place) == one
    assert names(scaled(place, one, 0)) == []


def wanted(place: Layout, known: Record, given: int | None = None) -> int:
    return stack.wanted_workers(place, known, given, remember=True)


def test_as_many_as_before_and_the_dead_are_restarted(place: Layout, empty: Record) -> None:
    before = scaled(place, empty, 2)
    parts.stop(before.workers[0], seconds=5)
    after = scaled(place, before, wanted(place, before))
    assert names(after) == ["worker-1", "worker-2"]
    assert after.workers[0] != before.workers[0]
    assert after.workers[1] == before.workers[1]


def test_workers_that_are_not_on_record_are_taken_over(place: Layout, empty: Record) -> None:
    before = scaled(place, empty, 1)
    after = scaled(place, replace(before, workers=()), 1)
    assert [part.pid for part in after.workers] == [part.pid for part in before.workers]


def test_one_that_ends_at_once_is_an_error_with_its_log(
    place: Layout, empty: Record, program: Path
) -> None:
    install(program, "raise SystemExit('no shards for me')")
    with pytest.raises(StackError, match=r"(?s)worker-1 stopped.*no shards for me"):
        scaled(place, empty, 1)


def test_a_new_stack_has_one_and_what_was_asked_for_is_remembered(
    place: Layout, empty: Record
) -> None:
    assert wanted(place, empty) == 1
    assert wanted(place, empty, 3) == wanted(place, empty) == 3
    # None is a number like any other.
    assert wanted(place, empty, 0) == wanted(place, empty) == 0
    # What a measurement starts for itself is not remembered.
    assert stack.wanted_workers(place, empty, 5, remember=False) == 5
    assert wanted(place, empty) == 0


def test_a_new_stack_of_several_data_centres_has_one_in_each(tmp_path: Path) -> None:
    place = files.layout(tmp_path / "centres")
    files.create_directories(place)
    me = identity.load_or_create(place, Ports(), Settings(), Shape(3, None))
    identity.save_identity(place, me)
    assert wanted(place, record.new_record(place, me)) == 3


def test_workers_of_an_earlier_version_are_as_many_as_ran(place: Layout, empty: Record) -> None:
    two = scaled(place, empty, 2)
    assert wanted(place, two) == 2
    assert wanted(place, empty) == 2


def test_one_that_was_started_in_a_terminal_is_present(place: Layout, empty: Record) -> None:
    (part,) = scaled(place, empty, 1).workers
    folder = place.worker("by-hand")
    folder.mkdir()
    said = (place.worker(part.name) / ADDRESS_FILE).read_text()
    (folder / ADDRESS_FILE).write_text(said)
    assert [each.name for each in workers.present(place, empty)] == ["by-hand", "worker-1"]
    parts.stop(part, seconds=5)
    assert workers.present(place, empty) == []


def test_how_to_start_a_worker_depends_on_what_up_starts() -> None:
    for count in (None, 1):
        assert workers.how_to_start(count) == "`faust-ledger up` starts one"
    assert workers.how_to_start(2) == "`faust-ledger up` starts them"
    assert workers.how_to_start(0) == "`faust-ledger up --workers 1` starts one"


def test_an_address_from_an_earlier_life_does_not_count(place: Layout, empty: Record) -> None:
    (part,) = scaled(place, empty, 1).workers
    assert workers.missing(place, part) is None
    said = place.worker(part.name) / ADDRESS_FILE
    said.write_text(said.read_text().replace(str(part.pid), "1"))
    assert "has not written its address" in (workers.missing(place, part) or "")


def test_a_worker_that_is_held_is_not_asked(place: Layout, empty: Record) -> None:
    (part,) = scaled(place, empty, 1).workers
    os.kill(part.pid, signal.SIGSTOP)
    try:
        assert f"kill -CONT {part.pid}" in (workers.missing(place, part) or "")
    finally:
        os.kill(part.pid, signal.SIGCONT)
    assert workers.missing(place, part) is None


def test_a_worker_is_given_this_stacks_addresses(
    place: Layout, empty: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAUST_LEDGER_KAFKA_USER", "somebody else's")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    given = workers.environment(place)
    assert given["FAUST_LEDGER_BOOTSTRAP_SERVERS"] == empty.addresses["bootstrap_servers"]
    assert "FAUST_LEDGER_KAFKA_USER" not in given
    # A proxy is for the world outside: all that it speaks to is on this machine.
    assert "HTTP_PROXY" not in given

"""Scaling workers, with a small program in the place of the real one."""

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import StackError
from ledger.health.server import ADDRESS_FILE
from ledger.settings import Settings
from ledger.stack import files, identity, parts, record, workers
from ledger.stack.files import Layout
from ledger.stack.identity import Ports
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


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    file = tmp_path / "worker.py"
    file.write_text(WORKER)
    return [sys.executable, "-S", str(file)]


@pytest.fixture
def empty(place: Layout) -> Iterator[Record]:
    """A record without workers; those that a test starts are stopped."""
    me = identity.load_or_create(place, Ports(), Settings())
    identity.save_identity(place, me)
    yield record.new_record(place, me)
    workers.stop_all(workers.found(place), print)


def names(known: Record) -> list[str]:
    return [part.name for part in known.workers]


def scaled(place: Layout, known: Record, count: int | None, program: list[str]) -> Record:
    return workers.scale(place, known, count, say=print, program=program)


def test_more_and_fewer(place: Layout, empty: Record, program: list[str]) -> None:
    two = scaled(place, empty, 2, program)
    assert names(two) == ["worker-1", "worker-2"]
    assert all(parts.running(part) for part in two.workers)
    three = scaled(place, two, 3, program)
    assert three.workers[:2] == two.workers
    one = scaled(place, three, 1, program)
    assert one.workers == two.workers[:1]
    assert len(workers.found(place)) == 1
    assert record.load_record(place) == one
    assert names(scaled(place, one, 0, program)) == []


def test_none_means_as_many_as_before_and_restarts_the_dead(
    place: Layout, empty: Record, program: list[str]
) -> None:
    before = scaled(place, empty, 2, program)
    parts.stop(before.workers[0], seconds=5)
    after = scaled(place, before, None, program)
    assert names(after) == ["worker-1", "worker-2"]
    assert after.workers[0] != before.workers[0]
    assert after.workers[1] == before.workers[1]


def test_workers_that_are_not_on_record_are_taken_over(
    place: Layout, empty: Record, program: list[str]
) -> None:
    before = scaled(place, empty, 1, program)
    after = scaled(place, replace(before, workers=()), 1, program)
    assert [part.pid for part in after.workers] == [part.pid for part in before.workers]


def test_one_that_ends_at_once_is_an_error_with_its_log(
    place: Layout, empty: Record, tmp_path: Path
) -> None:
    file = tmp_path / "broken.py"
    file.write_text("raise SystemExit('no shards for me')")
    with pytest.raises(StackError, match=r"(?s)worker-1 stopped.*no shards for me"):
        scaled(place, empty, 1, [sys.executable, "-S", str(file)])


def test_an_address_from_an_earlier_life_does_not_count(
    place: Layout, empty: Record, program: list[str]
) -> None:
    (part,) = scaled(place, empty, 1, program).workers
    assert workers.missing(place, part) is None
    said = place.worker(part.name) / ADDRESS_FILE
    said.write_text(said.read_text().replace(str(part.pid), "1"))
    assert "has not written its address" in (workers.missing(place, part) or "")


def test_a_worker_that_is_held_is_not_asked(
    place: Layout, empty: Record, program: list[str]
) -> None:
    (part,) = scaled(place, empty, 1, program).workers
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

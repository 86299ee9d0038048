"""API processes of a stack, with a small program in the place of the real one."""

import json
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import StackError
from ledger.settings import Settings
from ledger.stack import api, files, identity, parts, record, stack
from ledger.stack.environment import EXTRA_IMPORTS
from ledger.stack.files import Layout
from ledger.stack.identity import Ports
from ledger.stack.record import Record
from tests.unit.test_stack_workers import install

API = """
import http.server, json, os, pathlib, sys
_, _, _, root, _, name, _, port = sys.argv

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ready": true, "why": []}')

server = http.server.HTTPServer(("127.0.0.1", int(port)), Ready)
folder = pathlib.Path(root) / "api" / name
folder.mkdir(parents=True, exist_ok=True)
said = {"pid": os.getpid(), "url": f"http://127.0.0.1:{port}", "environment": dict(os.environ)}
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
def empty(place: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    """A record in which nothing runs; what a test starts is stopped."""
    install(tmp_path / "imports", API)
    monkeypatch.setenv(EXTRA_IMPORTS, str(tmp_path / "imports"))
    me = identity.load_or_create(place, Ports(), Settings())
    identity.save_identity(place, me)
    yield record.new_record(place, me)
    api.stop_all(list(api.found(place)), print)


def scaled(place: Layout, known: Record, count: int) -> Record:
    return api.scale(place, known, count, say=print)


def test_each_has_a_port_that_it_keeps(place: Layout, empty: Record) -> None:
    two = scaled(place, empty, 2)
    assert [part.name for part in two.api] == ["api-1", "api-2"]
    urls = api.urls(place, two)
    assert urls == [f"http://127.0.0.1:{part.port}" for part in two.api]
    assert len(set(urls)) == 2
    none = scaled(place, two, 0)
    assert (none.api, api.urls(place, none)) == ((), [])
    again = scaled(place, none, 2)
    assert api.urls(place, again) == urls
    assert record.load_record(place) == again


def test_as_many_as_before_and_the_dead_are_restarted(place: Layout, empty: Record) -> None:
    assert stack.wanted_api(place, empty, None, remember=True) == 0
    before = scaled(place, empty, stack.wanted_api(place, empty, 2, remember=True))
    parts.stop(before.api[0], seconds=5)
    after = scaled(place, before, stack.wanted_api(place, before, None, remember=True))
    assert [part.pid == was.pid for part, was in zip(after.api, before.api, strict=True)] == [
        False,
        True,
    ]
    assert stack.wanted_api(place, after, 1, remember=False) == 1
    assert stack.wanted_api(place, after, None, remember=True) == 2


def test_one_that_is_not_on_record_is_taken_over(place: Layout, empty: Record) -> None:
    before = scaled(place, empty, 1)
    after = scaled(place, replace(before, api=()), 1)
    assert [part.pid for part in after.api] == [part.pid for part in before.api]
    assert [part.pid for part in api.present(place, None)] == [part.pid for part in before.api]
    assert api.present(place, None)[0].port == before.api[0].port


def test_a_port_that_another_program_has_is_an_error(place: Layout, empty: Record) -> None:
    other = scaled(place, empty, 1).api[0].port
    taken = replace(identity.require_identity(place), api_ports=(0, other))
    identity.save_identity(
        place, replace(taken, api_ports=(taken.api_ports[1], taken.api_ports[1]))
    )
    with pytest.raises(StackError, match=f"api-2.*{other}|{other}.*api-2"):
        scaled(place, record.load_record(place) or empty, 2)


def test_they_are_given_the_stacks_own_files(place: Layout, empty: Record) -> None:
    me = identity.require_identity(place)
    plain = api.environment(place, me)
    assert plain["FAUST_LEDGER_API_KEY_FILE"] == str(place.api_key)
    assert "FAUST_LEDGER_API_CERTIFICATE_FILE" not in plain
    secure = api.environment(place, replace(me, secure=True))
    assert secure["FAUST_LEDGER_API_CERTIFICATE_FILE"] == str(place.certificate("api"))


def test_the_key_is_made_once_and_for_its_owner(place: Layout) -> None:
    api.write_key(place)
    key = place.api_key.read_bytes()
    assert len(key.strip()) >= 32
    assert stat.S_IMODE(place.api_key.stat().st_mode) == 0o600
    api.write_key(place)
    assert place.api_key.read_bytes() == key


def test_the_record_and_the_identity_of_an_older_version_are_read(
    place: Layout, empty: Record
) -> None:
    record.save_record(place, empty)
    text = json.loads(place.stack_file.read_text())
    del text["api"]
    place.stack_file.write_text(json.dumps(text))
    assert record.load_record(place) == empty
    place.remembered_file.unlink()
    found = identity.require_identity(place)
    assert (found.workers, found.api, found.api_ports) == (None, None, ())

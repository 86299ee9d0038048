"""Downloads: what arrives is what was published, or nothing is kept."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from ledger.errors import StackError
from ledger.stack.downloads import download
from ledger.stack.progress import Meter

CONTENT = b"a jar" * 100_000
SHA1 = hashlib.sha1(CONTENT).hexdigest().encode()
SHA256 = hashlib.sha256(CONTENT).hexdigest().encode()


@dataclass
class Repository:
    """Serves `files` by path; a path in `short` breaks off half way, that many times."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    short: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


class Answer(BaseHTTPRequestHandler):
    """One request to a `Repository`."""

    def __init__(self, repository: list[Repository], *rest: object) -> None:
        self.repository = repository[0]
        super().__init__(*rest)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.repository.asked.append(self.path)
        content = self.repository.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.repository.short.get(self.path, 0):
            self.repository.short[self.path] -= 1
            content = content[: len(content) // 2]
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def repository() -> Iterator[Repository]:
    """A repository on 127.0.0.1."""
    known: list[Repository] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Answer, known))
    known.append(Repository(f"http://127.0.0.1:{server.server_port}"))
    thread = Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield known[0]
    server.shutdown()
    thread.join()
    server.server_close()


def get(repository: Repository, target: Path, counter: Meter | None = None) -> None:
    download(f"{repository.url}/a.jar", target, counter, pause_seconds=0)


def only(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_good_file_is_kept_and_counted(repository: Repository, tmp_path: Path) -> None:
    repository.files = {"/a.jar": CONTENT, "/a.jar.sha256": SHA256}
    counter = Meter()
    get(repository, tmp_path / "a.jar", counter)
    assert (tmp_path / "a.jar").read_bytes() == CONTENT
    assert only(tmp_path) == ["a.jar"]
    assert counter.arrived == len(CONTENT)


def test_older_digests_will_do(repository: Repository, tmp_path: Path) -> None:
    repository.files = {"/a.jar": CONTENT, "/a.jar.sha1": SHA1 + b"  a.jar\n"}
    get(repository, tmp_path / "a.jar")
    assert only(tmp_path) == ["a.jar"]


def test_a_wrong_digest_is_refused(repository: Repository, tmp_path: Path) -> None:
    repository.files = {"/a.jar": CONTENT + b"!", "/a.jar.sha256": SHA256}
    with pytest.raises(StackError, match=f"{SHA256.decode()} is published"):
        get(repository, tmp_path / "a.jar")
    assert only(tmp_path) == []


def test_a_file_without_a_digest_is_refused(repository: Repository, tmp_path: Path) -> None:
    repository.files = {"/a.jar": CONTENT}
    with pytest.raises(StackError, match="publishes no digest"):
        get(repository, tmp_path / "a.jar")
    assert only(tmp_path) == []


def test_a_truncated_file_is_not_kept(repository: Repository, tmp_path: Path) -> None:
    repository.files = {"/a.jar": CONTENT, "/a.jar.sha256": SHA256}
    repository.short = {"/a.jar": 99}
    with pytest.raises(StackError, match="could not be downloaded"):
        get(repository, tmp_path / "a.jar")
    assert only(tmp_path) == []
    assert repository.asked.count("/a.jar") == 3


def test_a_connection_that_breaks_once_is_tried_again(
    repository: Repository, tmp_path: Path
) -> None:
    repository.files = {"/a.jar": CONTENT, "/a.jar.sha256": SHA256}
    repository.short = {"/a.jar": 1}
    get(repository, tmp_path / "a.jar")
    assert (tmp_path / "a.jar").read_bytes() == CONTENT


def test_an_older_good_file_outlives_a_failed_attempt(
    repository: Repository, tmp_path: Path
) -> None:
    (tmp_path / "a.jar").write_bytes(b"older")
    repository.files = {"/a.jar": b"broken", "/a.jar.sha256": SHA256}
    with pytest.raises(StackError):
        get(repository, tmp_path / "a.jar")
    assert (tmp_path / "a.jar").read_bytes() == b"older"


def test_nobody_there_is_a_stack_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="check the connection and the proxy settings"):
        download("http://127.0.0.1:1/a.jar", tmp_path / "a.jar", pause_seconds=0)

"""The supervisor of an API process: what it starts, and what both do when the other ends."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from ledger.health.server import read_address
from tests.commands import interpreted
from tests.waiting import until


class Running:
    """`faust-ledger api` without a ledger."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        (folder / "api.key").write_text("k" * 44)
        nowhere = {"BOOTSTRAP_SERVERS": "127.0.0.1:1", "REGISTRY_URL": "http://127.0.0.1:1"}
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                interpreted("api", "--data-dir", folder), stdout=out, stderr=out,
                env={**os.environ, **{f"FAUST_LEDGER_{each}": value for each, value in nowhere.items()}},
            )  # fmt: skip
        place = folder / "api" / "api-1"
        self.url = str(until(
            lambda: read_address(place, self.process.pid), "the API's address",
            lost=lambda: "" if self.process.poll() is None else self.log.read_text(),
        ))  # fmt: skip
        until(self.children, "the process that answers")

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def get(self, path: str) -> int:
        return httpx.get(self.url + path, trust_env=False, timeout=60).status_code


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()


def test_a_process_that_is_killed_is_started_again_and_refuses_nobody(running: Running) -> None:
    [first] = running.children()
    assert running.get("/live") == 200
    assert running.get("/ready") == 503
    first.kill()
    assert running.get("/live") == 200, "it waited in the socket's queue"
    [second] = running.children()
    assert second.pid != first.pid
    assert "ended with -9" in running.log.read_text()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(40) == 0, running.log.read_text()
    assert not second.is_running()


def test_what_clients_do_fills_no_log(running: Running) -> None:
    assert running.get("/live") == 200
    before = running.log.read_text().count("HTTP")
    host, _, port = running.url.removeprefix("http://").partition(":")
    for sent in (
        b"GARBAGE\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=30) as opened:
            opened.sendall(sent)
            assert b"application/problem+json" in opened.recv(65_536)
    assert running.get("/v1/nothing") == 404
    assert running.log.read_text().count("HTTP") == before


def test_it_does_not_outlive_its_supervisor(running: Running) -> None:
    [child] = running.children()
    assert running.get("/live") == 200
    running.process.kill()
    running.process.wait()
    until(lambda: not child.is_running() or child.status() == "zombie", "the other one has ended")


def test_what_can_never_work_is_said_at_once(tmp_path: Path) -> None:
    def refused(**settings: object) -> tuple[int, str]:
        given = {"BOOTSTRAP_SERVERS": "127.0.0.1:1", **settings}
        ended = subprocess.run(
            [sys.executable, "-m", "ledger.cli.main", "api", "--data-dir", str(tmp_path)],
            env={**os.environ, **{f"FAUST_LEDGER_{each}": str(value) for each, value in given.items()}},
            capture_output=True, check=False, timeout=60, text=True,
        )  # fmt: skip
        return ended.returncode, ended.stderr

    code, said = refused()
    assert code == 3
    assert "api.key" in said
    (tmp_path / "api.key").write_text("k" * 44)
    code, said = refused(API_CERTIFICATE_FILE=tmp_path / "none.pem")
    assert code == 3
    assert "api_certificate_file" in said
    code, said = refused(API_CONNECTIONS=10_000_000)
    assert code == 3
    assert "api_connections" in said
    code, said = refused(API_HOST="192.0.2.1")
    assert code == 3
    assert "cannot listen on 192.0.2.1" in said

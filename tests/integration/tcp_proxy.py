"""A TCP proxy on 127.0.0.1 that counts round trips and can freeze, cut, and lose an answer."""

import socket
from contextlib import suppress
from threading import Event, Lock, Thread
from typing import Self

CHUNK = 1 << 16


class Proxy:
    """Forwards to `port`; listens on its own `port`. A context manager."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.trips = 0
        """Times that a client began to speak after a server had."""
        self._flowing = Event()
        self._flowing.set()
        self._cut_after = b""
        self._lock = Lock()
        self._open: list[socket.socket] = []
        self._last = ""

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would leave it listening as long as a thread is in accept().
        _shut(self._server)
        self._server.close()
        self.thaw()
        self.cut()

    def freeze(self) -> None:
        """Forward nothing more, and close nothing."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Forward what was held up."""
        self._flowing.set()

    def cut(self) -> None:
        """Close every connection."""
        with self._lock:
            for each in self._open:
                _shut(each)
            self._open.clear()

    def lose_answer_to(self, words: bytes) -> None:
        """Once, when a client sends `words`, let the server have them and cut before it answers."""
        self._cut_after = words

    @property
    def loses(self) -> bool:
        """Whether that is still to come."""
        return bool(self._cut_after)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            with self._lock:
                self._open += (client, server)
            Thread(target=self._pump, args=(client, server, "client"), daemon=True).start()
            Thread(target=self._pump, args=(server, client, "server"), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, speaker: str) -> None:
        try:
            while sent := source.recv(CHUNK):
                self._flowing.wait()
                if speaker == "client" and self._cut_after and self._cut_after in sent:
                    self._cut_after = b""
                    _shut(source)
                if speaker == "client" and self._last != "client":
                    self.trips += 1
                self._last = speaker
                sink.sendall(sent)
        except OSError:
            pass
        finally:
            _shut(sink)


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)

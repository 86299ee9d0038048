"""Drops the connection of a client that does not read: the mechanism of HTTP and WebSockets."""

from asyncio import AbstractEventLoop, Protocol, TimerHandle, Transport


class DropsUnread(Protocol):
    """A protocol whose client may leave unread what waits for it for `unread_seconds`.

    Its transport pauses it once more waits than its limit, and resumes it once less does.
    """

    unread_seconds = 30.0
    loop: AbstractEventLoop
    transport: Transport
    _unread: TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.forget_unread()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self.forget_unread()

    def forget_unread(self) -> None:
        """Nothing waits any more, or another protocol sees to it."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

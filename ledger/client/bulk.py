"""Publishing JSON Lines in bulk: a stream in, counts out; memory does not grow with the input."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import BinaryIO

from ledger.client import lines
from ledger.client.lanes import Receipt
from ledger.client.publisher import Publisher
from ledger.domain.refusal import Refused
from ledger.domain.transaction import Draft

CHUNK_BYTES = 256 * 1024
_BOM = b"\xef\xbb\xbf"

Line = tuple[int, bytes]
"""Its number, from 1, and its bytes."""


class Splitter:
    """Cuts chunks into numbered lines and leaves out blank ones.

    Of a line longer than lines.MAX_LINE just enough is kept for it to be refused.
    """

    def __init__(self) -> None:
        self._carry = b""
        self._number = 0

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that `chunk` completes."""
        *whole, rest = (self._carry + chunk).split(b"\n")
        self._carry = rest[: lines.MAX_LINE + 1]
        return self._numbered(whole)

    def end(self) -> list[Line]:
        """The last line, where no newline ends it."""
        rest, self._carry = self._carry, b""
        return self._numbered([rest] if rest else [])

    def _numbered(self, found: list[bytes]) -> list[Line]:
        if self._number == 0 and found:
            found[0] = found[0].removeprefix(_BOM)
        start = self._number + 1
        self._number += len(found)
        return [(number, each) for number, each in enumerate(found, start) if each.strip()]


async def lines_of(
    stream: BinaryIO, on_bytes: Callable[[int], None] = lambda count: None
) -> AsyncIterator[list[Line]]:
    """The lines of `stream` as they come; `on_bytes` hears how many bytes were read so far."""
    splitter, count = Splitter(), 0
    while chunk := await _read(stream):
        count += len(chunk)
        on_bytes(count)
        yield splitter.feed(chunk)
    yield splitter.end()


async def _read(stream: BinaryIO) -> bytes:
    """What is there, on a thread of its own: a pipe that is silent must not stop the sending.

    Not a pool's thread, which Python would wait for when it is interrupted.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()
    read = getattr(stream, "read1", stream.read)

    def tell(found: bytes | BaseException) -> None:
        if done.cancelled():
            return
        if isinstance(found, bytes):
            done.set_result(found)
        else:
            done.set_exception(found)

    def work() -> None:
        try:
            found: bytes | BaseException = read(CHUNK_BYTES)
        except BaseException as error:
            found = error
        loop.call_soon_threadsafe(tell, found)

    threading.Thread(target=work, daemon=True, name="read").start()
    return await done


@dataclass(slots=True)
class Counts:
    """Of one call: lines that are not blank, those acknowledged, those not sent."""

    lines: int = 0
    published: int = 0
    refused: int = 0


class Feed:
    """Takes lines, publishes what is good, tells of what is not."""

    def __init__(
        self,
        publisher: Publisher,
        *,
        created_at: int | None,
        on_refused: Callable[[int, Refused], None],
        on_receipt: Callable[[Receipt], None] = lambda receipt: None,
    ) -> None:
        self.counts = Counts()
        self._publisher, self._created_at = publisher, created_at
        self._on_refused, self._on_receipt = on_refused, on_receipt
        self._failure: BaseException | None = None

    async def check(self, found: list[Line]) -> None:
        """Count and tell of the bad ones; nothing is sent."""
        for number, line in found:
            draft = self._read(number, line)
            if draft is not None and (refused := await self._publisher.check(draft)):
                self._refuse(number, refused)

    async def publish(self, found: list[Line]) -> None:
        """Send the good ones. Raises PublishFailed, also for those of an earlier call."""
        for number, line in found:
            draft = self._read(number, line)
            if draft is None:
                continue
            sent = await self._publisher.submit(draft)
            if isinstance(sent, Refused):
                self._refuse(number, sent)
            else:
                sent.add_done_callback(self._acknowledged)
            if self._failure is not None:
                raise self._failure

    async def finish(self) -> None:
        """Return when everything sent was acknowledged. Raises PublishFailed."""
        await self._publisher.flush()
        # The callbacks are due in the loop's next turn.
        await asyncio.sleep(0)
        if self._failure is not None:
            raise self._failure

    def _read(self, number: int, line: bytes) -> Draft | None:
        self.counts.lines += 1
        draft = lines.read(line, created_at=self._created_at)
        if isinstance(draft, Refused):
            self._refuse(number, draft)
            return None
        return draft

    def _refuse(self, number: int, refused: Refused) -> None:
        self.counts.refused += 1
        self._on_refused(number, refused)

    def _acknowledged(self, sent: asyncio.Future[Receipt]) -> None:
        if sent.cancelled():
            return
        if error := sent.exception():
            self._failure = self._failure or error
            return
        self.counts.published += 1
        self._on_receipt(sent.result())


async def first_without_time(stream: BinaryIO) -> int | None:
    """The number of the first line that says no created_at of its own; None for none."""
    async for found in lines_of(stream):
        for number, line in found:
            if b'"created_at"' not in line:
                return number
            fields = lines.read_object(line)
            if not isinstance(fields, Refused) and fields.get("created_at") is None:
                return number
    return None

"""Publishing JSON Lines in bulk: a stream in, counts out; memory does not grow with the input."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import BinaryIO

from ledger.client import lines
from ledger.client.appender import Receipt
from ledger.client.past import Past, dated, in_ledger
from ledger.client.publisher import Publisher
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft
from ledger.gl.journal import Accepted

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
    """Takes lines, publishes what is good, tells of what is not.

    `created_at` is for lines without one, whose ids `past` looks up first. Where it cannot know
    them they are refused, unless it is `promised` that none was ever published.
    """

    def __init__(
        self,
        publisher: Publisher,
        *,
        created_at: int | None,
        on_refused: Callable[[int, Refused], None],
        on_receipt: Callable[[Receipt], None] = lambda receipt: None,
        past: Past | None = None,
        promised: bool = False,
    ) -> None:
        self.counts = Counts()
        self._publisher, self._created_at = publisher, created_at
        self._past, self._promised = past, promised
        self._on_refused, self._on_receipt = on_refused, on_receipt
        self._failure: BaseException | None = None

    async def check(self, found: list[Line]) -> None:
        """Count and tell of the bad ones; nothing is sent."""
        for line in await self._read(found):
            draft = line.draft
            refused = draft if isinstance(draft, Refused) else await self._publisher.check(draft)
            if refused:
                self._refuse(line, refused)

    async def publish(self, found: list[Line]) -> None:
        """Send the good ones. Raises PublishFailed, also for those of an earlier call."""
        for line in await self._read(found):
            draft = line.draft
            sent = draft if isinstance(draft, Refused) else await self._publisher.submit(draft)
            if isinstance(sent, Refused):
                self._refuse(line, sent)
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

    async def _read(self, found: list[Line]) -> list["_Read"]:
        """Each line's draft, dated where it has no time of its own; or why there is none."""
        read = [self._draft(number, line) for number, line in found]
        self.counts.lines += len(read)
        undated = [each for each in read if not each.own_time]
        if undated and self._past is not None:
            await self._date(self._past, undated)
        return read

    def _draft(self, number: int, line: bytes) -> "_Read":
        fields = lines.read_object(line)
        if isinstance(fields, Refused):
            return _Read(number, fields, own_time=True)
        draft = lines.draft_of(fields, created_at=self._created_at)
        own_time = isinstance(draft, Refused) or fields.get("created_at") is not None
        return _Read(number, draft, own_time=own_time)

    async def _date(self, past: Past, undated: list["_Read"]) -> None:
        """Date those whose ids were accepted before."""
        known = await past.find([_id_of(each) for each in undated])
        for each in undated:
            assert not isinstance(each.draft, Refused), "what cannot be read needs no date"
            if known is None and not self._promised:
                each.draft = Refused(Reason.FIELD_MISSING, past.sentence, "created_at")
            elif known and (before := known.get(_id_of(each))):
                each.known = before
                each.draft = dated(each.draft, before, shards=self._publisher.shards)

    def _refuse(self, line: "_Read", refused: Refused) -> None:
        if line.known is not None and refused.reason is Reason.TOO_LATE:
            # It is, only because it was accepted long ago.
            refused = in_ledger(_id_of(line), line.known, window=self._publisher.window)
        self.counts.refused += 1
        self._on_refused(line.number, refused)

    def _acknowledged(self, sent: asyncio.Future[Receipt]) -> None:
        if sent.cancelled():
            return
        if error := sent.exception():
            self._failure = self._failure or error
            return
        self.counts.published += 1
        self._on_receipt(sent.result())


@dataclass(slots=True)
class _Read:
    """A line's draft, or why there is none.

    `known`: where the id of one without a time of its own was accepted before.
    """

    number: int
    draft: Draft | Refused
    own_time: bool
    known: Accepted | None = None


def _id_of(line: _Read) -> str:
    return "" if isinstance(line.draft, Refused) else line.draft["transaction_id"]


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

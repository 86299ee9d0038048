"""Publish a stream of JSON Lines in constant memory."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import BinaryIO

from ledger.client import lines
from ledger.client.appender import Receipt
from ledger.client.past import Past, already_in_ledger, with_time_of
from ledger.client.publisher import Publisher
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft
from ledger.gl.books import Accepted

CHUNK_BYTES = 256 * 1024
_BOM = b"\xef\xbb\xbf"

Line = tuple[int, bytes]
"""A line's number, from 1, and its bytes."""


class Splitter:
    """Splits chunks into numbered lines, without blank ones.

    It keeps just enough of a line longer than lines.MAX_LINE for the line to be refused.
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
        """The last line, if no newline ends it."""
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
    """The lines of `stream` as they arrive; `on_bytes` is called with the bytes read so far."""
    splitter, count = Splitter(), 0
    while chunk := await _read(stream):
        count += len(chunk)
        on_bytes(count)
        yield splitter.feed(chunk)
    yield splitter.end()


async def _read(stream: BinaryIO) -> bytes:
    """What can be read now, by a thread of its own: a silent pipe must not block publishing.

    Python waits for the threads of a pool when it is interrupted, but not for this daemon.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()
    read = getattr(stream, "read1", stream.read)

    def resolve(found: bytes | BaseException) -> None:
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
        loop.call_soon_threadsafe(resolve, found)

    threading.Thread(target=work, daemon=True, name="read").start()
    return await done


@dataclass(slots=True)
class LineCounts:
    """Lines that are not blank, those acknowledged by Kafka, and those refused and not sent."""

    lines: int = 0
    published: int = 0
    refused: int = 0


class Feed:
    """Publishes good lines and reports bad ones.

    `created_at` is the time of lines without one; `past` first looks up their ids. Where it cannot,
    they are refused, unless the caller has `promised` that none was ever published.
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
        self.counts = LineCounts()
        self._publisher, self._created_at = publisher, created_at
        self._past, self._promised = past, promised
        self._on_refused, self._on_receipt = on_refused, on_receipt
        self._failure: BaseException | None = None

    async def check(self, found: list[Line]) -> None:
        """Count and report bad lines; nothing is sent."""
        for line in await self._read(found):
            draft = line.draft
            refused = draft if isinstance(draft, Refused) else await self._publisher.check(draft)
            if refused:
                self._refuse(line, refused)

    async def publish(self, found: list[Line]) -> None:
        """Send good lines. Raises PublishFailed, also for lines of an earlier call."""
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
        """Return when Kafka has acknowledged everything sent. Raises PublishFailed."""
        await self._publisher.flush()
        # Callbacks run in the next turn of the loop.
        await asyncio.sleep(0)
        if self._failure is not None:
            raise self._failure

    async def _read(self, found: list[Line]) -> list["_ParsedLine"]:
        """Each line's draft, or its refusal. A line without created_at is given one."""
        read = [self._draft(number, line) for number, line in found]
        self.counts.lines += len(read)
        undated = [each for each in read if not each.own_time]
        if undated and self._past is not None:
            await self._date(self._past, undated)
        return read

    def _draft(self, number: int, line: bytes) -> "_ParsedLine":
        fields = lines.read_object(line)
        if isinstance(fields, Refused):
            return _ParsedLine(number, fields, own_time=True)
        draft = lines.draft_of(fields, created_at=self._created_at)
        own_time = isinstance(draft, Refused) or fields.get("created_at") is not None
        return _ParsedLine(number, draft, own_time=own_time)

    async def _date(self, past: Past, undated: list["_ParsedLine"]) -> None:
        """Give lines whose ids were accepted before the time of that acceptance."""
        known = await past.find([_id_of(each) for each in undated])
        for each in undated:
            assert not isinstance(each.draft, Refused), "what cannot be read needs no date"
            if known is None and not self._promised:
                each.draft = Refused(Reason.FIELD_MISSING, past.sentence, "created_at")
            elif known and (before := known.get(_id_of(each))):
                each.known = before
                each.draft = with_time_of(before, each.draft, shards=self._publisher.shards)

    def _refuse(self, line: "_ParsedLine", refused: Refused) -> None:
        if line.known is not None and refused.reason is Reason.TOO_LATE:
            # It is too late only because `before` gave it the time of that acceptance.
            refused = already_in_ledger(_id_of(line), line.known, window=self._publisher.window)
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
class _ParsedLine:
    """A line's draft, or its refusal.

    `known`: for a line without created_at, where its id was accepted before.
    """

    number: int
    draft: Draft | Refused
    own_time: bool
    known: Accepted | None = None


def _id_of(line: _ParsedLine) -> str:
    return "" if isinstance(line.draft, Refused) else line.draft["transaction_id"]


async def first_without_time(stream: BinaryIO) -> int | None:
    """The number of the first line without created_at; None if every line has one."""
    async for found in lines_of(stream):
        for number, line in found:
            if b'"created_at"' not in line:
                return number
            fields = lines.read_object(line)
            if not isinstance(fields, Refused) and fields.get("created_at") is None:
                return number
    return None

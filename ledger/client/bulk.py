"""Publish or check a stream of lines in constant memory."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Generic, Protocol, TypeVar

from ledger.client import lines
from ledger.client.past import Past, already_in_ledger, with_time_of
from ledger.client.receipt import LineOutcome, Receipt
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft
from ledger.gl.books import Accepted

CHUNK_BYTES = 256 * 1024
CANCELLED = "The command ended before Kafka had acknowledged it."
BOM = b"\xef\xbb\xbf"

Line = tuple[int, bytes]
"""A line's number, from 1, and its bytes."""


class Row(Protocol):
    """A transaction that was read from something else than a line of JSON.

    `fields`: what the JSON object would have, or why the transaction cannot be read.
    """

    @property
    def transaction_id(self) -> str | None:
        """The id, where it can be read."""

    @property
    def fields(self) -> dict[str, Any] | Refused:
        """The object, or the refusal."""

    def located(self, refused: Refused) -> Refused:
        """The refusal, with the place in the file that is meant."""


Source = AsyncIterator[Sequence[tuple[int, bytes | Row]]]
"""Lists of line numbers, each with a line of JSON or a row, as they arrive."""


class Splitter:
    """Splits chunks into numbered lines, without blank ones and a BOM unless they are kept.

    It keeps just enough of a line longer than lines.MAX_LINE for the line to be refused.
    """

    def __init__(self, *, keep_blank: bool = False) -> None:
        self._keep_blank = keep_blank
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
        if self._number == 0 and found and not self._keep_blank:
            found[0] = found[0].removeprefix(BOM)
        start = self._number + 1
        self._number += len(found)
        numbered = enumerate(found, start)
        return [each for each in numbered if self._keep_blank or each[1].strip()]


async def lines_of(
    stream: BinaryIO,
    on_bytes: Callable[[int], None] = lambda count: None,
    *,
    keep_blank: bool = False,
) -> AsyncIterator[list[Line]]:
    """The lines of `stream` as they arrive; `on_bytes` is called with the bytes read so far."""
    splitter, count = Splitter(keep_blank=keep_blank), 0
    while chunk := await read_chunk(stream):
        count += len(chunk)
        on_bytes(count)
        yield splitter.feed(chunk)
    yield splitter.end()


async def read_chunk(stream: BinaryIO) -> bytes:
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


class Checker(Protocol):
    """The part of a Publisher that is used to check lines."""

    @property
    def shards(self) -> int:
        """As Publisher.shards."""

    @property
    def window(self) -> int:
        """As Publisher.window."""

    async def check(self, draft: Draft) -> Refused | None:
        """As Publisher.check."""


class Sender(Checker, Protocol):
    """The part of a Publisher that is used to publish lines."""

    async def submit(self, draft: Draft) -> asyncio.Future[Receipt] | Refused:
        """As Publisher.submit."""

    async def flush(self) -> None:
        """As Publisher.flush."""


CheckerT_co = TypeVar("CheckerT_co", bound=Checker, covariant=True)


class Feed(Generic[CheckerT_co]):
    """Publishes good lines, or checks them, and reports what became of each.

    `created_at` is the time of lines without one; `past` first looks up their ids. Where it cannot,
    they are refused, unless the caller has `promised` that none was ever published.
    """

    def __init__(
        self,
        publisher: CheckerT_co,
        *,
        created_at: int | None,
        on_outcome: Callable[[LineOutcome], None],
        past: Past | None = None,
        promised: bool = False,
    ) -> None:
        self.counts = LineCounts()
        self._publisher, self._created_at = publisher, created_at
        self._past, self._promised = past, promised
        self._on_outcome = on_outcome
        self._failure: BaseException | None = None

    async def check(self, found: Sequence[tuple[int, bytes | Row]]) -> None:
        """Count lines and report whether they are good; nothing is sent."""
        for line in await self._read(found):
            draft = line.draft
            refused = draft if isinstance(draft, Refused) else await self._publisher.check(draft)
            if refused:
                self._refuse(line, refused)
            else:
                self._on_outcome(LineOutcome(line.number, line.transaction_id))

    async def publish(self: "Feed[Sender]", found: Sequence[tuple[int, bytes | Row]]) -> None:
        """Send good lines. Raises PublishFailed, also for lines of an earlier call."""
        for line in await self._read(found):
            draft = line.draft
            sent = draft if isinstance(draft, Refused) else await self._publisher.submit(draft)
            if isinstance(sent, Refused):
                self._refuse(line, sent)
            else:
                outcome = LineOutcome(line.number, line.transaction_id)
                sent.add_done_callback(partial(self._acknowledged, outcome))
            if self._failure is not None:
                raise self._failure

    async def finish(self: "Feed[Sender]") -> None:
        """Return when Kafka has acknowledged everything sent. Raises PublishFailed."""
        await self._publisher.flush()
        # Callbacks run in the next turn of the loop.
        await asyncio.sleep(0)
        if self._failure is not None:
            raise self._failure

    async def _read(self, found: Sequence[tuple[int, bytes | Row]]) -> list["_ParsedLine"]:
        """Each line's draft, or its refusal. A line without created_at is given one."""
        read = [self._draft(number, line) for number, line in found]
        self.counts.lines += len(read)
        undated = [each for each in read if not each.own_time]
        if undated and self._past is not None:
            await self._date(self._past, undated)
        return read

    def _draft(self, number: int, line: bytes | Row) -> "_ParsedLine":
        row = None if isinstance(line, bytes) else line
        fields = lines.read_object(line) if isinstance(line, bytes) else line.fields
        if isinstance(fields, Refused):
            known = None if row is None else row.transaction_id
            return _ParsedLine(number, known, fields, own_time=True, row=row)
        draft = lines.draft_of(fields, created_at=self._created_at)
        own_time = isinstance(draft, Refused) or fields.get("created_at") is not None
        name = fields.get("transaction_id")
        known = name if isinstance(name, str) else None
        return _ParsedLine(number, known, draft, own_time=own_time, row=row)

    async def _date(self, past: Past, undated: list["_ParsedLine"]) -> None:
        """Give lines whose ids were accepted before the time of that acceptance."""
        known = await past.find([each.transaction_id or "" for each in undated])
        for each in undated:
            assert not isinstance(each.draft, Refused), "what cannot be read needs no date"
            if known is None and not self._promised:
                each.draft = Refused(Reason.FIELD_MISSING, past.sentence, "created_at")
            elif known and (before := known.get(each.transaction_id or "")):
                each.known = before
                each.draft = with_time_of(before, each.draft, shards=self._publisher.shards)

    def _refuse(self, line: "_ParsedLine", refused: Refused) -> None:
        if line.known is not None and refused.reason is Reason.TOO_LATE:
            # It is too late only because `before` gave it the time of that acceptance.
            name, window = line.transaction_id or "", self._publisher.window
            refused = already_in_ledger(name, line.known, window=window)
        if line.row is not None:
            refused = line.row.located(refused)
        self.counts.refused += 1
        self._on_outcome(LineOutcome(line.number, line.transaction_id, refused=refused))

    def _acknowledged(self, outcome: LineOutcome, sent: asyncio.Future[Receipt]) -> None:
        if sent.cancelled():
            outcome = outcome._replace(failure=CANCELLED)
        elif error := sent.exception():
            self._failure = self._failure or error
            outcome = outcome._replace(failure=str(error))
        else:
            self.counts.published += 1
            outcome = outcome._replace(receipt=sent.result())
        try:
            self._on_outcome(outcome)
        except (Exception, SystemExit) as error:
            # In a callback it would be logged and forgotten; the end of the command (its reader has
            # gone) would end the loop with tasks that nobody closes.
            self._failure = self._failure or error


@dataclass(slots=True)
class _ParsedLine:
    """A line's draft, or its refusal; `row`: what it was read from, unless that is JSON.

    `known`: for a line without created_at, where its id was accepted before.
    """

    number: int
    transaction_id: str | None
    draft: Draft | Refused
    own_time: bool
    row: Row | None = None
    known: Accepted | None = None


async def first_without_time(source: Source) -> int | None:
    """The number of the first line without created_at; None if every line has one."""
    async for found in source:
        for number, line in found:
            if isinstance(line, bytes) and b'"created_at"' not in line:
                return number
            fields = lines.read_object(line) if isinstance(line, bytes) else line.fields
            if not isinstance(fields, Refused) and fields.get("created_at") is None:
                return number
    return None

"""Whether balances and the trial balance count everything, and if not, which shards lack what."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ledger.cli.output import open_stream, print_note, print_sentence
from ledger.clock import now
from ledger.domain.completeness import Asked, Completeness, Position
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from ledger.audit.reading import StreamSources
    from ledger.client.ends import LogEnds
    from ledger.domain.run import Watermark
    from ledger.gl.journal import Journal
    from ledger.settings import Settings

INCOMPLETE = 4
"""Exit status of an answer that lacks something, or may lack something."""
PATIENCE_SECONDS = 2.0
"""Seconds to wait for what the log has and the answer does not yet count."""
POLL_SECONDS = 0.05

T = TypeVar("T")
Marks = Mapping[int, "Watermark"]


class Snapshot(Protocol):
    """What was read of the general ledger, and by shard the watermark of what it counts."""

    @property
    def watermarks(self) -> Marks:
        """Read in the same snapshot."""


S = TypeVar("S", bound=Snapshot)


class CompletenessReport:
    """The completeness of an answer; `why`: sentences about what could not be determined.

    `read_from`: "history" or "journal", where there is a choice, and the sentence about it.
    """

    def __init__(
        self, completeness: Completeness, why: list[str], read_from: tuple[str, str] | None = None
    ) -> None:
        self._found, self._why, self._read_from = completeness, why, read_from

    @property
    def complete(self) -> bool:
        """False also where it is not known."""
        # By recorded time the general ledger alone can prove it.
        return self._found.complete and (self._found.by_record or not self._why)

    def fields(self) -> dict[str, Any]:
        """The JSON fields added to each account's row."""
        missing = [_shard(self._found, each) for each in self._found.missing]
        return {
            "complete": self.complete,
            "as_of": _shown(self._found.asked.as_of),
            "missing": missing,
        } | ({"read_from": self._read_from[0]} if self._read_from else {})

    def whole(self) -> dict[str, Any]:
        """The JSON fields of a whole answer: `fields`, and the position of every shard."""
        found = self._found
        return self.fields() | {
            "by": found.asked.by,
            "complete_through": _shown(found.through),
            "through": {str(each.shard): _shard(found, each) for each in found.positions},
            "unknown": [] if self.complete else self._why,
        }

    def sentences(self) -> list[str]:
        """The report for people."""
        return [*self._sentences(), *(self._read_from or ())[1:]]

    def _sentences(self) -> list[str]:
        found = self._found
        if self.complete:
            return [_complete(found)]
        sentences = [f"Whether this is complete is not known: {each}" for each in self._why]
        if found.to_come:
            sentences.append(
                f"NOT COMPLETE: {_shown(found.asked.as_of)} had not passed; everything recorded up "
                f"to {_shown(found.through)} is counted."
            )
        return sentences + [f"NOT COMPLETE: {each}" for each in _lacking(found)]


def _shown(micros: int | None) -> str | None:
    from ledger.client.drafts import rfc3339

    return None if micros is None else rfc3339(micros)


def _complete(found: Completeness) -> str:
    shards = f"all {len(found.positions)} shards"
    if found.by_record:
        return f"Complete: everything recorded before {_shown(found.asked.as_of)}, {shards}."
    return f"Complete: everything that was in the log at {_shown(found.moment)}, {shards}."


def _lacking(found: Completeness) -> Iterator[str]:
    """A sentence for each shard that lacks something; one for those whose log is not read."""
    unread = [each for each in found.missing if each.log_end is None]
    if len(unread) > 1:
        through = _shown(min(each.through(found.moment) for each in unread) or None)
        counted = f"; everything recorded before {through} is counted" if through else ""
        yield f"the ends of the log could not be read for {len(unread)} shards{counted}."
    for each in found.missing:
        if each not in unread or len(unread) == 1:
            yield _lacks(found, each)


def _lacks(found: Completeness, each: Position) -> str:
    begins = f"shard {each.shard} is counted up to position {each.counted}"
    through = each.through(found.moment)
    recorded = f" (recorded before {_shown(through)})" if through else ""
    if each.log_end is None:
        return f"{begins}{recorded}; the end of its log could not be read."
    if each.cut:
        return (
            f"{begins}, but its log ends at {each.log_end}: it was truncated or recreated "
            "(docs/runbooks/topic-lost.md)."
        )
    return (
        f"{begins} of {each.log_end}{recorded}; {each.waiting} records wait. "
        "`faust-ledger status` shows why."
    )


def _shard(found: Completeness, each: Position) -> dict[str, Any]:
    return {
        "shard": each.shard,
        "position": each.counted,
        "log_end": each.log_end,
        "waiting": each.waiting,
        "recorded_through": _shown(each.through(found.moment) or None),
    }


def print_completeness(report: CompletenessReport, *, as_json: bool) -> None:
    """Print it below a table; in a format for programs, what is missing goes to stderr."""
    for sentence in report.sentences():
        if not as_json:
            print_sentence(sentence)
        elif not report.complete:
            print_note(sentence)


async def of_ledger(
    settings: "Settings",
    journal: "Journal",
    asked: Asked,
    read: Callable[[], S],
    *,
    read_from: tuple[str, str] | None = None,
) -> tuple[S, CompletenessReport]:
    """The result of `read`, from the general ledger, and its completeness.

    `read_from`: as CompletenessReport has it. Waits up to PATIENCE_SECONDS for what the log has and
    the general ledger does not have yet.
    """
    import asyncio

    from ledger.client.ends import completeness_of

    ends, why = await log_ends(settings, asked)
    if ends is not None:
        await until_level(settings, asked, ends, lambda: asyncio.to_thread(journal.watermarks))
    books = await asyncio.to_thread(read)
    found = await completeness_of(settings, asked, ends, books.watermarks)
    return books, CompletenessReport(found, why, read_from)


async def of_stream(
    settings: "Settings", read: Callable[[], Awaitable[T]]
) -> tuple[T, CompletenessReport]:
    """The result of `read`, from the live balances, and its completeness.

    What is compared and published is counted. Waits as `of_ledger` does.
    """
    import asyncio

    from ledger.client.ends import completeness_of

    asked = Asked()
    ends, why = await log_ends(settings, asked)
    marks: Marks = {}
    if ends is not None:
        async with open_stream(settings) as sources:
            try:
                async with asyncio.timeout(3 * PATIENCE_SECONDS):
                    look = partial(_compared, sources)
                    marks = await until_level(settings, asked, ends, look)
                    why = await _until_published(sources)
            except (LedgerError, TimeoutError) as error:
                why = [str(error) or "Kafka takes longer than usual to answer."]
    rows = await read()
    return rows, CompletenessReport(await completeness_of(settings, asked, ends, marks), why)


async def log_ends(settings: "Settings", asked: Asked) -> "tuple[LogEnds | None, list[str]]":
    """The ends of the log, or why they are not known.

    For a recorded time that has only just passed it first waits until the brokers' clocks have
    passed it too.
    """
    import asyncio

    from ledger.client import ends
    from ledger.client.ends import CLOCK_MARGIN

    since = now() - (asked.as_of or 0)
    if asked.by == "recorded" and 0 <= since < CLOCK_MARGIN:
        await asyncio.sleep((CLOCK_MARGIN - since) / 1e6)
    try:
        return await ends.log_ends(settings), []
    except LedgerError as error:
        return None, [str(error)]


async def until_level(
    settings: "Settings", asked: Asked, ends: "LogEnds", look: Callable[[], Awaitable[Marks]]
) -> Marks:
    """The shards' watermarks by `look`, once they reach `ends` or PATIENCE_SECONDS are over."""
    from ledger.client.ends import completeness_of

    marks = await look()
    found = await completeness_of(settings, asked, ends, marks)
    due = {each.shard: ends.by_shard[each.shard] for each in found.missing if not each.cut}
    if not due:
        return marks
    return await _poll(
        look,
        lambda marks: all(each in marks and marks[each].end >= end for each, end in due.items()),
    )


async def _compared(sources: "StreamSources") -> Marks:
    return dict(enumerate(await sources.progress()))


async def _until_published(sources: "StreamSources") -> list[str]:
    """Wait until every stripe is in a published balance; a sentence if some are not in time."""
    ends = await sources.stripes_ends()

    async def look() -> list[int]:
        summed = await sources.summed()
        return [each for each, end in ends.items() if summed.get(each, 0) < end]

    if behind := await _poll(look, lambda behind: not behind):
        some = ", ".join(map(str, behind))
        return [f"the published balances are behind in partitions {some} of the stripes topic."]
    return []


async def _poll(look: Callable[[], Awaitable[T]], is_done: Callable[[T], bool]) -> T:
    """The first result of `look` that is done, or the one after PATIENCE_SECONDS."""
    import asyncio

    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = await look()
        if is_done(found) or time.monotonic() > until:
            return found
        await asyncio.sleep(POLL_SECONDS)

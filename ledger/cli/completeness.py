"""What balances and trial balance say of themselves: whether anything is missing, and where."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ledger.cli.output import say
from ledger.domain.completeness import Asked, Completeness, Position
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from ledger.audit.reading import Sources
    from ledger.client.ends import Ends
    from ledger.domain.run import Watermark
    from ledger.gl.books import BalanceSnapshot
    from ledger.gl.postgresql import PostgresJournal
    from ledger.settings import Settings

INCOMPLETE = 4
"""Exit status of an answer that lacks something, or may."""
PATIENCE = 2.0
"""Seconds for what is on its way: under load something always is."""
POLL_SECONDS = 0.05

Marks = Mapping[int, "Watermark"]


class Statement:
    """What is known of an answer; `why` has sentences of what stood in the way of knowing."""

    def __init__(self, completeness: Completeness, why: list[str]) -> None:
        self._found, self._why = completeness, why

    @property
    def complete(self) -> bool:
        """False also where it is not known."""
        # By recorded time the general ledger alone may prove it.
        return self._found.complete and (self._found.by_record or not self._why)

    def fields(self) -> dict[str, Any]:
        """For JSON, of one account's row: short, for there may be many."""
        missing = [_shard(self._found, each) for each in self._found.missing]
        return {
            "complete": self.complete,
            "as_of": _shown(self._found.asked.as_of),
            "missing": missing,
        }

    def whole(self) -> dict[str, Any]:
        """For JSON, of a whole answer: `fields`, and where every shard is."""
        found = self._found
        return self.fields() | {
            "by": found.asked.by,
            "complete_through": _shown(found.through),
            "through": {str(each.shard): _shard(found, each) for each in found.positions},
            "unknown": [] if self.complete else self._why,
        }

    def sentences(self) -> list[str]:
        """For people."""
        found = self._found
        if self.complete:
            return [_complete(found)]
        said = [f"Whether this is complete is not known: {each}" for each in self._why]
        if found.to_come:
            said.append(
                f"NOT COMPLETE: {_shown(found.asked.as_of)} had not passed; what is recorded up to "
                f"{_shown(found.through)} is in."
            )
        return said + [f"NOT COMPLETE: {_lacks(found, each)}" for each in found.missing]


def _shown(micros: int | None) -> str | None:
    from ledger.client.drafts import shown

    return None if micros is None else shown(micros)


def _complete(found: Completeness) -> str:
    shards = f"all {len(found.positions)} shards"
    if found.by_record:
        return f"Complete: everything recorded before {_shown(found.asked.as_of)}, {shards}."
    return f"Complete: everything that was in the log at {_shown(found.moment)}, {shards}."


def _lacks(found: Completeness, each: Position) -> str:
    begins = f"shard {each.shard} is in up to position {each.counted}"
    through = each.through(found.moment)
    recorded = f" (recorded before {_shown(through)})" if through else ""
    if each.log_end is None:
        return f"{begins}{recorded}; where its log ends could not be read."
    if each.cut:
        return (
            f"{begins}, but its log ends at {each.log_end}: it was truncated or made anew "
            "(docs/runbooks/topic-lost.md)."
        )
    return (
        f"{begins} of {each.log_end}{recorded}; {each.waiting} records wait. "
        "`faust-ledger status` says why."
    )


def _shard(found: Completeness, each: Position) -> dict[str, Any]:
    return {
        "shard": each.shard,
        "position": each.counted,
        "log_end": each.log_end,
        "waiting": each.waiting,
        "recorded_through": _shown(each.through(found.moment) or None),
    }


def tell(statement: Statement, *, as_json: bool) -> None:
    """Under the answer; in JSON it is in the answer, and people are told of what is missing."""
    for sentence in statement.sentences():
        if not as_json:
            print(sentence)
        elif not statement.complete:
            say(sentence)


async def of_ledger(
    settings: "Settings",
    journal: "PostgresJournal",
    asked: Asked,
    read: Callable[[], "BalanceSnapshot"],
) -> tuple["BalanceSnapshot", Statement]:
    """What `read` finds in the general ledger, and how complete it is. Waits for what is due."""
    ends, why = await _ends(settings, asked)
    if ends is not None:
        await _until_level(settings, asked, ends, lambda: asyncio.to_thread(journal.watermarks))
    books = await asyncio.to_thread(read)
    return books, Statement(await _completeness(settings, asked, ends, books.watermarks), why)


async def of_stream(
    settings: "Settings", read: Callable[[], Awaitable[list[dict[str, Any]]]]
) -> tuple[list[dict[str, Any]], Statement]:
    """The same of the live balances: what is counted is what is compared and published."""
    from ledger.audit.reading import Sources
    from ledger.client.shards import as_founded
    from ledger.gl.postgresql import PostgresJournal

    asked = Asked()
    ends, why = await _ends(settings, asked)
    if ends is None:
        return await read(), Statement(await _completeness(settings, asked, None, {}), why)
    settings = await as_founded(settings)
    sources = Sources.of(settings, PostgresJournal(settings.database_url))
    marks: Marks = {}
    try:
        async with asyncio.timeout(3 * PATIENCE):
            marks = await _until_level(settings, asked, ends, lambda: _compared(sources))
            why = await _until_published(sources)
    except (LedgerError, TimeoutError) as error:
        why = [str(error) or "Kafka takes longer than usual to answer."]
    finally:
        await sources.close()
    rows = await read()
    return rows, Statement(await _completeness(settings, asked, ends, marks), why)


async def _ends(settings: "Settings", asked: Asked) -> "tuple[Ends | None, list[str]]":
    """Where the log ends, or why that is not known; for a time just past, once clocks agree."""
    from ledger.client.ends import CLOCKS, ends

    since = time.time_ns() // 1_000 - (asked.as_of or 0)
    if asked.by == "recorded" and 0 <= since < CLOCKS:
        await asyncio.sleep((CLOCKS - since) / 1e6)
    try:
        return await ends(settings), []
    except LedgerError as error:
        return None, [str(error)]


async def _until_level(
    settings: "Settings", asked: Asked, ends: "Ends", look: Callable[[], Awaitable[Marks]]
) -> Marks:
    """How far each shard is, once it is as far as the log was, or does not get there soon."""
    until = time.monotonic() + PATIENCE
    marks = await look()
    found = await _completeness(settings, asked, ends, marks)
    due = {each.shard: ends.by_shard[each.shard] for each in found.missing if not each.cut}
    while time.monotonic() < until and any(
        shard not in marks or marks[shard].end < end for shard, end in due.items()
    ):
        await asyncio.sleep(POLL_SECONDS)
        marks = await look()
    return marks


async def _completeness(
    settings: "Settings", asked: Asked, ends: "Ends | None", marks: Marks
) -> Completeness:
    from ledger.client.ends import completeness_of

    return await completeness_of(settings, asked, ends, marks)


async def _compared(sources: "Sources") -> Marks:
    return dict(enumerate(await sources.progress()))


async def _until_published(sources: "Sources") -> list[str]:
    """Wait until every stripe is in a published balance; a sentence where some is not soon."""
    ends = await sources.stripes_ends()
    until = time.monotonic() + PATIENCE
    while True:
        summed = await sources.summed()
        behind = [each for each, end in ends.items() if summed.get(each, 0) < end]
        if not behind:
            return []
        if time.monotonic() > until:
            some = ", ".join(map(str, behind))
            return [f"the published balances are behind in partitions {some} of the stripes topic."]
        await asyncio.sleep(POLL_SECONDS)

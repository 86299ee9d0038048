"""Answers about the past: from history where it has got far enough, else from the journal."""

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ledger.cli.completeness import (
    CompletenessReport,
    Snapshot,
    log_ends,
    of_ledger,
    until_level,
)
from ledger.domain.completeness import Asked

if TYPE_CHECKING:
    from ledger.client.ends import LogEnds
    from ledger.domain.run import Watermark
    from ledger.gl.history.books import History
    from ledger.gl.journal import Journal
    from ledger.settings import Settings

FROM_HISTORY = ("history", "Read from history.")

S = TypeVar("S", bound=Snapshot)


async def of_books(
    settings: "Settings",
    journal: "Journal",
    asked: Asked,
    read: Callable[[], S],
    from_history: "Callable[[History], S | None]",
) -> tuple[S, CompletenessReport]:
    """The result of `from_history` if history counts as much as the journal, else of `read`.

    And its completeness. `from_history` returns None for what only the journal can answer. Waits
    as `of_ledger` does.
    """
    import asyncio

    from ledger.client.ends import completeness_of
    from ledger.gl.databases import history_address, open_history

    ends, why = await log_ends(settings, asked)
    with closing(open_history(history_address(settings))) as history:
        reason = await _behind(settings, journal, history, asked, ends)
        found = None if reason else await asyncio.to_thread(from_history, history)
    if found is not None:
        counted = await completeness_of(settings, asked, ends, found.watermarks)
        return found, CompletenessReport(counted, why, FROM_HISTORY)
    sentence = f"Added up from the journal's entries: {reason or 'history has no such answer.'}"
    return await of_ledger(settings, journal, asked, read, read_from=("journal", sentence))


async def _behind(
    settings: "Settings",
    journal: "Journal",
    history: "History",
    asked: Asked,
    ends: "LogEnds | None",
) -> str | None:
    """Why history does not count what it must; None if it counts that, or all that is posted."""
    import asyncio

    from ledger.domain.run import Watermark

    marks = await asyncio.to_thread(_positions, history)
    if not marks:
        return "there is no history in this database."
    if ends is not None:
        look = partial(asyncio.to_thread, history.positions)
        marks = await until_level(settings, asked, ends, look)
    posted = await asyncio.to_thread(journal.watermarks)
    for shard, mark in posted.items():
        has = marks.get(shard, Watermark())
        if has.end < mark.end and not _has_passed(asked, has):
            return f"history has shard {shard} up to position {has.end} of {mark.end}."
    return None


def _has_passed(asked: Asked, mark: "Watermark") -> bool:
    """Whether everything that was recorded before the time asked about is counted."""
    return asked.by == "recorded" and asked.as_of is not None and asked.as_of <= mark.recorded_until


def _positions(history: "History") -> "Mapping[int, Watermark]":
    """Nothing where the tables are missing or may not be read."""
    from ledger.gl.journal import JournalUnavailable

    try:
        return history.positions()
    except JournalUnavailable:
        return {}

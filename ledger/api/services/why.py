"""Why an account has its balance: the figure taken apart, and how each part of it was checked."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.api.database import Database
from ledger.api.services.past_answers import PastAnswers, times_of
from ledger.api.services.redaction import is_redacted, shown_why
from ledger.api.services.wanted import Moment, Wanted
from ledger.client.pending import ShardProgress, progress_of
from ledger.client.why_rows import Checks, figure_row
from ledger.domain.access import Permission
from ledger.domain.run import Watermark
from ledger.errors import LedgerError
from ledger.gl.books import Books
from ledger.gl.history.why import Why, WhyQuery
from ledger.settings import Settings

READERS = 4
"""Answers that read the newest runs at once; each has a connection to Kafka of its own."""
READ_SECONDS = 10.0
"""For what is compared and pending, with the time that it waits for others."""


@dataclass(frozen=True, slots=True)
class WhyAsked:
    """Which figures, in one currency or all; at most `lines` one by one."""

    account: str
    currency: str | None
    lines: int


class WhyService:
    """Takes figures apart; raises Problem as `PastAnswers` does."""

    def __init__(self, settings: Settings, answers: PastAnswers, database: Database[Books]) -> None:
        self._settings, self._answers, self._database = settings, answers, database
        self._turn = asyncio.Semaphore(READERS)

    async def why(self, asked: WhyAsked, wanted: Wanted) -> dict[str, Any]:
        """{"account", "figures", ...}; `not_read`: sentences about what could not be read."""
        query = WhyQuery(
            asked.account, asked.currency, **(wanted.moment or Moment())._asdict(), most=asked.lines
        )
        found = await self._answers.ask(wanted, lambda history: history.why(query))
        posted = await self._database.ask(lambda books: (books.watermarks(), books.posted_at()))
        progress, not_read = await self._progress(asked.account, found.positions)
        checks = Checks(found.positions, *posted, progress)
        figures = await asyncio.to_thread(
            lambda: [_figure(each, checks, wanted.permission) for each in found.found]
        )
        return {
            "account": asked.account,
            "figures": figures,
            "not_read": not_read,
        } | times_of(wanted.moment) | self._answers.counted(found)  # fmt: skip

    async def _progress(
        self, account: str, counted: Mapping[int, Watermark]
    ) -> tuple[Mapping[int, ShardProgress], list[str]]:
        try:
            async with asyncio.timeout(READ_SECONDS), self._turn:
                found = await progress_of(self._settings, account, counted)
        except TimeoutError:
            why = f"Kafka did not answer within {READ_SECONDS:.0f} s."
            return {}, [f"what is compared and pending: {why}"]
        except LedgerError as error:
            return {}, [f"what is compared and pending: {error}"]
        return found, [
            f"what is pending in shard {shard} beyond position {each.decided_to}: that is much."
            for shard, each in found.items()
            if not each.is_whole
        ]


def _figure(why: Why, checks: Checks, permission: Permission) -> dict[str, Any]:
    row = figure_row(shown_why(why, permission), checks)
    for shown, line in zip(row["lines"], why.lines, strict=True):
        shown["redacted"] = is_redacted(line, permission)
    return row

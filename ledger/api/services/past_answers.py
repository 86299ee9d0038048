"""Asking history: answers that count what a read wants, and say what they count."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from ledger.api.database import Database
from ledger.api.services.after import After, not_yet
from ledger.api.services.balance_json import Completeness
from ledger.api.services.wanted import Moment, Wanted
from ledger.client.drafts import rfc3339
from ledger.domain.run import Watermark
from ledger.gl.history.books import History

LOOK_SECONDS = 0.1
"""How often history is asked again where an answer must include more than it has."""


class Counted(Protocol):
    """An answer of history."""

    @property
    def positions(self) -> Mapping[int, Watermark]:
        """By shard, how far it counts."""


C = TypeVar("C", bound=Counted)


class PastAnswers:
    """Asks history; it counts what is reconciled and folded.

    Raises Problem where the database does not answer, and NOT_YET where history has not what
    `after` names.
    """

    def __init__(
        self, history: Database[History], completeness: Completeness, after: After
    ) -> None:
        self._history, self._completeness, self._after = history, completeness, after

    async def ask(self, wanted: Wanted, question: Callable[[History], C]) -> C:
        """The answer, once it includes what `after` names."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wanted.wait_seconds
        positions = await self._after.positions(wanted, until)

        def include(ends: Mapping[int, int]) -> bool:
            return all(ends.get(shard, 0) > offset for shard, offset in positions.items())

        while True:
            # First, how far history is: the question may cost much more than that.
            ends = _ends(await self._history.ask(_positions)) if positions else {}
            if include(ends):
                found = await self._history.ask(question)
                ends = _ends(found.positions)
                # It may have been emptied, to be folded again, in between.
                if include(ends):
                    return found
            if loop.time() >= until:
                raise not_yet(ends, positions, "History does not include it yet")
            # A database tells nobody when it has more.
            await asyncio.sleep(LOOK_SECONDS)

    def counted(self, found: Counted) -> dict[str, Any]:
        """The members of an answer that say what it counts."""
        ends = _ends(found.positions)
        shown = tuple(ends.get(shard, 0) for shard in range(max(ends, default=-1) + 1))
        return {
            "token": self._completeness.token(shown),
            "complete_to": {str(shard): end for shard, end in enumerate(shown)},
        }


def times_of(moment: Moment | None) -> dict[str, str | None]:
    """The two times that an answer is of: RFC 3339, or null."""
    return {name: None if time is None else rfc3339(time)
            for name, time in (moment or Moment())._asdict().items()}  # fmt: skip


def _positions(history: History) -> Mapping[int, Watermark]:
    return history.positions()


def _ends(positions: Mapping[int, Watermark]) -> dict[int, int]:
    return {shard: mark.end for shard, mark in positions.items()}

"""Pages of refused records, with their transactions where those can be read."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ledger.api.cursors import Cursors
from ledger.api.positions import Position, token_of
from ledger.api.problems import Problem
from ledger.api.services.past_answers import PastAnswers
from ledger.api.services.wanted import Wanted
from ledger.api.signing import Signer
from ledger.client.drafts import rfc3339
from ledger.client.logged_transactions import LoggedTransactions, LogPlace
from ledger.client.reject_pages import Place, RejectPages, shown_row
from ledger.client.rejects import PRODUCER, Selection, line_of
from ledger.domain.transaction import Draft
from ledger.gl.history.books import HistoryRefusal, RefusalsPage, RefusalsQuery

READERS = 4
"""Pages that are read at once; each has a connection to Kafka of its own."""
MOST_OF_HISTORY = 200
"""Rows of a page from history: each may lie elsewhere in the log."""
PRODUCER_CHARACTERS = 128
"""Of a producer's name, those that history keeps."""


@dataclass(frozen=True, slots=True)
class RejectsQuery:
    """A page of refusals; `order` None: the newest first where there is history."""

    selection: Selection
    order: Literal["asc", "desc"] | None
    cursor: str | None
    limit: int


class RejectsService:
    """Reads history for the newest first, and the topic of refusals for the oldest first.

    `past` None: there is no history. `log`: where the transactions of what history has are.
    """

    def __init__(
        self,
        topic: RejectPages,
        log: LoggedTransactions,
        past: PastAnswers | None,
        *,
        cursors: Cursors,
        signer: Signer,
    ) -> None:
        self._topic, self._log, self._past = topic, log, past
        self._cursors, self._signer = cursors, signer
        self._turn = asyncio.Semaphore(READERS)

    async def page(self, asked: RejectsQuery, wanted: Wanted) -> dict[str, Any]:
        """{"rejects", "next", "order", "token", "complete_to"}; the last two null from the topic.

        Raises Problem for a cursor of another query and for what needs history where there is none,
        as `PastAnswers` where it answers; LedgerError where Kafka cannot be read.
        """
        if asked.order == "asc" or (asked.order is None and self._past is None):
            if wanted.after is not None:
                raise Problem(
                    "INVALID_PARAMETER",
                    "after: a list of the oldest first, which is read from the topic of refusals, "
                    "does not wait. Its last page has what was refused by now.",
                    field="after",
                )
            return await self._oldest(asked)
        if self._past is None:
            raise Problem(
                "INVALID_PARAMETER",
                "This ledger keeps no history (setting history), so that refusals are listed the "
                "oldest first alone: leave `order` out.",
                field="order",
            )
        return await self._newest(self._past, asked, wanted)

    async def _newest(
        self, past: PastAnswers, asked: RejectsQuery, wanted: Wanted
    ) -> dict[str, Any]:
        key, chosen = _key(asked, "desc"), asked.selection
        query = RefusalsQuery(
            transaction_id=_one(chosen.ids), code=_one(chosen.codes),
            producer=_cut(_one(chosen.producers)), recorded_from=chosen.start,
            recorded_before=chosen.end, limit=min(asked.limit, MOST_OF_HISTORY),
            after=None if asked.cursor is None else _key_in(self._cursors.read(key, asked.cursor)),
        )  # fmt: skip
        found: RefusalsPage = await past.ask(wanted, lambda history: history.refusals(query))
        async with self._turn:
            drafts = await self._log.at(map(_place_of, found.refusals))
        rows = [(each, drafts.get(_place_of(each))) for each in found.refusals]
        following = None if found.next is None else self._cursors.write(key, list(found.next))
        return {
            "rejects": [
                self._shown(_row(each), each.recorded_at, draft, each.producer)
                for each, draft in rows
                if _is_chosen(chosen, draft)
            ],
            "next": following,
            "order": "desc",
        } | past.counted(found)

    async def _oldest(self, asked: RejectsQuery) -> dict[str, Any]:
        key, places = _key(asked, "asc"), None
        if asked.cursor is not None:
            numbers = [int(str(each)) for each in self._cursors.read(key, asked.cursor)]
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            places = {shard: Place(*pair) for shard, pair in enumerate(pairs)}
        async with self._turn:
            found = await self._topic.page(asked.selection, places, asked.limit)
        following = None
        if found.next is not None:
            flat = [number for shard in sorted(found.next) for number in found.next[shard]]
            following = self._cursors.write(key, flat)
        rows = [
            self._shown(shown_row(each), each.row["recorded_at"], each.draft) for each in found.rows
        ]
        return {"rejects": rows, "next": following, "order": "asc",
                "token": None, "complete_to": None}  # fmt: skip

    def _shown(
        self, row: Mapping[str, Any], recorded_at: int, draft: Draft | None, producer: str = ""
    ) -> dict[str, Any]:
        """`producer`: as history has it, for a record that is no longer in the log."""
        named = producer or None if draft is None else draft["metadata"].get(PRODUCER)
        return {
            **row,
            "token": token_of(self._signer, [Position(row["shard"], row["offset"])]),
            "recorded_at": rfc3339(recorded_at),
            "producer": named,
            "transaction": None if draft is None else line_of(draft),
        }


def _is_chosen(selection: Selection, draft: Draft | None) -> bool:
    """Whether a row that history has chosen is one by its transaction too."""
    # Of a record that was deleted history knows the producer, and no account.
    return not selection.accounts if draft is None else selection.has_content(draft)


def _row(found: HistoryRefusal) -> dict[str, Any]:
    return {
        "shard": found.shard,
        "offset": found.offset,
        "transaction_id": found.transaction_id or None,
        "code": found.code,
        "field": found.field,
        "reason": found.reason,
    }


def _place_of(found: HistoryRefusal) -> LogPlace:
    return LogPlace(found.shard, found.offset)


def _key(asked: RejectsQuery, order: str) -> dict[str, Any]:
    """What a cursor is good for."""
    return {"list": "rejects", "order": order, "selection": asked.selection}


def _key_in(numbers: Sequence[Any]) -> tuple[int, int, int]:
    recorded_at, shard, offset = map(int, numbers)
    return recorded_at, shard, offset


def _one(names: frozenset[str]) -> str | None:
    return next(iter(names), None)


def _cut(producer: str | None) -> str | None:
    return None if producer is None else producer[:PRODUCER_CHARACTERS]

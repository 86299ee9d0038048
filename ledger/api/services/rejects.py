"""Pages of refused records, with their transactions where those can be read."""

import asyncio
from typing import Any

from ledger.api.cursors import Cursors
from ledger.api.positions import Position, token_of
from ledger.api.signing import Signer
from ledger.client.drafts import rfc3339
from ledger.client.reject_pages import Place, RejectPages, shown_row
from ledger.client.rejects import PRODUCER, Rejected, Selection, line_of
from ledger.settings import Settings

READERS = 4
"""Pages that are read at once; each has a connection to Kafka of its own."""


class RejectsService:
    """Reads the topic for each page."""

    def __init__(self, settings: Settings, cursors: Cursors, signer: Signer) -> None:
        self._pages, self._cursors, self._signer = RejectPages(settings), cursors, signer
        self._turn = asyncio.Semaphore(READERS)

    async def page(
        self, wanted: Selection, query: dict[str, Any], cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """{"rejects", "next"}, the oldest first; `query` is what a cursor is good for.

        Raises Problem for a cursor of another query, LedgerError where Kafka cannot be read.
        """
        places = None
        if cursor is not None:
            numbers = [int(str(each)) for each in self._cursors.read(query, cursor)]
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            places = {shard: Place(*pair) for shard, pair in enumerate(pairs)}
        async with self._turn:
            found = await self._pages.page(wanted, places, limit)
        following = None
        if found.next is not None:
            flat = [number for shard in sorted(found.next) for number in found.next[shard]]
            following = self._cursors.write(query, flat)
        return {"rejects": [self._shown(each) for each in found.rows], "next": following}

    def _shown(self, found: Rejected) -> dict[str, Any]:
        row, draft = found
        return {
            **shown_row(found),
            "token": token_of(self._signer, [Position(row["shard"], row["offset"])]),
            "recorded_at": rfc3339(row["recorded_at"]),
            "producer": None if draft is None else draft["metadata"].get(PRODUCER),
            "transaction": None if draft is None else line_of(draft),
        }

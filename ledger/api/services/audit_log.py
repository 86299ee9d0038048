"""What was changed through the API: pages of the audit log."""

import asyncio
from typing import Any

from ledger.api.cursors import Cursors
from ledger.client.audit_reader import AuditReader, AuditSelection
from ledger.errors import Unavailable
from ledger.settings import Settings

READERS = 4
"""Pages that are read at once; each has a connection to Kafka of its own."""
PAGE_SECONDS = 10.0
"""For a page, with the time that it waits for others."""


class AuditLogService:
    """Reads the topic for each page: nobody reads it often, and it may be long."""

    def __init__(self, settings: Settings, cursors: Cursors) -> None:
        self._reader, self._cursors = AuditReader(settings), cursors
        self._turn = asyncio.Semaphore(READERS)

    async def page(
        self, wanted: AuditSelection, query: dict[str, Any], cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """{"records", "next"} in the order of the log; `query` is what a cursor is good for.

        Raises Problem for a cursor of another query, LedgerError where Kafka cannot be read.
        """
        start = None if cursor is None else int(self._cursors.read(query, cursor)[0])
        try:
            async with asyncio.timeout(PAGE_SECONDS), self._turn:
                found = await self._reader.page(wanted, start, limit)
        except TimeoutError as error:
            raise Unavailable(
                f"Kafka did not give a page of the audit log within {PAGE_SECONDS:.0f} s."
            ) from error
        following = None if found.next is None else self._cursors.write(query, [found.next])
        return {"records": found.rows, "next": following}

"""The audit log, read: all of it, or a page of it from an offset on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from ledger.client.drafts import rfc3339
from ledger.client.records import Records
from ledger.settings import Settings
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics

SCHEMA = "AuditRecord"
HOUR = 3_600_000_000
"""By which the broker's clock may have been set back: times rise but for that."""
READ_AT_ONCE = 20_000
"""Records that are read for one page, whatever is asked for; a page may have fewer rows for it."""


@dataclass(frozen=True, slots=True)
class AuditSelection:
    """A choice of records; times in microseconds, half-open. Empty or None selects all.

    `target`: those whose targets include it.
    """

    start: int | None = None
    end: int | None = None
    who: str | None = None
    action: str | None = None
    target: str | None = None

    def has(self, row: dict[str, Any], at: int) -> bool:
        """Whether it selects an AuditRecord row that was recorded at `at`."""
        return (
            (self.start is None or at >= self.start)
            and (self.end is None or at < self.end)
            and (self.who is None or row["who"] == self.who)
            and (self.action is None or row["action"] == self.action)
            and (self.target is None or self.target in row["targets"])
        )

    def ends_before(self, at: int) -> bool:
        """Whether nothing that it selects comes after a record of this time."""
        return self.end is not None and at >= self.end + HOUR


class AuditPage(NamedTuple):
    """Rows in the order of the log, and the offset to go on from; None at the log's end."""

    rows: list[dict[str, Any]]
    next: int | None


class AuditReader:
    """Reads the audit log of a ledger. Every method raises LedgerError as `Reader` does."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._partition = TopicPartition(topics(settings).audit_log.name, 0)
        self._records: Records | None = None

    async def read(self, wanted: AuditSelection) -> AsyncIterator[dict[str, Any]]:
        """The rows selected of everything that is in the log now."""
        async with self._opened(wanted, None) as (reader, start, end):
            async for row in self._rows(reader, start, end):
                if wanted.ends_before(row["at"]):
                    return
                if wanted.has(row, row["at"]):
                    yield shown(row)

    async def page(self, wanted: AuditSelection, start: int | None, limit: int) -> AuditPage:
        """At most `limit` rows from the offset `start` on; of at most READ_AT_ONCE records."""
        rows: list[dict[str, Any]] = []
        async with self._opened(wanted, start) as (reader, first, end):
            until = min(first + READ_AT_ONCE, end)
            async for row in self._rows(reader, first, until):
                if wanted.ends_before(row["at"]):
                    return AuditPage(rows, None)
                if wanted.has(row, row["at"]):
                    rows.append(shown(row))
                if len(rows) == limit:
                    return AuditPage(rows, row["offset"] + 1 if row["offset"] + 1 < end else None)
            return AuditPage(rows, until if until < end else None)

    async def _rows(self, reader: Reader, start: int, end: int) -> AsyncIterator[dict[str, Any]]:
        assert self._records is not None, "it was opened"
        starts, ends = {self._partition: start}, {self._partition: end}
        async for fetched in reader.between(starts, ends):
            for record, row in await self._records.decode(SCHEMA, fetched):
                yield {**row, "at": record.timestamp * 1_000, "offset": record.offset}

    @asynccontextmanager
    async def _opened(
        self, wanted: AuditSelection, start: int | None
    ) -> AsyncIterator[tuple[Reader, int, int]]:
        """A reader, the first offset to read and the end.

        Without `start` it is the first one that was recorded at the selection's start.
        """
        if self._records is None:
            self._records = await Records.of(self._settings, SCHEMA)
        async with Reader(self._settings) as reader:
            first, end = (await reader.bounds([self._partition]))[self._partition]
            if start is None and wanted.start is not None:
                # Kafka counts in milliseconds: no record of that one may be left out.
                start = await reader.offset_at(self._partition, wanted.start // 1_000)
            yield reader, min(max(start or 0, first), end), end


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row for JSON."""
    names = ("offset", "request", "who", "action", "targets", "source", "outcome", "detail")
    return {"at": rfc3339(row["at"]), **{name: row[name] for name in names}}

"""The topic of statements: read into a `Book`, and appended to."""

import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack

from aiokafka import ConsumerRecord

from ledger.client.records import Records
from ledger.client.resource import AsyncResource
from ledger.domain.portions import portions
from ledger.domain.reference import Reference
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.statements.book import LINES, Book
from ledger.statements.importing import Plan, Planned
from ledger.statements.mapping import parse_mapping
from ledger.statements.model import Statement
from ledger.statements.records import (
    MAX_SIZE,
    SCHEMA,
    Head,
    Row,
    SavedMapping,
    account_key,
    digest_of,
    head_key,
    head_row,
    lines_key,
    lines_row,
    link_row,
    mapping_key,
    mapping_row,
    with_lines,
)
from ledger.streaming.log import Log, log_dropped
from ledger.streaming.reference_follower import ReferenceReader
from ledger.streaming.topics import topics

BATCH_BYTES = 4 * MAX_SIZE
"""Of the records that are appended at once."""

log = logging.getLogger(__name__)
Record = tuple[bytes, bytes]


class Statements(AsyncResource):
    """The statements of a ledger; `book` has what the topic had when it was last read.

    An async context manager. Entering and calls raise LedgerError when Kafka or the registry cannot
    be used.
    """

    def __init__(self, settings: Settings, by: str) -> None:
        """`by`: who imports, for the records."""
        self.book, self.by = Book(), by
        self._settings = settings
        self._names = topics(settings)
        self._topic = self._names.statements.name
        self._log = Log(settings)
        self._offset = 0

    async def _enter(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._log.close)
        self._records = await Records.of(self._settings, SCHEMA, "Reference")
        self._codec = self._records.codec
        await self.read_on()

    async def read_on(self) -> None:
        """Read what the topic has by now."""
        first, end = await self._log.bounds(self._topic, 0)
        if first > 0 or self._offset > end:
            raise LedgerError(
                f"{self._topic} holds offsets {first} to {end}, and statements are kept for ever: "
                "it was cut or made anew. See docs/runbooks/topic-lost.md."
            )
        async for records in self._log.read(self._topic, 0, self._offset, end):
            for record in records:
                await self._take(record)
        self._offset = end

    async def _take(self, record: ConsumerRecord) -> None:
        try:
            if (record.key or b"").startswith(LINES):
                self.book.note_lines(record.key, record.offset)
                return
            for _, row in await self._records.decode(SCHEMA, [record]):
                self.book.take(row, record.timestamp * 1_000)
        except ValueError as error:
            log_dropped(record, error)

    async def reference(self) -> Reference:
        """The reference data as they are now."""
        known, topic = Reference(), self._names.reference.name
        known.offset, _ = await self._log.bounds(topic, 0)
        await ReferenceReader(self._log, self._codec, topic, known).read_on()
        return known

    async def append(self, plan: Plan) -> list[Planned]:
        """Append what a plan has to append.

        Returns what of it does not count, because another import came first.
        """
        self.require_open()
        fresh = [each for each in plan.statements if each.verdict != "unchanged"]
        if not fresh and not plan.links:
            return []
        await self._append(self._records_of(plan, fresh))
        await self.read_on()
        return [each for each in fresh if not self._counts(each)]

    def _counts(self, planned: Planned) -> bool:
        present = self.book.present(planned.statement.id)
        return present is not None and present.digest == planned.head.digest

    def _records_of(self, plan: Plan, fresh: list[Planned]) -> Iterator[Record]:
        by = self.by
        for identification, link in plan.links.items():
            yield self._record(account_key(identification), link_row(identification, link, by))
        for each in fresh:
            digest = each.head.digest
            for number, part in enumerate(each.parts):
                yield self._record(lines_key(digest, number), lines_row(digest, by, part))
            yield self._record(head_key(each.statement.id), head_row(each.head))

    def _record(self, key: bytes, row: Row) -> Record:
        return key, self._codec.encode(SCHEMA, row)

    async def _append(self, records: Iterator[Record]) -> None:
        # A statement counts with its own record, which comes after its lines: what is cut short
        # by a crash counts for nothing, and the next import appends it again.
        for batch in portions(records, size=BATCH_BYTES, weight=lambda each: len(each[1])):
            await self._log.append(self._topic, 0, batch)

    async def whole(self, head: Head) -> Statement:
        """A statement with its lines. Raises LedgerError where they are not those of its digest."""
        offsets = self.book.parts_of(head)
        assert offsets is not None, "it counts only with all its lines"
        rows = {}
        if offsets:
            wanted, end = set(offsets), max(offsets) + 1
            async for records in self._log.read(self._topic, 0, min(offsets), end):
                some = [each for each in records if each.offset in wanted]
                for record, row in await self._records.decode(SCHEMA, some):
                    rows[record.offset] = row
        found = with_lines(head.statement, (rows[each] for each in offsets if each in rows))
        if digest_of(found) != head.digest:
            raise LedgerError(
                f"The lines of {found.id} in {self._topic} are not those that were imported: "
                "somebody else wrote to the topic. Import the file again after the rights are "
                "mended (docs/security.md)."
            )
        return found

    async def save_mapping(self, name: str, text: str) -> SavedMapping:
        """Save a mapping as the next version of its name; the same text changes nothing.

        Raises Unproven for a text that is none, LedgerError where another change came first.
        """
        parse_mapping(text)
        versions = self.book.mappings.get(name, [])
        if versions and versions[-1].text == text:
            return versions[-1]
        saved = SavedMapping(name, len(versions) + 1, text)
        row = mapping_row(saved, self.by)
        await self._append(iter([self._record(mapping_key(name), row)]))
        await self.read_on()
        if saved not in self.book.mappings.get(name, []):
            raise LedgerError(f"Mapping {name} was changed at the same time; try again.")
        return saved

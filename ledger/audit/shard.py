"""Reads one shard for its checks: first the statements about it, then log, decisions, journal."""

import asyncio
from contextlib import aclosing

from ledger.audit.chain import ChainedRun
from ledger.audit.check import JournalRows, ShardCheck
from ledger.audit.findings import Findings
from ledger.audit.fold import Sums
from ledger.audit.ids import Ids
from ledger.audit.journal import OrderedRows
from ledger.audit.reading import (
    LogDecoder,
    OnProgress,
    OrderedRecords,
    PublicTopics,
    ReferenceReading,
    Sources,
)
from ledger.audit.refusals import RefusalCheck
from ledger.audit.stated import Changelog
from ledger.audit.verdicts import Verdicts
from ledger.domain.run import Watermark
from ledger.gl.books import LOWEST_OFFSET
from ledger.gl.history.books import History


class ShardAudit:
    """From the shard's first record to the end of its decisions."""

    def __init__(
        self,
        sources: Sources,
        decoder: LogDecoder,
        reference: ReferenceReading,
        shard: int,
        ids: Ids,
        findings: Findings,
        history: History,
    ) -> None:
        self._sources, self._decoder, self._shard = sources, decoder, shard
        largest = sources.settings.max_transaction_bytes
        self._refusals = RefusalCheck(shard, history, largest, findings)
        self._reference = reference
        partitions = sources.names.transactions.partitions
        journal = sources.books
        # In this order: `voids` has those of everything posted, and the decisions, which are read
        # after them, have every void that the journal has.
        self._posted, self._totals = journal.snapshot(shard, LOWEST_OFFSET)
        voids = journal.voids(shard)
        void = {each.offset for each in voids}
        self._verdicts = Verdicts(shard, reference.records, partitions, ids, findings, void)
        self._check = ShardCheck(shard, ids, findings, self._verdicts, voids)
        self._runs = OrderedRows(journal.runs(shard), lambda run: run.decisions_offset)
        self._transactions = OrderedRows(
            journal.transactions(shard, LOWEST_OFFSET), lambda each: each.offset
        )

    @property
    def end(self) -> int:
        """The position reached."""
        return self._check.end

    async def run(self, compared: Watermark, public: PublicTopics, progress: OnProgress) -> Sums:
        """Check everything; returns the shard's totals by its decisions."""
        # The statements are read first: then the decisions reach at least as far.
        shard, check = self._shard, self._check
        parts = {
            stripe: account.parts[shard]
            for stripe, account in public.accounts.items()
            if shard in account.parts
        }
        check.state_stripes(compared, parts)
        check.state_table(await self._changelog())
        check.state_database(self._posted, self._totals)
        check.begin()
        # Read before the decisions: then they reach at least as far.
        await self._refusals.begin()
        written = await self._follow(progress)
        await self._refusals.finish()
        sums = check.finish(written)
        self._check_beyond()
        return sums

    async def _changelog(self) -> Changelog:
        changelog = Changelog()
        topic = self._sources.names.stripes_changelog.name
        async for records in self._sources.log.read(topic, self._shard, 0):
            for record in records:
                changelog.take(record.key, record.value)
        return changelog

    async def _follow(self, progress: OnProgress) -> int:
        """Read decisions, log and journal side by side; returns the end of the log."""
        names, log = self._sources.names, self._sources.log
        _, decided = await log.bounds(names.decisions.name, self._shard)
        _, written = await log.bounds(names.transactions.name, self._shard)
        # Read after that: then it reaches as far as the positions that the decisions name.
        await self._reference.read()
        decisions = log.read(names.decisions.name, self._shard, 0, decided)
        lists = log.read(names.transactions.name, self._shard, 0, written)
        async with aclosing(decisions), aclosing(lists):  # type: ignore[type-var]
            records = OrderedRecords(lists)
            async for fetched in decisions:
                for record, row in self._sources.rows(names.decisions, fetched):
                    chained = row and self._check.follow(record.offset, row)
                    if chained is not None:
                        await self._take(chained, records)
                        progress(self.end)
        return written

    async def _take(self, chained: ChainedRun, records: OrderedRecords) -> None:
        found = await records.below(chained.head.end)
        refused = {each.offset for each in chained.refused}
        decoded = await self._decoder.of(found, refused, self._verdicts.largest)
        posted = None
        if chained.head.decisions_offset < self._posted.decisions_offset:
            # In a thread, so that fetching goes on meanwhile.
            posted = await asyncio.to_thread(self._rows, chained)
        self._check.take(chained, decoded, posted)
        await self._refusals.take(chained, decoded)

    def _rows(self, chained: ChainedRun) -> JournalRows:
        head = chained.head
        return self._runs.below(head.decisions_offset + 1), self._transactions.below(head.end)

    def _check_beyond(self) -> None:
        """Rows after the shard's watermark must be before the watermark that is read after them."""
        journal, check, posted = self._sources.books, self._check.journal, self._posted
        transaction = next(iter(journal.transactions(self._shard, posted.end)), None)
        run = next(iter(journal.runs(self._shard, posted.decisions_offset)), None)
        now = journal.watermark(self._shard)
        if transaction is not None and transaction.offset >= now.end:
            check.unknown(transaction)
        if run is not None and run.decisions_offset >= now.decisions_offset:
            check.unknown_run(run)

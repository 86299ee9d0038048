"""One shard, read for its checks: first what is stated about it, then what it was made from."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from ledger.audit.chain import Settled
from ledger.audit.check import Posted, ShardCheck
from ledger.audit.findings import Findings
from ledger.audit.fold import Sums
from ledger.audit.ids import Ids
from ledger.audit.journal import Portions
from ledger.audit.reading import Originals, Public, Records, ReferenceData, Sources
from ledger.audit.stated import Changelog
from ledger.audit.verdicts import Verdicts
from ledger.domain.run import Watermark

LOWEST = -(2**62)
Tell = Callable[[int], None]


class ShardAudit:
    """From its first record to what is decided of it today."""

    def __init__(
        self,
        sources: Sources,
        originals: Originals,
        reference: ReferenceData,
        shard: int,
        ids: Ids,
        findings: Findings,
    ) -> None:
        self._sources, self._originals, self._shard = sources, originals, shard
        self._reference = reference
        partitions = sources.names.transactions.partitions
        journal = sources.journal
        # In this order: what is posted has its voids then, and the decisions, which are read after
        # it, have whatever the journal knows as void.
        self._posted, self._totals = journal.snapshot(shard, LOWEST)
        voids = journal.voids(shard)
        void = {each.offset for each in voids}
        self._verdicts = Verdicts(shard, reference.noted, partitions, ids, findings, void)
        self._check = ShardCheck(shard, ids, findings, self._verdicts, voids)
        self._runs = Portions(journal.runs(shard), lambda run: run.decisions_offset)
        self._transactions = Portions(journal.transactions(shard, LOWEST), lambda each: each.offset)

    @property
    def end(self) -> int:
        """The position reached."""
        return self._check.end

    async def run(self, compared: Watermark, public: Public, tell: Tell) -> Sums:
        """The shard's totals by its decisions, when everything stated about it was checked."""
        # What is stated is read first: then the decisions reach at least that far.
        shard, check = self._shard, self._check
        parts = {
            stripe: holding.parts[shard]
            for stripe, holding in public.holdings.items()
            if shard in holding.parts
        }
        check.state_stripes(compared, parts)
        check.state_table(await self._changelog())
        check.state_database(self._posted, self._totals)
        check.begin()
        written = await self._follow(tell)
        sums = check.finish(written)
        self._check_beyond()
        return sums

    async def _changelog(self) -> Changelog:
        changelog = Changelog()
        topic = self._sources.names.stripes_changelog.name
        lists = self._sources.log.read(topic, self._shard, 0)
        async with aclosing(lists):  # type: ignore[type-var]
            async for records in lists:
                for record in records:
                    changelog.take(record.key, record.value)
        return changelog

    async def _follow(self, tell: Tell) -> int:
        """Read decisions, log and journal side by side; returns where the log ends."""
        names, log = self._sources.names, self._sources.log
        _, decided = await log.bounds(names.decisions.name, self._shard)
        _, written = await log.bounds(names.transactions.name, self._shard)
        # Read after that: then it reaches as far as what the decisions name.
        await self._reference.read()
        decisions = log.read(names.decisions.name, self._shard, 0, decided)
        originals = log.read(names.transactions.name, self._shard, 0, written)
        async with aclosing(decisions), aclosing(originals):  # type: ignore[type-var]
            records = Records(originals)
            async for fetched in decisions:
                for record, row in self._sources.rows(names.decisions, fetched):
                    settled = row and self._check.follow(record.offset, row)
                    if settled is not None:
                        await self._take(settled, records)
                        tell(self.end)
        return written

    async def _take(self, settled: Settled, records: Records) -> None:
        found = await records.below(settled.head.end)
        refused = {each.offset for each in settled.refused}
        originals = await self._originals.of(found, refused, self._verdicts.largest)
        posted = None
        if settled.head.decisions_offset < self._posted.decisions_offset:
            # In a thread, so that fetching goes on meanwhile.
            posted = await asyncio.to_thread(self._rows, settled)
        self._check.take(settled, originals, posted)

    def _rows(self, settled: Settled) -> Posted:
        head = settled.head
        return self._runs.below(head.decisions_offset + 1), self._transactions.below(head.end)

    def _check_beyond(self) -> None:
        """What is after the position was posted since, and the watermark moved with it; or else."""
        journal, check, posted = self._sources.journal, self._check.journal, self._posted
        transaction = next(iter(journal.transactions(self._shard, posted.end)), None)
        run = next(iter(journal.runs(self._shard, posted.decisions_offset)), None)
        now = journal.watermark(self._shard)
        if transaction is not None and transaction.offset >= now.end:
            check.unknown(transaction)
        if run is not None and run.decisions_offset >= now.decisions_offset:
            check.unknown_run(run)

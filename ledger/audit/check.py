"""All checks of one shard; ShardAudit reads what they are given."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ledger.audit.chain import Chain, ChainedRun
from ledger.audit.findings import Break, BreakKind, Findings, Party
from ledger.audit.fold import PositionCheck, ShardFold, StatedPosition, StatedTotals, Sums
from ledger.audit.ids import Ids
from ledger.audit.journal import JournalCheck
from ledger.audit.log_check import LogCheck
from ledger.audit.log_records import LogRecord
from ledger.audit.stated import Changelog, TableRow
from ledger.audit.verdicts import Verdicts
from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.rows import PostedRun, PostedTransaction, PostedVoid

JournalRows = tuple[Sequence[PostedRun], Sequence[PostedTransaction]]
"""The journal's runs since the run before, and its transactions within the run."""


class ShardCheck:
    """First add all statements, then call `begin`, `follow` and `take` for each run, `finish`.

    Without `verdicts` nothing is judged by the rules.
    """

    def __init__(
        self,
        shard: int,
        ids: Ids,
        findings: Findings,
        verdicts: Verdicts | None = None,
        voids: Sequence[PostedVoid] = (),
    ) -> None:
        self._shard, self._findings, self._voids = shard, findings, voids
        self._fold = ShardFold(shard, ids.scales, findings)
        self._chain = Chain(shard, findings)
        void = {each.offset: each for each in voids}
        self._log = LogCheck(shard, ids, findings, verdicts, void.keys())
        self._verdicts = verdicts
        self.journal = JournalCheck(shard, findings, void)
        self.end = 0

    def state_stripes(self, compared: Watermark, rows: Mapping[Stripe, TableRow]) -> None:
        """The position in the progress topic, and the shard's stripes, read after it."""
        is_complete = self._state_rows(Party.STRIPES, rows)
        self._expect(Party.PROGRESS, "what was compared", compared, is_complete)

    def state_table(self, changelog: Changelog) -> None:
        """The stripes table, by its changelog."""
        rows, mark = changelog.rows(), changelog.mark()
        is_complete = self._state_rows(Party.TABLE, rows)
        self._expect(Party.TABLE, "the stripes table", mark.stream, is_complete)
        self._expect(Party.TABLE, "what the stripes table compared", mark.compared, _nothing)
        broken = sum(row.broken for row in rows.values())
        if broken != mark.breaks:
            sentence = f"The table counts {mark.breaks} open breaks; {broken} of its rows are open."
            between = (Party.TABLE, Party.TABLE)
            self._findings.add(Break(BreakKind.DIFFERS, between, self._shard, sentence))

    def state_database(self, posted: Watermark, totals: Mapping[Stripe, Totals]) -> None:
        """The database's watermark and all stripes, in one snapshot."""
        left_out = {
            stripe
            for void in self._voids
            if void.decisions_offset >= posted.decisions_offset
            for stripe in void.taken.stripes()
        }
        self._expect(
            Party.DATABASE, "the database", posted,
            lambda sums: self._fold.exactly(Party.DATABASE, totals, sums, left_out),
        )  # fmt: skip

    def _state_rows(self, party: Party, rows: Mapping[Stripe, TableRow]) -> PositionCheck:
        """Add the rows' totals; returns a check that all rows of a position are among them."""
        live, compared = f"the {party}, live", f"the {party}, compared"
        for stripe, row in rows.items():
            self._fold.state(StatedTotals(party, live, stripe, row.live))
            self._fold.state(StatedTotals(party, compared, stripe, row.posted))
        totals = {stripe: row.live for stripe, row in rows.items()}
        return lambda sums: self._fold.no_older(party, totals, sums)

    def _expect(self, party: Party, what: str, watermark: Watermark, check: PositionCheck) -> None:
        self._fold.expect(StatedPosition(party, what, watermark, check))

    def begin(self) -> None:
        """All statements are added."""
        self._fold.begin()

    def follow(self, decisions_offset: int, run: Mapping[str, Any]) -> ChainedRun | None:
        """The run, if it is in the chain; then call `take` with it."""
        chained = self._chain.take(decisions_offset, run)
        if chained is not None and self._verdicts is not None:
            self._verdicts.begin(chained.head)
        return chained

    def take(
        self, chained: ChainedRun, records: Sequence[LogRecord], posted: JournalRows | None
    ) -> None:
        """The log's records and the journal's rows of the run; None: the run is not posted."""
        self._log.take(chained, records)
        if posted is None:
            self.journal.beyond(chained)
        else:
            self.journal.take(chained, *posted)
        self._fold.take(chained)
        if self._verdicts is not None:
            self._verdicts.end(chained.head)
        self.end = chained.head.end

    def finish(self, written: int) -> Sums:
        """The shard's totals. `written`: where the log ended when the decisions had been read."""
        self._fold.finish()
        self.journal.finish()
        if self.end > written:
            sentence = (
                f"The log ends at {written}, but everything before {self.end} is decided: it was "
                "truncated or recreated."
            )
            between = (Party.LOG, Party.DECISIONS)
            self._findings.add(Break(BreakKind.POSITION, between, self._shard, sentence))
        return self._fold.sums


def _nothing(sums: Sums) -> Iterable[Break]:
    return ()

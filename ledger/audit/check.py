"""All checks of one shard, without reading: fed with what others read."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ledger.audit.chain import Chain, Settled
from ledger.audit.findings import Break, Findings, Kind, Party
from ledger.audit.fold import Check, Position, ShardFold, Statement, Sums
from ledger.audit.ids import Ids
from ledger.audit.journal import JournalCheck
from ledger.audit.original import LogCheck, Original
from ledger.audit.stated import Changelog, TableRow
from ledger.audit.verdicts import Verdicts
from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.journal import PostedRun, PostedTransaction, PostedVoid

Posted = tuple[Sequence[PostedRun], Sequence[PostedTransaction]]
"""The journal's rows of one run."""


class ShardCheck:
    """First everything that is stated, then `begin`, the decisions one by one, `finish`.

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

    def state_stripes(self, compared: Watermark, parts: Mapping[Stripe, TableRow]) -> None:
        """What progress says, and the shard's part of the stripes topic, read after it."""
        for stripe, row in parts.items():
            self._state(Party.STRIPES, "the stripes topic, live", stripe, row.live)
            self._state(Party.STRIPES, "the stripes topic, compared", stripe, row.posted)
        live = {stripe: row.live for stripe, row in parts.items()}
        self._expect(
            Party.PROGRESS, "what was compared", compared,
            lambda sums: self._fold.no_older(Party.STRIPES, live, sums),
        )  # fmt: skip

    def state_table(self, changelog: Changelog) -> None:
        """The stripes table, by its changelog."""
        rows, mark = changelog.rows(), changelog.mark()
        for stripe, row in rows.items():
            self._state(Party.TABLE, "the stripes table, live", stripe, row.live)
            self._state(Party.TABLE, "the stripes table, compared", stripe, row.posted)
        live = {stripe: row.live for stripe, row in rows.items()}
        self._expect(
            Party.TABLE, "the stripes table", mark.stream,
            lambda sums: self._fold.no_older(Party.TABLE, live, sums),
        )  # fmt: skip
        self._expect(Party.TABLE, "what the stripes table compared", mark.compared, _nothing)
        broken = sum(row.broken for row in rows.values())
        if broken != mark.breaks:
            sentence = f"The table counts {mark.breaks} open breaks; {broken} of its rows are open."
            between = (Party.TABLE, Party.TABLE)
            self._findings.add(Break(Kind.DIFFERS, between, self._shard, sentence))

    def state_database(self, posted: Watermark, totals: Mapping[Stripe, Totals]) -> None:
        """The database's watermark and all stripes, of one snapshot."""
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

    def _state(self, party: Party, what: str, stripe: Stripe, totals: Totals) -> None:
        self._fold.state(Statement(party, what, stripe, totals))

    def _expect(self, party: Party, what: str, watermark: Watermark, check: Check) -> None:
        self._fold.expect(Position(party, what, watermark, check))

    def begin(self) -> None:
        """Everything is stated."""
        self._fold.begin()

    def follow(self, decisions_offset: int, run: Mapping[str, Any]) -> Settled | None:
        """The run, if it counts; then `take` it."""
        settled = self._chain.take(decisions_offset, run)
        if settled is not None and self._verdicts is not None:
            self._verdicts.begin(settled.head)
        return settled

    def take(self, settled: Settled, originals: Sequence[Original], posted: Posted | None) -> None:
        """Log and journal at the run's positions; None: the journal is not that far."""
        self._log.take(settled, originals)
        if posted is None:
            self.journal.beyond(settled)
        else:
            self.journal.take(settled, *posted)
        self._fold.take(settled)
        if self._verdicts is not None:
            self._verdicts.end(settled.head)
        self.end = settled.head.end

    def finish(self, written: int) -> Sums:
        """The shard's totals. `written`: where the log ended when the decisions had been read."""
        self._fold.finish()
        self.journal.finish()
        if self.end > written:
            sentence = (
                f"The log ends at {written}, but everything before {self.end} is decided: it was "
                "truncated or made anew."
            )
            between = (Party.LOG, Party.DECISIONS)
            self._findings.add(Break(Kind.POSITION, between, self._shard, sentence))
        return self._fold.sums


def _nothing(sums: Sums) -> Iterable[Break]:
    return ()

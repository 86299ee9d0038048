"""`faust-ledger reconcile --full`: log, decisions, journal, stripes, table and public topics."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from ledger.audit.balances import compare_balances
from ledger.audit.findings import AuditReport, Break, BreakKind, Findings, Party, totals_shown
from ledger.audit.ids import Ids
from ledger.audit.journal import orphan_break
from ledger.audit.reading import LogDecoder, OnProgress, PublicTopics, ReferenceReading, Sources
from ledger.audit.shard import ShardAudit
from ledger.audit.stated import totals_of
from ledger.domain.run import Stripe
from ledger.gl.databases import history_address, history_findings, open_history
from ledger.streaming.transactions import TransactionReader

CATCH_UP_SECONDS = 3.0
"""How long the public topics are read on while balances are still behind."""
AGAIN_SECONDS = 0.25
"""Between two comparisons of them."""


async def audit_size(sources: Sources) -> int:
    """The number of positions of the log that there are to audit."""
    topic = sources.names.transactions
    bounds = [await sources.log.bounds(topic.name, shard) for shard in range(topic.partitions)]
    return sum(end for _, end in bounds)


async def full_audit(sources: Sources, progress: OnProgress) -> AuditReport:
    """Audit everything from the beginning; `progress`: how many positions of the log are done."""
    findings, ids = Findings(), Ids()
    decoder = LogDecoder(TransactionReader.of(sources.settings))
    compared = await sources.progress()
    public, reference = PublicTopics(sources), ReferenceReading(sources)
    pending = await _audit_balances(sources, public, findings)
    await public.read_breaks()
    add_open_breaks(public, findings)
    accounts: set[Stripe] = set()
    stripes = done = 0
    with closing(open_history(history_address(sources.settings))) as history:
        for shard, mark in enumerate(compared):
            each = ShardAudit(sources, decoder, reference, shard, ids, findings, history)
            sums = await each.run(mark, public, _after(progress, done))
            accounts.update(Stripe(*key) for key in sums)
            pending.update(Stripe(*key) for key, last in sums.items() if last[3] >= mark.end)
            stripes += len(sums)
            done += each.end
    await asyncio.to_thread(add_orphans, sources, findings, whole=True)
    await asyncio.to_thread(add_history, sources, findings)
    voided = await asyncio.to_thread(sources.books.voids)
    return AuditReport.of(
        accounts, stripes=stripes, pending=pending, findings=findings, voided=voided
    )


def _after(progress: OnProgress, done: int) -> OnProgress:
    return lambda end: progress(done + end)


async def _audit_balances(
    sources: Sources, public: PublicTopics, findings: Findings
) -> set[Stripe]:
    """Compare balances with stripes until none is behind, or for CATCH_UP_SECONDS."""
    until = time.monotonic() + CATCH_UP_SECONDS
    while True:
        found, pending = await compare_public(sources, public)
        if not pending or time.monotonic() > until:
            break
        await asyncio.sleep(AGAIN_SECONDS)
    for each in found.breaks():
        findings.add(each)
    findings.broken |= found.broken
    return pending


async def compare_public(sources: Sources, public: PublicTopics) -> tuple[Findings, set[Stripe]]:
    """Read the public topics on; returns breaks, and the accounts whose balance is behind."""
    # In this order: see compare_balances.
    summed = await sources.summed()
    await public.read_balances()
    await public.read_stripes()
    findings = Findings()
    return findings, compare_balances(public.accounts, public.balances, summed, findings)


def add_open_breaks(public: PublicTopics, findings: Findings) -> None:
    """Add the breaks that reconciliation itself holds open."""
    for row in public.breaks.open():
        findings.add(_open_break(row, public.scale_of(Stripe(row["account"], row["currency"]))))


def _open_break(row: Mapping[str, Any], scale: int) -> Break:
    """A Break record, as the audits show breaks."""
    stream, ledger = (
        totals_shown(totals_of(row[side]) if row[side] else None, scale)
        for side in ("stream", "ledger")
    )
    stripe = Stripe(row["account"], row["currency"])
    sentence = (
        f"{stripe.account} {stripe.currency} in shard {row['shard']}: stream and general ledger "
        f"differ since position {row['end']}, and have not agreed again."
    )
    between = (Party.DECISIONS, Party.DATABASE)
    return Break(BreakKind.OPEN, between, row["shard"], sentence, (stripe,), stream, ledger)


def add_history(sources: Sources, findings: Findings) -> None:
    """Add the rows of history that are not what the journal has, or do not add up.

    Nothing while the journal itself is wrong: history would be named for what is right.
    """
    if any(Party.JOURNAL in each.between for each in findings.kept):
        return
    between = (Party.JOURNAL, Party.HISTORY)
    for each in history_findings(sources.settings, sources.books):
        findings.add(Break(BreakKind.DIFFERS, between, each.shard, each.sentence, row=each.row))


def add_orphans(sources: Sources, findings: Findings, *, whole: bool) -> None:
    """Add the database's rows that belong to no run of the log; see `Books.orphans`."""
    for each in sources.books.orphans(sources.names.transactions.partitions, whole=whole):
        # A missing transaction is reported already; its entries are where they belong.
        row = each.row and each.row._replace(table="transactions")
        if row is None or not findings.is_missing(row):
            findings.add(orphan_break(each))

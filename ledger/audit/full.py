"""`faust-ledger reconcile --full`: log, decisions, journal, stripes, table and public topics."""

import asyncio
import time
from typing import Any

from ledger.audit import balances
from ledger.audit.findings import Break, Findings, Kind, Party, Report, totals_shown
from ledger.audit.ids import Ids
from ledger.audit.journal import orphan_break
from ledger.audit.reading import Originals, Public, ReferenceData, Sources
from ledger.audit.shard import ShardAudit, Tell
from ledger.audit.stated import totals_of
from ledger.domain.run import Stripe
from ledger.streaming.transactions import TransactionReader

SETTLE_SECONDS = 3.0
"""How long the public topics are read on while balances are still behind."""
PAUSE_SECONDS = 0.25


async def size(sources: Sources) -> int:
    """Positions of the log that there are to audit."""
    topic = sources.names.transactions
    bounds = [await sources.log.bounds(topic.name, shard) for shard in range(topic.partitions)]
    return sum(end for _, end in bounds)


async def audit(sources: Sources, tell: Tell) -> Report:
    """Everything, from the beginning. `tell` hears how many positions of the log are done."""
    findings, ids = Findings(), Ids()
    originals = Originals(TransactionReader.of(sources.settings))
    progress = await sources.progress()
    public, reference = Public(sources), ReferenceData(sources)
    pending = await settle_balances(sources, public, findings)
    await public.read_breaks()
    tell_open(public, findings)
    accounts: set[Stripe] = set()
    stripes = done = 0
    for shard, compared in enumerate(progress):
        each = ShardAudit(sources, originals, reference, shard, ids, findings)
        sums = await each.run(compared, public, _further(tell, done))
        accounts.update(Stripe(*key) for key in sums)
        pending.update(Stripe(*key) for key, last in sums.items() if last[3] >= compared.end)
        stripes += len(sums)
        done += each.end
    await asyncio.to_thread(check_rows, sources, findings, whole=True)
    voided = await asyncio.to_thread(sources.journal.voids)
    return Report.of(accounts, stripes=stripes, pending=pending, findings=findings, voided=voided)


def _further(tell: Tell, done: int) -> Tell:
    return lambda end: tell(done + end)


async def settle_balances(sources: Sources, public: Public, findings: Findings) -> set[Stripe]:
    """Compare balances with stripes until nothing is behind, or long enough."""
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        # In this order: see `balances.compare`.
        summed = await sources.summed()
        await public.read_balances()
        await public.read_stripes()
        found = Findings()
        pending = balances.compare(public.holdings, public.balances, summed, found)
        if not pending or time.monotonic() > until:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    for each in found.breaks():
        findings.add(each)
    findings.broken |= found.broken
    return pending


def tell_open(public: Public, findings: Findings) -> None:
    """The breaks that reconciliation itself holds open."""
    for row in public.breaks.open():
        stripe = Stripe(row["account"], row["currency"])
        holding = public.holdings.get(stripe)
        findings.add(open_break(row, holding.scale if holding else 0))


def open_break(row: Any, scale: int) -> Break:
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
    return Break(Kind.OPEN, between, row["shard"], sentence, (stripe,), stream, ledger)


def check_rows(sources: Sources, findings: Findings, *, whole: bool) -> None:
    """No row in the database that belongs to no run of the log; see `Journal.orphans`."""
    for each in sources.journal.orphans(sources.names.transactions.partitions, whole=whole):
        # Entries whose transaction was removed are where they belong.
        if not findings.is_missing(each.row._replace(table="transactions")):
            findings.add(orphan_break(each))

"""`faust-ledger reconcile`: public balances against the general ledger, for accounts at rest.

Also the journal's heads, and rows at positions where nothing is posted, which cost a few look-ups.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ledger.audit.balances import sum_of, version_of, wrong_with
from ledger.audit.findings import AuditReport, Break, BreakKind, Findings, Party, totals_shown
from ledger.audit.full import AGAIN_SECONDS, CATCH_UP_SECONDS, add_open_breaks, add_orphans
from ledger.audit.reading import PublicTopics, Sources
from ledger.audit.stated import Balances
from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.rows import PostedRun

_BETWEEN = (Party.BALANCES, Party.DATABASE)

Parts = dict[Stripe, dict[int, Totals]]
"""The database's stripes by account, and by shard."""


async def quick_audit(sources: Sources) -> AuditReport:
    """Compare; again for CATCH_UP_SECONDS while something is pending."""
    public = PublicTopics(sources)
    until = time.monotonic() + CATCH_UP_SECONDS
    while True:
        # In this order: what is read later may be ahead of what was read before, and never behind.
        progress = await sources.progress()
        ends, summed = await sources.stripes_ends(), await sources.summed()
        await public.read_balances()
        parts = await asyncio.to_thread(by_account, sources.books.stripes())
        await public.read_breaks()
        findings = Findings()
        await asyncio.to_thread(add_orphans, sources, findings, whole=False)
        add_open_breaks(public, findings)
        pending = compare_with_database(
            public.balances,
            parts,
            [mark.end for mark in progress],
            findings,
            summed=all(summed.get(partition, 0) >= end for partition, end in ends.items()),
        )
        if not pending or time.monotonic() > until:
            break
        await asyncio.sleep(AGAIN_SECONDS)
    _add_lost_heads(sources, progress, findings)
    stripes = sum(map(len, parts.values()))
    voided = await asyncio.to_thread(sources.books.voids)
    return AuditReport.of(parts.keys() | public.balances.keys(), stripes=stripes, pending=pending,
                          findings=findings, voided=voided)  # fmt: skip


def by_account(stripes: Iterable[tuple[int, Stripe, Totals]]) -> Parts:
    """The database's stripes by account."""
    parts: Parts = {}
    for shard, stripe, totals in stripes:
        parts.setdefault(stripe, {})[shard] = totals
    return parts


def compare_with_database(
    balances: Balances,
    parts: Parts,
    ends: Sequence[int],
    findings: Findings,
    *,
    summed: bool,
) -> set[Stripe]:
    """Breaks go to `findings`, except of accounts with a break already; returns pending accounts.

    `ends`: by shard, the position up to which it is compared. `summed`: whether every stripe
    published before that is in `balances`. Read in this order: `ends`, `summed`, `balances`,
    `parts`. So a reconciled balance is never ahead of the database, and one whose stripes are all
    compared is never behind it.
    """
    known = set(findings.broken)
    pending = set()
    for stripe in balances.keys() | parts.keys():
        if stripe in known:
            continue
        row, held = balances.get(stripe), parts.get(stripe, {})
        compared = all(
            shard < len(ends) and totals.offset < ends[shard] for shard, totals in held.items()
        )
        kind = _wrong_with(stripe, row, held, due=compared and summed)
        if any(not 0 <= shard < len(ends) for shard in held):
            kind = BreakKind.EXTRA
        if kind is not None:
            findings.add(_break(kind, stripe, row, held))
        elif not compared or _behind(row, held):
            pending.add(stripe)
    return pending


def _wrong_with(
    stripe: Stripe, row: Mapping[str, Any] | None, held: Mapping[int, Totals], *, due: bool
) -> BreakKind | None:
    if row is not None and row["status"] != "reconciled":
        return None
    wanted = sum_of(stripe.account, row["scale"] if row else 0, held.values())
    kind = wrong_with(row, wanted | {"version": version_of(held.values())}, due=due)
    return BreakKind.MISSING if kind and not held else kind


def _behind(row: Mapping[str, Any] | None, held: Mapping[int, Totals]) -> bool:
    return (
        row is None or row["status"] != "reconciled" or row["version"] != version_of(held.values())
    )


def _break(
    kind: BreakKind, stripe: Stripe, row: Mapping[str, Any] | None, held: Mapping[int, Totals]
) -> Break:
    scale = row["scale"] if row else 0
    names = ("posted", "debits", "credits", "entries", "status")
    ours = row and {name: row[name] for name in names}
    theirs = sum_of(stripe.account, scale, held.values()) if held else None
    parts = [totals_shown(each, scale) | {"shard": shard} for shard, each in held.items()]  # type: ignore[operator]
    sentence = (
        f"{stripe.account} {stripe.currency}: the public balance is "
        f"{ours['posted'] if ours else 'not there'}; the general ledger's stripes add up to "
        f"{theirs['posted'] if theirs else 'nothing'}."
    )
    ledger = theirs and theirs | {"stripes": parts}
    shard = next(iter(held)) if len(held) == 1 else None
    return Break(kind, _BETWEEN, shard, sentence, (stripe,), ours, ledger)


def _add_lost_heads(sources: Sources, progress: Sequence[Watermark], findings: Findings) -> None:
    """What was compared must be in the journal, with the digest that was published."""
    for shard, head in enumerate(progress):
        if head.decisions_offset:
            run = next(sources.books.runs(shard, head.decisions_offset - 1), None)
            if (found := lost_head(shard, head, run)) is not None:
                findings.add(found)


def lost_head(shard: int, head: Watermark, run: PostedRun | None) -> Break | None:
    """A break unless `run`, the journal's first one from the head's on, is that of the head."""
    wanted = (head.decisions_offset, head.end, head.digest)
    if run is not None and (run.decisions_offset + 1, run.end, run.digest) == wanted:
        return None
    sentence = (
        f"Shard {shard} was compared up to position {head.end} with digest "
        f"{head.digest.hex()[:16]}…; the journal has no such run: it was cut off or "
        "rewritten, or comes from a backup and posting is catching up "
        "(docs/runbooks/database-restored.md)."
    )
    return Break(BreakKind.POSITION, (Party.PROGRESS, Party.JOURNAL), shard, sentence)

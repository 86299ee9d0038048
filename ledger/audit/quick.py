"""`faust-ledger reconcile`: public balances against the general ledger, where both are at rest.

Also the journal's heads, and rows at positions where nothing is posted, which cost a few look-ups.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ledger.audit.findings import Break, Findings, Kind, Party, Report, decimal_text, totals_shown
from ledger.audit.full import PAUSE_SECONDS, SETTLE_SECONDS, check_rows, open_break
from ledger.audit.reading import Public, Sources
from ledger.audit.stated import Balances
from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.journal import PostedRun

_BETWEEN = (Party.BALANCES, Party.DATABASE)
_DEBIT_SIDE = frozenset({"assets", "expenses"})

Parts = dict[Stripe, dict[int, Totals]]
"""The database's stripes by account, and by shard."""


async def reconcile(sources: Sources) -> Report:
    """Compare; while something is pending, again, for a few seconds."""
    public = Public(sources)
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        # In this order: whoever comes later may be ahead of who came before, and never behind.
        progress = await sources.progress()
        ends, summed = await sources.stripes_ends(), await sources.summed()
        await public.read_balances()
        parts = await asyncio.to_thread(by_account, sources.journal.stripes())
        await public.read_breaks()
        findings = Findings()
        await asyncio.to_thread(check_rows, sources, findings, whole=False)
        tell_open(public, findings)
        pending = compare(
            public.balances,
            parts,
            [mark.end for mark in progress],
            findings,
            summed=all(summed.get(partition, 0) >= end for partition, end in ends.items()),
        )
        if not pending or time.monotonic() > until:
            break
        await asyncio.sleep(PAUSE_SECONDS)
    check_heads(sources, progress, findings)
    stripes = sum(map(len, parts.values()))
    voided = await asyncio.to_thread(sources.journal.voids)
    return Report.of(parts.keys() | public.balances.keys(), stripes=stripes, pending=pending,
                     findings=findings, voided=voided)  # fmt: skip


def by_account(stripes: Iterable[tuple[int, Stripe, Totals]]) -> Parts:
    """The database's stripes by account."""
    parts: Parts = {}
    for shard, stripe, totals in stripes:
        parts.setdefault(stripe, {})[shard] = totals
    return parts


def tell_open(public: Public, findings: Findings) -> None:
    """The breaks that reconciliation holds open."""
    for row in public.breaks.open():
        balance = public.balances.get(Stripe(row["account"], row["currency"]))
        findings.add(open_break(row, balance["scale"] if balance else 0))


def compare(
    balances: Balances,
    parts: Parts,
    ends: Sequence[int],
    findings: Findings,
    *,
    summed: bool,
) -> set[Stripe]:
    """Breaks go to `findings`, those of accounts known to be broken left out; returns the pending.

    `ends`: by shard, up to where it is compared. `summed`: whether every stripe published before
    that is in `balances`. Read in this order: `ends`, `summed`, `balances`, `parts`. So a balance
    that calls itself reconciled is never ahead of the database, and one whose stripes all were
    compared is never behind.
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
        found = _check(stripe, row, held, due=compared and summed)
        if any(not 0 <= shard < len(ends) for shard in held):
            found = _break(Kind.EXTRA, stripe, row, held)
        if found is not None:
            findings.add(found)
        elif not compared or _behind(row, held):
            pending.add(stripe)
    return pending


def _check(
    stripe: Stripe, row: Mapping[str, Any] | None, held: Mapping[int, Totals], *, due: bool
) -> Break | None:
    if row is None:
        return _break(Kind.MISSING, stripe, row, held) if due else None
    if row["status"] != "reconciled":
        return None
    ahead = row["version"] - _version(held)
    if ahead > 0:
        return _break(Kind.DIFFERS if held else Kind.MISSING, stripe, row, held)
    if ahead < 0 and not due:
        return None
    wanted = sum_of(stripe.account, row["scale"], held)
    same = all(row[name] == each for name, each in wanted.items())
    return None if same and not ahead else _break(Kind.DIFFERS, stripe, row, held)


def _behind(row: Mapping[str, Any] | None, held: Mapping[int, Totals]) -> bool:
    return row is None or row["status"] != "reconciled" or row["version"] != _version(held)


def _version(held: Mapping[int, Totals]) -> int:
    """The version of a balance of which all is compared; twice for each shard."""
    return sum(2 * (totals.offset + 1) for totals in held.values())


def sum_of(account: str, scale: int, held: Mapping[int, Totals]) -> dict[str, Any]:
    """The balance that the database's stripes make."""
    debits = sum(totals.debits for totals in held.values())
    credits = sum(totals.credits for totals in held.values())
    sign = 1 if account.partition(":")[0] in _DEBIT_SIDE else -1
    return {
        "posted": decimal_text(sign * (debits - credits), scale),
        "debits": decimal_text(debits, scale),
        "credits": decimal_text(credits, scale),
        "entries": sum(totals.entries for totals in held.values()),
    }


def _break(
    kind: Kind, stripe: Stripe, row: Mapping[str, Any] | None, held: Mapping[int, Totals]
) -> Break:
    scale = row["scale"] if row else 0
    names = ("posted", "debits", "credits", "entries", "status")
    ours = row and {name: row[name] for name in names}
    theirs = sum_of(stripe.account, scale, held) if held else None
    parts = [totals_shown(each, scale) | {"shard": shard} for shard, each in held.items()]  # type: ignore[operator]
    sentence = (
        f"{stripe.account} {stripe.currency}: the public balance is "
        f"{ours['posted'] if ours else 'not there'}; the general ledger's stripes make it "
        f"{theirs['posted'] if theirs else 'nothing'}."
    )
    ledger = theirs and theirs | {"stripes": parts}
    shard = next(iter(held)) if len(held) == 1 else None
    return Break(kind, _BETWEEN, shard, sentence, (stripe,), ours, ledger)


def check_heads(sources: Sources, progress: Sequence[Watermark], findings: Findings) -> None:
    """What was compared is in the journal, with the digest that was published."""
    for shard, head in enumerate(progress):
        if head.decisions_offset:
            run = next(sources.journal.runs(shard, head.decisions_offset - 1), None)
            if (found := lost_head(shard, head, run)) is not None:
                findings.add(found)


def lost_head(shard: int, head: Watermark, run: PostedRun | None) -> Break | None:
    """`run`: the journal's first one at or after the head's; a break unless it is the head."""
    wanted = (head.decisions_offset, head.end, head.digest)
    if run is not None and (run.decisions_offset + 1, run.end, run.digest) == wanted:
        return None
    sentence = (
        f"Shard {shard} was compared up to position {head.end} with digest "
        f"{head.digest.hex()[:16]}…; the journal has no such run: it was cut off or "
        "rewritten, or comes from a backup and posting is catching up "
        "(docs/runbooks/database-restored.md)."
    )
    return Break(Kind.POSITION, (Party.PROGRESS, Party.JOURNAL), shard, sentence)

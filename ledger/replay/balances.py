"""`faust-ledger rebuild balances`: the public topic made right from the stripes, while all runs."""

import asyncio
import time
from collections.abc import Iterable
from typing import NamedTuple

from ledger.audit import balances as audit
from ledger.audit.findings import Break, Findings
from ledger.audit.reading import Public, Sources
from ledger.audit.stated import Holding as Stated
from ledger.domain.balance import AccountStripes, Balance
from ledger.domain.partition import partition_of
from ledger.domain.run import Stripe
from ledger.streaming.append_queue import Record
from ledger.streaming.log import portions

PAUSE_SECONDS = 0.25


class Outcome(NamedTuple):
    """`accounts`: checked. `published`: how many were said again, or taken back.

    `pending`: not looked at, because the stream is about to say them itself. `left`: still wrong.
    """

    accounts: int
    published: int
    pending: int
    left: list[Break]


async def rebuild(sources: Sources, seconds: float) -> Outcome:
    """Say again what the topic lacks or has wrong, until it is right or `seconds` have passed.

    Raises InvariantBroken where the stripes topic does not reach back to its beginning.
    """
    public = Public(sources)
    until, published = time.monotonic() + seconds, set[Stripe]()
    while True:
        # In this order: see ledger.audit.balances.
        summed = await sources.summed()
        await public.read_balances()
        await public.read_stripes()
        findings = Findings()
        pending = audit.compare(public.holdings, public.balances, summed, findings)
        done = not findings.broken and not pending
        if done or time.monotonic() > until:
            return Outcome(len(public.holdings), len(published), len(pending), findings.breaks())
        if findings.broken:
            await _say(sources, public, findings.broken)
            published |= findings.broken
        else:
            await asyncio.sleep(PAUSE_SECONDS)


async def _say(sources: Sources, public: Public, wrong: Iterable[Stripe]) -> None:
    topic = sources.names.balances
    parts: dict[int, list[Record]] = {}
    for stripe in sorted(wrong):
        # Readers count the highest version seen: one without a value first makes them forget it.
        key = f"{stripe.account} {stripe.currency}".encode()
        records: list[Record] = [(key, None)]
        if stripe in public.holdings:
            row = _balance(stripe, public.holdings[stripe])._asdict()
            records.append((key, sources.codec.encode("Balance", row)))
        partition = partition_of(stripe.account.encode(), topic.partitions)
        parts.setdefault(partition, []).extend(records)
    for partition, records in parts.items():
        for portion in portions(records):
            await sources.log.append_absolute(topic.name, partition, portion)


def _balance(stripe: Stripe, stated: Stated) -> Balance:
    holding = AccountStripes(stated.scale)
    for shard, row in stated.parts.items():
        holding.reconcile(shard, row.live)
    holding.broken = frozenset(shard for shard, row in stated.parts.items() if row.broken)
    return holding.balance(*stripe)

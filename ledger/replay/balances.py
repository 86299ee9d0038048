"""`faust-ledger rebuild balances`: corrects the balances topic from the stripes, while all runs."""

import asyncio
import time
from collections.abc import Iterable
from typing import NamedTuple

from ledger.audit.findings import Break
from ledger.audit.full import AGAIN_SECONDS, compare_public
from ledger.audit.reading import PublicTopics, Sources
from ledger.audit.stated import StripedAccount
from ledger.domain.balance import AccountStripes, Balance
from ledger.domain.partition import partition_of
from ledger.domain.portions import portions
from ledger.domain.run import Stripe
from ledger.streaming.append_queue import Record
from ledger.streaming.log import PORTION


class Outcome(NamedTuple):
    """`accounts`: checked. `published`: how many were published again, or deleted.

    `pending`: not compared, because the workers are about to publish them. `left`: still wrong.
    """

    accounts: int
    published: int
    pending: int
    left: list[Break]


async def rebuild_balances(sources: Sources, seconds: float) -> Outcome:
    """Publish what the topic lacks or has wrong, until it is right or `seconds` have passed.

    Raises InvariantBroken if the stripes topic does not reach back to its beginning.
    """
    public = PublicTopics(sources)
    until, published = time.monotonic() + seconds, set[Stripe]()
    while True:
        findings, pending = await compare_public(sources, public)
        done = not findings.broken and not pending
        if done or time.monotonic() > until:
            return Outcome(len(public.accounts), len(published), len(pending), findings.breaks())
        if findings.broken:
            await _publish(sources, public, findings.broken)
            published |= findings.broken
        else:
            await asyncio.sleep(AGAIN_SECONDS)


async def _publish(sources: Sources, public: PublicTopics, wrong: Iterable[Stripe]) -> None:
    topic = sources.names.balances
    parts: dict[int, list[Record]] = {}
    for stripe in sorted(wrong):
        # Readers keep the highest version; a record without a value first makes them forget it.
        key = f"{stripe.account} {stripe.currency}".encode()
        records: list[Record] = [(key, None)]
        if stripe in public.accounts:
            row = _balance(stripe, public.accounts[stripe])._asdict()
            records.append((key, sources.codec.encode("Balance", row)))
        partition = partition_of(stripe.account.encode(), topic.partitions)
        parts.setdefault(partition, []).extend(records)
    for partition, records in parts.items():
        for portion in portions(records, count=PORTION):
            await sources.log.append_absolute(topic.name, partition, portion)


def _balance(stripe: Stripe, account: StripedAccount) -> Balance:
    holding = AccountStripes(account.scale)
    for shard, row in account.parts.items():
        holding.reconcile(shard, row.live)
    holding.broken = frozenset(shard for shard, row in account.parts.items() if row.broken)
    return holding.balance(*stripe)

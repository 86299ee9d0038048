"""Read balances from the stream: the present ones, and every change from then on."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.partitions import ledger_partitions
from ledger.client.records import Records
from ledger.client.resource import AsyncResource
from ledger.domain.balance import Balance
from ledger.domain.partition import partition_of
from ledger.errors import LedgerError
from ledger.health.waiting import waited_for
from ledger.settings import Settings, load
from ledger.streaming.follower import Follower
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics

BalanceKey = tuple[str, str]
"""Account and currency."""


class BalanceReader(AsyncResource):
    """Follows `ledger.balances`, all of it or the given accounts; an async context manager.

    It reads everything in the topic on entry; `get` then answers from memory. It ignores a version
    below one that it has read, so a balance never goes back. A record without a value removes a
    balance that was published by mistake; the right one follows it (`faust-ledger rebuild
    balances`). The `status` of a balance shows whether it is reconciled.

    Raises TypeError for `accounts` that are one text, whose letters would be the accounts.
    """

    def __init__(
        self, settings: Settings | None = None, *, accounts: Iterable[str] | None = None
    ) -> None:
        if isinstance(accounts, str):
            raise TypeError(f"accounts is the text {accounts!r}: give a list of accounts.")
        self._settings = settings or load()
        self._accounts = None if accounts is None else frozenset(accounts)
        self._reader = Reader(self._settings)
        self._follower = Follower(self._reader, self._take)
        self._known: dict[BalanceKey, Balance] = {}
        self._changes: set[Changes] = set()

    async def _enter(self, stack: AsyncExitStack) -> None:
        topic = topics(self._settings).balances.name
        counts = await ledger_partitions(self._settings, topic)
        self._records = await Records.of(self._settings, "Balance")
        await stack.enter_async_context(self._reader)
        stack.push_async_callback(self._follower.close)
        wanted = [TopicPartition(topic, each) for each in self._partitions(counts[topic])]
        bounds = await self._reader.bounds(wanted)
        self._follower.start({tp: first for tp, (first, _) in bounds.items()})
        await self._follower.caught_up()

    def _partitions(self, count: int) -> Iterable[int]:
        if self._accounts is None:
            return range(count)
        return {partition_of(account.encode(), count) for account in self._accounts}

    def get(self, account: str, currency: str) -> Balance | None:
        """The newest balance read so far; None for an account without entries.

        Raises LedgerError for an account that this reader was not opened for.
        """
        self.require_open()
        if self._accounts is not None and account not in self._accounts:
            raise LedgerError(
                f"{account} is none of the accounts that this {type(self).__name__} reads, so its "
                "balance is not known here: name it in `accounts`."
            )
        return self._known.get((account, currency))

    async def snapshot(self) -> dict[BalanceKey, Balance]:
        """Every balance, after everything that is in the topic at this moment was read."""
        self.require_open()
        await self._follower.caught_up()
        return dict(self._known)

    def follow(self, *, known: bool = False) -> AsyncGenerator[Balance]:
        """Each change from this call on; with `known`, first every balance that is known already.

        A slow reader misses changes in between, but never the newest one.
        """
        return self._each(self.begin_changes(known=known))

    async def _each(self, changes: "Changes") -> AsyncGenerator[Balance]:
        try:
            while True:
                yield await self.next_change(changes)
        finally:
            self.end_changes(changes)

    def begin_changes(self, *, known: bool) -> "Changes":
        """What `follow` waits on, for callers that wait in another way."""
        self.require_open()
        changes = Changes(dict(self._known) if known else {})
        self._changes.add(changes)
        return changes

    async def next_change(self, changes: "Changes") -> Balance:
        """The next change, once there is one. Raises what stopped the reading."""
        if not changes.waiting:
            await self._follower.wait_until(lambda: bool(changes.waiting))
        return changes.waiting.pop(next(iter(changes.waiting)))

    def end_changes(self, changes: "Changes") -> None:
        """Collect no more of them."""
        self._changes.discard(changes)

    async def wait_for(
        self, predicate: Callable[[Balance], bool], *, seconds: float | None = None
    ) -> Balance:
        """The first known or future balance for which `predicate` holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds), aclosing(self.follow(known=True)) as changes:
            async for balance in changes:
                if predicate(balance):
                    return balance
        raise AssertionError("unreachable: it follows for ever")

    async def _take(self, records: list[ConsumerRecord]) -> None:
        wanted = records if self._accounts is None else filter(self._named, records)
        kept = list(wanted)
        rows = await waited_for(lambda: self._records.decode("Balance", kept), "read balances")
        found = {id(record): row for record, row in rows}
        for record in kept:
            if record.value is None:
                account, _, currency = bytes(record.key or b"").decode().partition(" ")
                self._known.pop((account, currency), None)
            if (row := found.get(id(record))) is None:
                continue
            balance = Balance(**row)
            key = balance.account, balance.currency
            known = self._known.get(key)
            if known is not None and (balance.version < known.version or balance == known):
                continue
            self._known[key] = balance
            for changes in self._changes:
                changes.waiting[key] = balance

    def _named(self, record: ConsumerRecord) -> bool:
        assert self._accounts is not None
        return (
            bytes(record.key or b"").partition(b" ")[0].decode(errors="replace") in self._accounts
        )


@dataclass(eq=False)
class Changes:
    """The changes that one caller of `follow` has not taken yet, the newest for each key."""

    waiting: dict[BalanceKey, Balance]

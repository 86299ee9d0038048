"""Reading balances from the stream: what is so now, and every change from then on."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.reading import ledger_partitions
from ledger.client.records import Records
from ledger.domain.balance import Balance
from ledger.domain.partition import partition_of
from ledger.health.waiting import waited_for
from ledger.settings import Settings, load
from ledger.streaming.follower import Follower
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics

Key = tuple[str, str]
"""Account and currency."""


class BalanceReader:
    """Follows `ledger.balances`, all of it or the accounts named; an async context manager.

    On entry everything that is there is read; `get` then answers from memory. A version below one
    seen is ignored, so a balance never goes back; a record without a value takes back what was
    said, and the right balance follows it (`faust-ledger rebuild balances`). Each says in `status`
    whether it is reconciled.
    """

    def __init__(
        self, settings: Settings | None = None, *, accounts: Iterable[str] | None = None
    ) -> None:
        self._settings = settings or load()
        self._accounts = None if accounts is None else frozenset(accounts)
        self._reader = Reader(self._settings)
        self._follower = Follower(self._reader, self._take)
        self._known: dict[Key, Balance] = {}
        self._changes: set[_Changes] = set()

    async def __aenter__(self) -> Self:
        """Raises LedgerError, with what to do, when Kafka or the registry is not as it must be."""
        topic = topics(self._settings).balances.name
        counts = await ledger_partitions(self._settings, topic)
        self._records = await Records.of(self._settings, "Balance")
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._reader)
            stack.push_async_callback(self._follower.close)
            wanted = [TopicPartition(topic, each) for each in self._partitions(counts[topic])]
            bounds = await self._reader.bounds(wanted)
            self._follower.start({tp: first for tp, (first, _) in bounds.items()})
            await self._follower.caught_up()
            self._open = stack.pop_all()
        return self

    def _partitions(self, count: int) -> Iterable[int]:
        if self._accounts is None:
            return range(count)
        return {partition_of(account.encode(), count) for account in self._accounts}

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    def get(self, account: str, currency: str) -> Balance | None:
        """The newest balance read so far; None for an account that nothing touched."""
        return self._known.get((account, currency))

    async def snapshot(self) -> dict[Key, Balance]:
        """Every balance, after reading everything that is in the topic at this moment."""
        await self._follower.caught_up()
        return dict(self._known)

    def follow(self, *, known: bool = False) -> AsyncGenerator[Balance]:
        """Each change from this call on; with `known`, first every balance that is there already.

        A slow reader misses what is in between, never the newest.
        """
        changes = _Changes(dict(self._known) if known else {})
        self._changes.add(changes)
        return self._each(changes)

    async def _each(self, changes: "_Changes") -> AsyncGenerator[Balance]:
        try:
            while True:
                await self._follower.wait_until(lambda: bool(changes.waiting))
                while changes.waiting:
                    yield changes.waiting.pop(next(iter(changes.waiting)))
        finally:
            self._changes.discard(changes)

    async def wait_for(
        self, predicate: Callable[[Balance], bool], *, seconds: float | None = None
    ) -> Balance:
        """The first balance, known or to come, for which `predicate` holds. Raises TimeoutError."""
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
class _Changes:
    """What one reader has not taken yet, the newest of each."""

    waiting: dict[Key, Balance]

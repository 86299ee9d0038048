"""Balances: sums an account's stripes and publishes what every app may read."""

import asyncio
from collections.abc import Iterable

from aiokafka import ConsumerRecord

from agents.app import LedgerApp, take_runs
from agents.lanes import Gap
from ledger.domain.balance import StripeState, Totals, balance_of, newer
from ledger.domain.run import Stripe
from ledger.streaming.delivery import Run
from ledger.streaming.store import Store
from ledger.streaming.waiting import waited_for

POSITION = b"p"
CACHED = 100_000
"""Accounts whose stripes are kept decoded; the table has them all."""


class Holding:
    """An account's stripes in one currency, by shard."""

    __slots__ = ("scale", "stripes")

    def __init__(self, scale: int, stripes: dict[int, StripeState]) -> None:
        self.scale, self.stripes = scale, stripes

    def encode(self) -> bytes:
        """A line a shard, of numbers of any size; totals ahead of the posted ones where known."""
        lines = [str(self.scale)]
        for shard, (posted, live, broken) in self.stripes.items():
            numbers = (shard, int(broken), *posted, *(live or ()))
            lines.append(" ".join(map(str, numbers)))
        return "\n".join(lines).encode()

    @classmethod
    def decode(cls, text: bytes) -> "Holding":
        """What `encode` made."""
        scale, *lines = text.split(b"\n")
        stripes = {}
        for line in lines:
            shard, broken, *numbers = map(int, line.split())
            live = Totals(*numbers[4:]) if numbers[4:] else None
            stripes[shard] = StripeState(Totals(*numbers[:4]), live, bool(broken))
        return cls(int(scale), stripes)


def attach(app: LedgerApp) -> None:
    """Give `app` the balances agent."""
    parts: dict[int, BalancesPart] = {}

    async def opened(partition: int) -> int:
        if partition not in parts:
            parts[partition] = BalancesPart(app, partition)
        return await parts[partition].open()

    async def take(run: Run) -> int:
        return await parts[run.tp.partition].take(run)

    take_runs(app, app.names.stripes, name="balances", opened=opened, take=take)


class BalancesPart:
    """The accounts of one partition."""

    def __init__(self, app: LedgerApp, partition: int) -> None:
        self._app, self._partition = app, partition
        self._store = Store(app.data / "balances" / str(partition))
        self._position = int(self._store.get(POSITION) or 0)
        self._holdings: dict[Stripe, Holding] = {}
        self._lock = asyncio.Lock()

    async def open(self) -> int:
        """Catch up without a word, then say each balance once: half a sum is nobody's balance."""
        async with self._lock:
            await waited_for(self._catch_up, f"restore the balances of {self._partition}")
            return self._position

    async def take(self, run: Run) -> int:
        """Publish the balances that the run changed, then keep what they came from."""
        async with self._lock:
            records = run.from_position(self._position)
            if records is None:
                raise Gap(self._position)
            if records:
                changed = self._add(records)
                await self._say(changed)
                self._keep(changed, run.end)
            return self._position

    async def _catch_up(self) -> None:
        log, topic = self._app.log_, self._app.names.stripes.name
        _, end = await log.bounds(topic, self._partition)
        changed: set[Stripe] = set()
        async for records in log.read(topic, self._partition, self._position, end):
            changed |= self._add(records)
        for part in _parts(changed):
            await self._say(part)
        self._keep(changed, end)

    def _add(self, records: Iterable[ConsumerRecord]) -> set[Stripe]:
        changed = set()
        for record in records:
            row = self._app.codec.decode("Stripe", record.value)
            stripe = Stripe(row["account"], row["currency"])
            holding = self._holding(stripe, row["scale"])
            live = row["live"]
            told = StripeState(_totals(row["posted"]), live and _totals(live), row["broken"])
            known = holding.stripes.get(row["shard"])
            holding.stripes[row["shard"]] = newer(known, told)
            changed.add(stripe)
        return changed

    def _holding(self, stripe: Stripe, scale: int) -> Holding:
        holding = self._holdings.get(stripe)
        if holding is None:
            held = self._store.get(_key(stripe))
            holding = Holding(scale, {}) if held is None else Holding.decode(held)
            self._holdings[stripe] = holding
        return holding

    async def _say(self, stripes: Iterable[Stripe]) -> None:
        records = []
        for stripe in stripes:
            holding = self._holdings[stripe]
            balance = balance_of(*stripe, holding.scale, holding.stripes.values())
            key = f"{stripe.account} {stripe.currency}".encode()
            records.append((key, self._app.codec.encode("Balance", balance._asdict())))
        topic = self._app.names.balances.name
        if records:
            await self._app.log_.append_absolute(topic, self._partition, records)

    def _keep(self, stripes: Iterable[Stripe], position: int) -> None:
        puts = [(_key(stripe), self._holdings[stripe].encode()) for stripe in stripes]
        self._store.write([*puts, (POSITION, b"%d" % position)])
        self._position = position
        if len(self._holdings) > CACHED:
            self._holdings.clear()


def _key(stripe: Stripe) -> bytes:
    return f"a{stripe.account} {stripe.currency}".encode()


def _totals(row: dict[str, str]) -> Totals:
    return Totals(int(row["debits"]), int(row["credits"]), int(row["entries"]), int(row["offset"]))


def _parts(stripes: set[Stripe], size: int = 10_000) -> Iterable[list[Stripe]]:
    """Portions that each fit one record batch."""
    ordered = sorted(stripes)
    for at in range(0, len(ordered), size):
        yield ordered[at : at + size]

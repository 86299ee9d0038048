"""`python -m ledger.bench.load`: publishes generated transactions at full speed or at a rate.

Each has two entries, uniform over the accounts; with fees, one of them is on the same account
always. One account in twenty is sampled: it is the ordering key of the transactions that touch it,
so its balance moves in the order of publishing, and its first balance of n entries counts the n-th.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import uvloop
from aiokafka import AIOKafkaProducer

from ledger.bench import child
from ledger.clock import now
from ledger.domain import money
from ledger.domain.partition import partition_of
from ledger.domain.transaction import Draft, DraftEntry
from ledger.streaming import patches
from ledger.streaming.registry import Codec

SAMPLED_EACH = 20
MAX_CENTS = 1_000_000
BATCH = 250
"""Transactions of about one batch at full speed, for any number of shards."""
PENDING_BATCHES = 8
"""For each shard."""
TICK_SECONDS = 0.01
"""At a rate, the transactions of a tick are due at its start and are published together."""

FEE_ACCOUNT = "income:fees"

Batches = dict[int, list[tuple[bytes, bytes]]]


def account_of(number: int) -> str:
    """The code of an account by its number."""
    return f"liabilities:accounts:{number:06d}"


def sampled(accounts: int) -> range:
    """The numbers of the accounts that latency is measured with."""
    return range(0, accounts, SAMPLED_EACH)


class Sample(NamedTuple):
    """A transaction whose latency is measured; the balance of `entries` entries counts it.

    `shard` and `place`: its place among the records of its chunk.
    """

    account: int
    entries: int
    shard: int
    place: int


class Generator:
    """Generates transactions; the same seed and label give the same ones, except their times."""

    def __init__(
        self, *, seed: int, label: str, accounts: int, shards: int, codec: Codec, fees: bool = False
    ) -> None:
        self._random = Random(f"{seed} {label}")  # noqa: S311 - not for secrets
        self._fees, self._filled, self.shards = fees, 0, shards
        self._label, self._accounts = label, accounts
        self._codec, self._count = codec, 0
        self._names = [account_of(number) for number in range(accounts)]
        self._entries = dict.fromkeys(sampled(accounts), 0)

    def chunk(self, count: int, at: int, *, fill: bool = False) -> tuple[Batches, list[Sample]]:
        """`count` more records by partition, created at `at` microseconds; and the sampled ones.

        With `fill` they go through the accounts in order, so that all of them exist.
        """
        batches: Batches = {}
        samples = []
        for _ in range(count):
            debit, credit = self._next_pair() if fill else self._pair()
            touched = (debit,) if self._fees and not fill else (debit, credit)
            account = next((each for each in touched if each % SAMPLED_EACH == 0), None)
            names = self._names
            other = names[credit] if len(touched) > 1 else FEE_ACCOUNT
            draft = self._draft(names[debit], other, account, at)
            key = (draft["ordering_key"] or draft["transaction_id"]).encode()
            shard = partition_of(key, self.shards)
            batch = batches.setdefault(shard, [])
            batch.append((key, self._codec.encode("Transaction", draft)))
            if account is not None:
                self._entries[account] += 1
                samples.append(Sample(account, self._entries[account], shard, len(batch) - 1))
        return batches, samples

    def _next_pair(self) -> tuple[int, int]:
        self._filled += 2
        return (self._filled - 2) % self._accounts, (self._filled - 1) % self._accounts

    def _pair(self) -> tuple[int, int]:
        """Two accounts, at most one of them sampled: there is one ordering key."""
        number = int(self._random.random() * self._accounts * self._accounts)
        debit, credit = divmod(number, self._accounts)
        both = debit % SAMPLED_EACH == 0 == credit % SAMPLED_EACH
        return self._pair() if debit == credit or both else (debit, credit)

    def _draft(self, debit: str, credit: str, key: int | None, at: int) -> Draft:
        self._count += 1
        amount = money.show(int(self._random.random() * MAX_CENTS) + 1, 2)
        return Draft(
            transaction_id=f"{self._label}-{self._count}",
            kind="transfer",
            description="",
            effective_at=at,
            created_at=at,
            ordering_key=None if key is None else self._names[key],
            reverses=None,
            entries=[
                DraftEntry(account=debit, side="debit", amount=amount, currency="CAD"),
                DraftEntry(account=credit, side="credit", amount=amount, currency="CAD"),
            ],
            metadata={},
        )


class Load:
    """Publishes generated transactions."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, generator: Generator) -> None:
        self._producer, self._topic, self._generator = producer, topic, generator
        self._pending: deque[tuple[Any, int, list[Sample], int]] = deque()
        self._samples: list[list[int]] = []

    async def carry_out(self, order: child.Row) -> child.Row:
        """`{"count", "rate", "fill"}`; the rate is transactions a second, None for full speed.

        The report: `first_at` in microseconds since 1970, and `samples`: account number, entries
        of the balance that counts the transaction, shard, offset, and when it was due.
        """
        self._samples = []
        first_at = now()
        together = BATCH * self._generator.shards
        for count, due in _ticks(order["count"], order["rate"], first_at, together):
            if (early := due - now()) > 0:
                await asyncio.sleep(early / 1e6)
            await self._send(*self._generator.chunk(count, due, fill=order["fill"]), due)
        while self._pending:
            await self._take_receipt()
        return {"first_at": first_at, "last_at": now(), "samples": self._samples}

    async def _send(self, batches: Batches, samples: list[Sample], due: int) -> None:
        for shard, records in batches.items():
            batch = self._producer.create_batch()
            for key, value in records:
                taken = batch.append(key=key, value=value, timestamp=None)
                assert taken is not None, "a chunk fits one batch"
            sent = await self._producer.send_batch(batch, self._topic, partition=shard)
            mine = [each for each in samples if each.shard == shard]
            self._pending.append((sent, shard, mine, due))
        while len(self._pending) > PENDING_BATCHES * self._generator.shards:
            await self._take_receipt()

    async def _take_receipt(self) -> None:
        sent, shard, samples, due = self._pending.popleft()
        first = int((await sent).offset)
        self._samples += [
            [each.account, each.entries, shard, first + each.place, due] for each in samples
        ]


def _ticks(
    count: int, rate: float | None, first_at: int, together: int
) -> Iterator[tuple[int, int]]:
    """How many are published together, and when: microseconds since 1970."""
    if rate is None:
        for done in range(0, count, together):
            yield min(together, count - done), now()
        return
    done = tick = 0
    while done < count:
        until = min(int((tick + 1) * rate * TICK_SECONDS), count)
        if until > done:
            yield until - done, first_at + round(tick * TICK_SECONDS * 1e6)
        done, tick = until, tick + 1


async def main() -> None:
    """Serve orders until there are no more."""
    given = child.parameters()
    patches.install()
    producer = AIOKafkaProducer(
        bootstrap_servers=given["bootstrap_servers"], acks="all", enable_idempotence=True,
        compression_type="lz4", max_batch_size=1 << 20,
    )  # fmt: skip
    generator = Generator(
        seed=given["seed"], label=given["label"], accounts=given["accounts"],
        shards=given["shards"], codec=Codec({"Transaction": given["schema_id"]}),
        fees=given["fees"],
    )  # fmt: skip
    await producer.start()
    try:
        await child.serve_orders(Load(producer, given["topic"], generator).carry_out)
    finally:
        await producer.stop()


if __name__ == "__main__":
    uvloop.run(main())

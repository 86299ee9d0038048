"""`python -m ledger.bench.load`: publishes generated transactions as fast as it can, or at a rate.

Two entries each, uniform over the accounts; with fees, all against the same one. One account in
twenty is sampled: transactions that touch it have it as their ordering key, so that its balance
moves in the order of publishing and the n-th of them is counted in the first balance of n entries.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import uvloop
from aiokafka import AIOKafkaProducer

from ledger.bench import child
from ledger.domain import money
from ledger.domain.partition import partition_of
from ledger.domain.transaction import Draft, DraftEntry
from ledger.streaming import patches
from ledger.streaming.registry import Codec

SAMPLED_EACH = 20
LARGEST = 1_000_000
"""Cents."""
BATCH = 250
"""Transactions of one batch, nearly, as fast as they go: however many shards there are."""
BATCHES_UNDER_WAY = 8
"""Of each shard."""
TICK_SECONDS = 0.01
"""At a rate, the transactions of a tick are due at its beginning and go out together."""

FEES = "income:fees"

Batches = dict[int, list[tuple[bytes, bytes]]]


def account_of(number: int) -> str:
    """The code of an account."""
    return f"liabilities:accounts:{number:06d}"


def sampled(accounts: int) -> range:
    """Numbers of the accounts that latency is measured by."""
    return range(0, accounts, SAMPLED_EACH)


class Sample(NamedTuple):
    """`entries` of the account's balance that counts it; `at` microseconds since 1970.

    `shard` and `place`: where it is among the records of its chunk.
    """

    account: int
    entries: int
    shard: int
    place: int


class Source:
    """Makes the transactions; the same seed and label give the same ones, but for their times."""

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
        """`count` more, created at `at`, by partition.

        With `fill` one account after the other, so that all of them exist.
        """
        batches: Batches = {}
        samples = []
        for _ in range(count):
            debit, credit = self._next_pair() if fill else self._pair()
            touched = (debit,) if self._fees and not fill else (debit, credit)
            account = next((each for each in touched if each % SAMPLED_EACH == 0), None)
            names = self._names
            other = names[credit] if len(touched) > 1 else FEES
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
        """Two accounts; at most one of them sampled, for there is but one ordering key."""
        number = int(self._random.random() * self._accounts * self._accounts)
        debit, credit = divmod(number, self._accounts)
        both = debit % SAMPLED_EACH == 0 == credit % SAMPLED_EACH
        return self._pair() if debit == credit or both else (debit, credit)

    def _draft(self, debit: str, credit: str, key: int | None, at: int) -> Draft:
        self._count += 1
        amount = money.show(int(self._random.random() * LARGEST) + 1, 2)
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
    """Publishes what a source makes."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, source: Source) -> None:
        self._producer, self._topic, self._source = producer, topic, source
        self._under_way: deque[tuple[Any, int, list[Sample], int]] = deque()
        self._samples: list[list[int]] = []

    async def carry_out(self, order: child.Row) -> child.Row:
        """`{"count", "rate", "fill"}`; the rate is a second's, None for as fast as it goes.

        The report: `first_at` in microseconds since 1970, and `samples`: account number, entries
        of the balance that counts it, shard, offset, and when it was due.
        """
        self._samples = []
        first_at = _now()
        together = BATCH * self._source.shards
        for count, due in _ticks(order["count"], order["rate"], first_at, together):
            if (early := due - _now()) > 0:
                await asyncio.sleep(early / 1e6)
            await self._send(*self._source.chunk(count, due, fill=order["fill"]), due)
        while self._under_way:
            await self._settle()
        return {"first_at": first_at, "last_at": _now(), "samples": self._samples}

    async def _send(self, batches: Batches, samples: list[Sample], due: int) -> None:
        for shard, records in batches.items():
            batch = self._producer.create_batch()
            for key, value in records:
                taken = batch.append(key=key, value=value, timestamp=None)
                assert taken is not None, "a chunk fits one batch"
            sent = await self._producer.send_batch(batch, self._topic, partition=shard)
            mine = [each for each in samples if each.shard == shard]
            self._under_way.append((sent, shard, mine, due))
        while len(self._under_way) > BATCHES_UNDER_WAY * self._source.shards:
            await self._settle()

    async def _settle(self) -> None:
        sent, shard, samples, due = self._under_way.popleft()
        first = int((await sent).offset)
        self._samples += [
            [each.account, each.entries, shard, first + each.place, due] for each in samples
        ]


def _ticks(
    count: int, rate: float | None, first_at: int, together: int
) -> Iterator[tuple[int, int]]:
    """How many go out together, and when: microseconds since 1970."""
    if rate is None:
        for done in range(0, count, together):
            yield min(together, count - done), _now()
        return
    done = tick = 0
    while done < count:
        until = min(int((tick + 1) * rate * TICK_SECONDS), count)
        if until > done:
            yield until - done, first_at + round(tick * TICK_SECONDS * 1e6)
        done, tick = until, tick + 1


def _now() -> int:
    return time.time_ns() // 1_000


async def main() -> None:
    """Until there are no more orders."""
    needs = child.needs()
    patches.install()
    producer = AIOKafkaProducer(
        bootstrap_servers=needs["bootstrap_servers"], acks="all", enable_idempotence=True,
        compression_type="lz4", max_batch_size=1 << 20,
    )  # fmt: skip
    source = Source(
        seed=needs["seed"], label=needs["label"], accounts=needs["accounts"],
        shards=needs["shards"], codec=Codec({"Transaction": needs["schema_id"]}),
        fees=needs["fees"],
    )  # fmt: skip
    await producer.start()
    try:
        await child.obey(Load(producer, needs["topic"], source).carry_out)
    finally:
        await producer.stop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())

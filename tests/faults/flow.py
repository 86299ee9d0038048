"""A producer that does not rest, and knows to the minor unit what it published.

Like a careful producer it sends a transaction again, the same to the letter, until Kafka has said
that it has it; so each is to be accepted exactly once, whatever happens meanwhile. Repetitions,
reversals and garbage flow along.
"""

import asyncio
import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ledger.domain.partition import partition_of
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.registry import known_ids
from tests import builders
from tests.waiting import PATIENCE

Key = tuple[str, str]
Place = tuple[int, int]
SCALES = {"CAD": 2, "USD": 2, "JPY": 0}
TICK = 0.05


class Flow:
    """Publishes from a thread of its own between `begin` and `rest`; `book` is what it all sums to.

    `book`: debits, credits and entries in minor units by (account, currency). `moves`, if not 0:
    for how many transactions an account is in use, and then never again. Transactions are made and
    the book is written in that thread alone: two that took one number would make one id of two.
    """

    def __init__(self, settings: Settings, *, name: str, seed: int, rate: int = 150) -> None:
        self.settings, self.name, self.rate = settings, name, rate
        self.random = random.Random(seed)
        self.moves = 0
        self.book: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.published: dict[str, Place] = {}
        self.garbage: set[Place] = set()
        self._sent: deque[dict[str, Any]] = deque(maxlen=2_000)
        self._reversed: set[str] = set()
        self._written: set[str] = set()
        self._schema = known_ids(settings)["Transaction"]
        self._number = 0
        self._flowing = False
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def _run(self, work: Any) -> Any:
        """In the thread of the flow."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    @contextmanager
    def flowing(self) -> Iterator["Flow"]:
        """Publish without rest until the end; then everything is in Kafka."""
        self._flowing = True
        task = asyncio.run_coroutine_threadsafe(self._flow(), self._loop)
        try:
            yield self
        finally:
            self._flowing = False
            task.result(PATIENCE)

    def probe(self) -> list[Place]:
        """One transaction in each shard, in Kafka when this returns."""
        return list(self._run(self._probe()))

    def again(self, count: int) -> list[Place]:
        """Publish some of the last transactions once more; returns where the repetitions landed."""
        return list(self._run(self._again(count)))

    def send(self, key: bytes, value: bytes, shard: int) -> Place:
        """One record as it is."""
        places = self._run(self._append([(key, value, shard)]))
        return places[0]

    def transaction(self, **named: Any) -> dict[str, Any]:
        """A new one, in the book."""
        made: dict[str, Any] = self._run(self._transaction(named))
        return made

    def publish(self, *made: dict[str, Any]) -> list[Place]:
        """What `transaction` made."""
        return list(self._run(self._deliver(list(made))))

    def value(self, made: dict[str, Any]) -> bytes:
        """Under today's schema."""
        return builders.wire(made, self._schema)

    def close(self) -> None:
        if self._producer is not None:
            self._run(self._producer.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # What is published.

    def _made(self) -> dict[str, Any]:
        self._number += 1
        choose, now = self.random, time.time_ns() // 1_000
        currency = choose.choice(list(SCALES))
        legs = choose.choice((1, 1, 1, 2, 3))
        amounts = [choose.randint(1, 5_000_000) for _ in range(legs)]
        hot = choose.random() < 0.5
        now_used = f"at-{self._number // self.moves}" if self.moves else choose.randrange(20)
        debit = f"assets:{self.name}:{'cash' if hot else now_used}"
        entries = [builders.entry(debit, "debit", _shown(sum(amounts), currency), currency)]
        entries += [
            builders.entry(
                f"liabilities:{self.name}:{choose.randrange(40)}", "credit",
                _shown(amount, currency), currency,
            )
            for amount in amounts
        ]  # fmt: skip
        choose.shuffle(entries)
        return dict(builders.draft(f"{self.name}-{self._number}", at=now, entries=entries))

    def _in_shard(self, shard: int) -> dict[str, Any]:
        while True:
            made = self._made()
            if self._shard_of(made) == shard:
                self._write_down(made)
                return made

    def _reversal(self) -> dict[str, Any] | None:
        of = self.random.choice(self._sent) if self._sent else None
        name = of["transaction_id"] if of else ""
        if of is None or of["reverses"] or name in self._reversed or name not in self.published:
            return None
        self._reversed.add(name)
        made = dict(builders.reversal(of, f"{name}-reversed"))  # type: ignore[arg-type]
        return made | dict.fromkeys(("created_at", "effective_at"), time.time_ns() // 1_000)

    def _write_down(self, made: dict[str, Any]) -> None:
        name = made["transaction_id"]
        assert name not in self._written, f"the flow itself made two transactions {name}"
        self._written.add(name)
        for entry in made["entries"]:
            sums = self.book[entry["account"], entry["currency"]]
            minor = int(entry["amount"].replace(".", ""))
            sums[0 if entry["side"] == "debit" else 1] += minor
            sums[2] += 1

    def _shard_of(self, made: dict[str, Any]) -> int:
        return partition_of(_key(made), self.settings.shards)

    # How.

    async def _flow(self) -> None:
        due = time.monotonic()
        while self._flowing:
            count = max(1, int(self.rate * TICK * self.random.uniform(0.2, 1.8)))
            made = []
            for _ in range(count):
                what = self.random.random()
                reversal = self._reversal() if what < 0.03 else None
                made.append(reversal or self._made())
                self._write_down(made[-1])
            await self._deliver(made)
            if self.random.random() < 0.2 and self._sent:
                await self._deliver([self.random.choice(self._sent)], known=False)
            if self.random.random() < 0.05:
                shard = self.random.randrange(self.settings.shards)
                self.garbage.update(await self._append([(b"x", self.random.randbytes(40), shard)]))
            due = max(due + TICK, time.monotonic() - 1.0)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _probe(self) -> list[Place]:
        return await self._deliver([self._in_shard(each) for each in range(self.settings.shards)])

    async def _again(self, count: int) -> list[Place]:
        some = self.random.sample(self._sent, min(count, len(self._sent)))
        return await self._deliver(some, known=False)

    async def _transaction(self, named: dict[str, Any]) -> dict[str, Any]:
        made = self._made() | named
        self._write_down(made)
        return made

    async def _deliver(self, made: Sequence[dict[str, Any]], *, known: bool = True) -> list[Place]:
        records = [(_key(each), self.value(each), self._shard_of(each)) for each in made]
        places = await self._append(records)
        if known:
            for each, place in zip(made, places, strict=True):
                self.published[each["transaction_id"]] = place
                self._sent.append(each)
        return places

    async def _append(self, records: Sequence[tuple[bytes, bytes, int]]) -> list[Place]:
        """Until Kafka has them all; a record of which that is not known goes again."""
        topic = f"{self.settings.prefix}.transactions"
        places: dict[int, Place] = {}
        async with self._lock:
            while len(places) < len(records):
                wanted = [each for each in range(len(records)) if each not in places]
                try:
                    producer = await self._started()
                    futures = []
                    for index in wanted:
                        key, value, shard = records[index]
                        futures.append(await producer.send(topic, value, key, shard))
                except (KafkaError, OSError):
                    await self._renew()
                    continue
                found = await asyncio.gather(*futures, return_exceptions=True)
                for index, sent in zip(wanted, found, strict=True):
                    if not isinstance(sent, BaseException):
                        places[index] = (sent.partition, sent.offset)
                if len(places) < len(records):
                    await self._renew()
        return [places[each] for each in range(len(records))]

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **connection.kafka(self.settings), acks="all",
                enable_idempotence=True, request_timeout_ms=5_000, compression_type="lz4",
            )  # fmt: skip
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _renew(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                await asyncio.wait_for(producer.stop(), 5)
            except (KafkaError, OSError, TimeoutError):
                pass
        await asyncio.sleep(0.2)


def _key(made: dict[str, Any]) -> bytes:
    key: str = made["ordering_key"] or made["transaction_id"]
    return key.encode()


def _shown(minor: int, currency: str) -> str:
    scale = SCALES[currency]
    if not scale:
        return str(minor)
    return f"{minor // 10**scale}.{minor % 10**scale:0{scale}}"

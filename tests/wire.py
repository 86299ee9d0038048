"""A running ledger seen from outside: raw records in, and everything that it publishes about them.

    with Wire(settings) as wire:
        place = wire.publish(draft("t-1", at=present()))
        assert wire.outcome_of(*place).accepted
        wire.await_reconciled(place)

Blocking calls over an event loop of its own. Nothing sleeps: what is waited for is a condition
over what the topics say; where they stand still, the message shows how far the ledger got.
"""

import asyncio
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from ledger.domain import avro
from ledger.domain.balance import Balance
from ledger.domain.partition import partition_of
from ledger.domain.run import Watermark
from ledger.domain.transaction import Draft, ordering_key
from ledger.domain.valid_run import ValidRun
from ledger.settings import Settings
from ledger.streaming.decisions import valid_runs
from ledger.streaming.registry import HEADER, Codec, known_ids
from ledger.streaming.topics import topics
from tests import builders
from tests.waiting import PATIENCE, Limit

T = TypeVar("T")
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def present() -> int:
    """This machine's clock, and so the broker's, in microseconds since 1970."""
    return time.time_ns() // 1_000


class Place(NamedTuple):
    """Where the log put a record."""

    shard: int
    offset: int


@dataclass(frozen=True)
class Record:
    """A Kafka record as somebody sends it; `shard` None: where its key belongs."""

    value: bytes | None
    key: bytes | None = None
    shard: int | None = None
    codec: str = "none"


@dataclass(frozen=True)
class Outcome:
    """What the decision log says of one record; `code`, `field` and `reason` of a refusal."""

    verdict: str
    code: str = ""
    field: str = ""
    reason: str = ""
    transaction_id: str | None = None

    @property
    def accepted(self) -> bool:
        return self.verdict == "accepted"


@dataclass
class Known:
    """What the topics have said so far."""

    watermarks: dict[int, Watermark] = field(default_factory=dict)
    reference: dict[int, int] = field(default_factory=dict)
    outcomes: dict[Place, Outcome] = field(default_factory=dict)
    twice: list[Place] = field(default_factory=list)
    rejects: dict[Place, dict[str, Any]] = field(default_factory=dict)
    progress: dict[int, dict[str, Any]] = field(default_factory=dict)
    balances: dict[tuple[str, str], Balance] = field(default_factory=dict)
    statuses: dict[tuple[str, str], list[Balance]] = field(default_factory=dict)
    breaks: list[dict[str, Any]] = field(default_factory=list)


class Wire:
    """One ledger's topics; `worker_log` is quoted when something does not come."""

    def __init__(self, settings: Settings, *, worker_log: Path | None = None) -> None:
        self.settings, self.names = settings, topics(settings)
        self.known = Known()
        self.spoiled = False  # records that no worker wrote are in the topics: they are left out
        self.codec = Codec(known_ids(settings))
        self._worker_log = worker_log
        self._producers: dict[str, AIOKafkaProducer] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T], seconds: float = PATIENCE) -> T:
        """The result of a coroutine on the wire's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    async def _open(self) -> None:
        self._moved = asyncio.Condition()
        self._stack = AsyncExitStack()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.bootstrap_servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
        )
        await self._consumer.start()
        self._stack.push_async_callback(self._consumer.stop)
        names = self.names
        self._consumer.assign(
            [
                TopicPartition(topic.name, partition)
                for topic in (
                    names.decisions, names.rejects, names.progress, names.balances, names.breaks,
                )
                for partition in range(topic.partitions)
            ]
        )  # fmt: skip
        self._task = asyncio.create_task(self._listen(), name="listen")

    async def _close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stack.aclose()

    # What is sent.

    def send(self, records: Sequence[Record]) -> list[Place]:
        """Append them, those of a partition in the order given; returns where each landed."""
        return self.run(self._send(records))

    def publish(self, draft: Draft, **how: Any) -> Place:
        """Append one transaction, as any producer would; `how` as in `record`."""
        return self.send([self.record(draft, **how)])[0]

    def record(self, draft: Draft, **how: Any) -> Record:
        """The record of a transaction: its key, its value under today's schema."""
        key = ordering_key(draft).encode()
        return Record(**({"value": self.encode(draft), "key": key} | how))

    def encode(self, draft: Draft) -> bytes:
        """The value of its record."""
        return builders.wire(draft, self.codec.ids["Transaction"])

    def shard_of(self, key: bytes | str) -> int:
        """The partition of a key."""
        return partition_of(key.encode() if isinstance(key, str) else key, self.settings.shards)

    def say_reference(self, values: Sequence[bytes | None]) -> None:
        """Append reference data, whatever it is; returns when every shard decides with it."""

        async def append() -> int:
            producer = await self._producer("none")
            sent = [
                await producer.send_and_wait(self.names.reference.name, value, b"test", 0)
                for value in values
            ]
            return int(sent[-1].offset)

        last = self.run(append())
        known, shards = self.known.reference, range(self.settings.shards)
        self.until(
            lambda: all(known.get(shard, 0) > last for shard in shards),
            f"reference data up to {last} in every shard, only {known}",
        )

    def append(self, topic: str, key: bytes, value: bytes | None) -> None:
        """Append to another topic what only workers write; the partition is that of the key."""
        found = getattr(self.names, topic)

        async def append() -> None:
            producer = await self._producer("none")
            partition = partition_of(key, found.partitions)
            await producer.send_and_wait(found.name, value, key, partition)

        self.run(append())

    def await_end(self, place: Place) -> None:
        """Until the log goes on to `place`: a transaction's end is written after it is answered."""
        self.run(self._await_end(place))

    async def _await_end(self, place: Place) -> None:
        partition = TopicPartition(self.names.transactions.name, place.shard)
        while (await self._consumer.end_offsets([partition]))[partition] < place.offset:
            pass

    async def _send(self, records: Sequence[Record]) -> list[Place]:
        futures = []
        for record in records:
            producer = await self._producer(record.codec)
            shard = self.shard_of(record.key or b"") if record.shard is None else record.shard
            topic = self.names.transactions.name
            futures.append(await producer.send(topic, record.value, record.key, shard))
        return [Place(sent.partition, sent.offset) for sent in await asyncio.gather(*futures)]

    async def _producer(self, codec: str) -> AIOKafkaProducer:
        if codec not in self._producers:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.settings.bootstrap_servers,
                acks="all",
                compression_type=None if codec == "none" else codec,
                max_request_size=512 * 1024 * 1024,
            )
            await producer.start()
            self._stack.push_async_callback(producer.stop)
            self._producers[codec] = producer
        return self._producers[codec]

    # What is waited for.

    def outcome_of(self, shard: int, offset: int) -> Outcome:
        """What was decided about one record."""
        place = Place(shard, offset)
        self.until(lambda: place in self.known.outcomes, f"a decision about {place}")
        return self.known.outcomes[place]

    def outcomes_of(self, places: Iterable[Place]) -> list[Outcome]:
        """The same of many."""
        return [self.outcome_of(*place) for place in places]

    def reject_of(self, place: Place) -> dict[str, Any]:
        """The public record about a refusal."""
        self.until(lambda: place in self.known.rejects, f"a reject of {place}")
        return self.known.rejects[place]

    def await_reconciled(self, *places: Place) -> None:
        """Until both sides were compared beyond each of them."""
        for place in places:
            self.until(lambda: self.compared(place), f"reconciliation of {place}")  # noqa: B023 - used at once

    def compared(self, place: Place) -> bool:
        """Whether it is reconciled."""
        progress = self.known.progress.get(place.shard)
        return progress is not None and bool(progress["end"] > place.offset)

    def balance(
        self,
        account: str,
        currency: str = "CAD",
        *,
        when: Callable[[Balance], bool] = lambda balance: balance.status == "reconciled",
    ) -> Balance:
        """The newest public balance, once it is as `when` says."""
        key = account, currency
        self.until(
            lambda: key in self.known.balances and when(self.known.balances[key]),
            f"a balance of {key}, last {self.known.balances.get(key)}",
        )
        return self.known.balances[key]

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait for a condition over `known`; fails with what was waited for when the topics rest."""
        if not reached() and not self.run(self._until(reached), 2 * PATIENCE):
            raise AssertionError(f"Not reached: {what}.\n{self._standing()}")

    async def _until(self, reached: Callable[[], bool]) -> bool:
        limit = Limit()
        async with self._moved:
            while not reached():
                if self._task.done():
                    self._task.result()
                try:
                    async with asyncio.timeout(max(limit.left, 0)):
                        await self._moved.wait()
                except TimeoutError:
                    return reached()
                limit.moved()
        return True

    def _standing(self) -> str:
        decided = {shard: mark.end for shard, mark in sorted(self.known.watermarks.items())}
        compared = {shard: row["end"] for shard, row in sorted(self.known.progress.items())}
        said = f"Decided up to, by shard: {decided}; reconciled up to: {compared}."
        if self._worker_log is not None and self._worker_log.exists():
            tail = self._worker_log.read_text(errors="replace").splitlines()[-15:]
            said += "\n" + "\n".join(line[:400] for line in tail)
        return said

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Hear nothing meanwhile: what is measured has the machine to itself."""
        work = self._consumer.assignment()
        self._loop.call_soon_threadsafe(lambda: self._consumer.pause(*work))
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(lambda: self._consumer.resume(*work))

    # What is heard.

    async def _listen(self) -> None:
        names = self.names
        take = {
            names.decisions.name: self._take_decision,
            names.rejects.name: self._take_reject,
            names.progress.name: self._take_progress,
            names.balances.name: self._take_balance,
            names.breaks.name: self._take_break,
        }
        try:
            while True:
                fetched = await self._consumer.getmany(timeout_ms=500)
                for records in fetched.values():
                    for record in records:
                        try:
                            take[record.topic](record)
                        except (AssertionError, ValueError, struct.error):
                            if not self.spoiled:
                                raise
                if fetched:
                    async with self._moved:
                        self._moved.notify_all()
        finally:
            async with self._moved:
                self._moved.notify_all()

    def _take_decision(self, record: ConsumerRecord) -> None:
        watermarks = self.known.watermarks
        mark = watermarks.get(record.partition, Watermark())
        for run in valid_runs(self.codec, [record], mark):
            watermarks[record.partition] = run.after
            self.known.reference[record.partition] = run.decision.reference_offset
            for offset, outcome in outcomes_in(run):
                place = Place(record.partition, offset)
                if place in self.known.outcomes:
                    self.known.twice.append(place)
                self.known.outcomes[place] = outcome

    def _take_reject(self, record: ConsumerRecord) -> None:
        row = self._row("Reject", record)
        place = Place(row["shard"], row["offset"])
        assert record.key == f"{place.shard}:{place.offset}".encode()
        assert record.partition == place.shard
        self.known.rejects[place] = row

    def _take_progress(self, record: ConsumerRecord) -> None:
        row = self._row("Progress", record)
        assert record.key == str(row["shard"]).encode()
        self.known.progress[row["shard"]] = row

    def _take_balance(self, record: ConsumerRecord) -> None:
        balance = Balance(**self._row("Balance", record))
        assert record.key == f"{balance.account} {balance.currency}".encode()
        key = balance.account, balance.currency
        known = self.known.balances.get(key)
        if known is None or balance.version >= known.version:
            self.known.balances[key] = balance
            self.known.statuses.setdefault(key, []).append(balance)

    def _take_break(self, record: ConsumerRecord) -> None:
        self.known.breaks.append(self._row("Break", record))

    def _row(self, name: str, record: ConsumerRecord) -> dict[str, Any]:
        assert record.value is not None
        magic, schema_id = HEADER.unpack_from(record.value)
        assert (magic, schema_id) == (0, self.codec.ids[name])
        return avro.decode(name, record.value, HEADER.size)


def outcomes_in(run: ValidRun) -> Iterable[tuple[int, Outcome]]:
    """Each record of a run with what was decided about it."""
    content, outcomes = run.content, run.outcomes
    for offset, name in zip(content.offsets, content.transaction_ids, strict=True):
        yield offset, Outcome("accepted", transaction_id=name)
    for offset in outcomes.duplicates:
        yield offset, Outcome("duplicate")
    for void in run.voided:
        yield void.offset, Outcome("void", transaction_id=void.transaction.transaction_ids[0])
    for refusal in outcomes.refused:
        yield (
            refusal.offset,
            Outcome("refused", refusal.code, refusal.field, refusal.reason, refusal.transaction_id),
        )

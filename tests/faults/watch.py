"""All that a ledger publishes, followed through every outage, folded with code of its own.

Nothing of the product's is used to judge it but the schemas: the chain of runs, the sums and the
newest balances are made out here a second time.
"""

import asyncio
import io
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import fastavro
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

import schemas
from ledger.settings import Settings
from ledger.streaming import connection
from tests.waiting import STILL, Limit, never

Place = tuple[int, int]
Key = tuple[str, str]
LOST_SECONDS = 5.0
_HEAD = struct.Struct(">iqqqqq")


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if key != "logicalType"}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema


_SCHEMAS = {
    name: fastavro.parse_schema(_plain(schemas.load(name)))
    for name in ("Decision", "Content", "Outcomes", "Voids", "Progress", "Balance", "Break")
}


def decoded(name: str, value: bytes) -> dict[str, Any]:
    """Avro of our own."""
    row: dict[str, Any] = fastavro.schemaless_reader(io.BytesIO(value), _SCHEMAS[name], None)  # type: ignore[assignment]
    return row


@dataclass
class Seen:
    """What was published until now."""

    ends: dict[int, int] = field(default_factory=dict)
    digests: dict[int, bytes] = field(default_factory=dict)
    accepted: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))
    duplicates: list[Place] = field(default_factory=list)
    refused: dict[Place, str] = field(default_factory=dict)
    dropped: int = 0
    sums: dict[Key, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    progress: dict[int, dict[str, Any]] = field(default_factory=dict)
    last: dict[Key, dict[str, Any]] = field(default_factory=dict)
    newest: dict[Key, dict[str, Any]] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    breaks: dict[tuple[int, str, str], dict[str, Any]] = field(default_factory=dict)
    breaks_ever: int = 0
    statuses: Counter[str] = field(default_factory=Counter)


class Watch:
    """Reads in a thread; `until` waits for a condition over `seen`."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.seen = settings, Seen()
        self.read = 0
        self._positions: dict[TopicPartition, int] = {}
        self._moved = threading.Condition()
        self._stopping = False
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()), daemon=True)
        self._take = {
            f"{settings.prefix}.{name}": take
            for name, take in {
                "decisions": self._take_decision,
                "progress": self._take_progress,
                "balances": self._take_balance,
                "breaks": self._take_break,
            }.items()
        }

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._thread.join(30)

    def until(
        self, reached: Callable[[Seen], Any], what: object, *,
        still: float = STILL, lost: Callable[[], str] = never,
    ) -> Any:  # fmt: skip
        """The first value that is true; it is looked at after everything that is read.

        Fails when nothing was published for `still` seconds, or as soon as `lost` says why it cannot
        come any more; it is asked each LOST_SECONDS.
        """
        limit, asked = Limit(still), time.monotonic()
        while True:
            with self._moved:
                read = self.read
                if found := reached(self.seen):
                    return found
                if self._fault is not None:
                    raise self._fault
                self._moved.wait(1.0)
                if self.read > read:
                    limit.moved()
            assert limit.left > 0, f"Not reached: {what}. {self._standing()}"
            if time.monotonic() - asked > LOST_SECONDS:
                why, asked = lost(), time.monotonic()
                assert not why, f"{why}; not reached: {what}. {self._standing()}"

    def ends(self) -> dict[TopicPartition, int]:
        """Where what is followed ends now."""
        return asyncio.run(self._ends(list(self._positions)))

    def has_read(self, ends: dict[TopicPartition, int]) -> bool:
        """Whether everything up to there was read."""
        return all(self._positions[tp] >= end for tp, end in ends.items())

    def caught_up(self) -> None:
        """Wait until everything that the topics hold now was read."""
        ends = self.ends()
        self.until(lambda _: self.has_read(ends), "the topics read to their ends")

    def transactions_end(self) -> dict[int, int]:
        """Where each shard's transactions end now."""
        name = f"{self.settings.prefix}.transactions"
        tps = [TopicPartition(name, each) for each in range(self.settings.shards)]
        return {tp.partition: end for tp, end in asyncio.run(self._ends(tps)).items()}

    async def _ends(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        async with AIOKafkaConsumer(**connection.kafka(self.settings)) as consumer:
            return dict(await consumer.end_offsets(tps))

    def _standing(self) -> str:
        compared = {shard: row["end"] for shard, row in sorted(self.seen.progress.items())}
        return f"Decided: {dict(sorted(self.seen.ends.items()))}; compared: {compared}."

    async def _follow(self) -> None:
        while not self._stopping:
            try:
                await self._follow_on()
            except (KafkaError, OSError):
                await asyncio.sleep(0.2)
            except BaseException as error:
                self._fault = error
                raise

    async def _follow_on(self) -> None:
        consumer = AIOKafkaConsumer(
            **connection.kafka(self.settings),
            enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=100,
        )  # fmt: skip
        await consumer.start()
        try:
            wanted = [
                TopicPartition(topic, partition)
                for topic in self._take
                for partition in range(
                    self.settings.balance_partitions
                    if topic.endswith("balances") else self.settings.shards
                )
            ]  # fmt: skip
            consumer.assign(wanted)
            for tp in wanted:
                consumer.seek(tp, self._positions.setdefault(tp, 0))
            while not self._stopping:
                fetched = await consumer.getmany(timeout_ms=200)
                with self._moved:
                    for tp, records in fetched.items():
                        for record in records:
                            self._take[record.topic](record)
                        self.read += len(records)
                        self._positions[tp] = await consumer.position(tp)
                    if fetched:
                        self._moved.notify_all()
        finally:
            await consumer.stop()

    # Folding.

    def _take_decision(self, record: ConsumerRecord) -> None:
        seen, shard = self.seen, record.partition
        run = decoded("Decision", record.value[5:])
        follows = seen.ends.get(shard, 0), seen.digests.get(shard, bytes(32))
        if (run["start"], run["follows"]) != follows:
            seen.dropped += 1
            return
        known = run.get("reference_digest", b"")
        head = (run[name] for name in ("shard", "start", "end", "recorded_until",
                                       "reference_offset", "accepted"))  # fmt: skip
        parts = [sha256(run[name]).digest() for name in ("content", "outcomes")]
        if voids := run.get("voids", b""):
            parts[1] = sha256(parts[1] + sha256(voids).digest()).digest()
        tag = b"faust-ledger run 2\n" if known else b"faust-ledger run 1\n"
        chain = tag + _HEAD.pack(*head) + run["follows"] + known + b"".join(parts)
        seen.ends[shard], seen.digests[shard] = run["end"], sha256(chain).digest()
        content, outcomes = decoded("Content", run["content"]), decoded("Outcomes", run["outcomes"])
        settled = [*content["offsets"], *outcomes["duplicates"]]
        settled += [each["offset"] for each in outcomes["refused"]]
        voided = decoded("Voids", voids)["voided"] if voids else []
        settled += [each["offset"] for each in voided]
        assert len(settled) == len(set(settled)), f"decided twice in one run of {shard}: {settled}"
        assert all(run["start"] <= each < run["end"] for each in settled), f"outside: {settled}"
        for offset, name in zip(content["offsets"], content["transaction_ids"], strict=True):
            seen.accepted[name].append((shard, offset))
        self._count(content, 1)
        for each in voided:
            taken = decoded("Content", each["content"])
            seen.accepted[taken["transaction_ids"][0]].remove((shard, taken["offsets"][0]))
            self._count(taken, -1)
        seen.duplicates += [(shard, offset) for offset in outcomes["duplicates"]]
        seen.refused |= {(shard, each["offset"]): each["code"] for each in outcomes["refused"]}

    def _count(self, content: dict[str, Any], times: int) -> None:
        """Each entry, or with -1 take each back."""
        legs = zip(content["entry_stripes"], content["entry_amounts"], strict=True)
        for stripe, amount in legs:
            sums = self.seen.sums[content["accounts"][stripe], content["currencies"][stripe]]
            sums[0 if amount > 0 else 1] += times * abs(amount)
            sums[2] += times

    def _take_progress(self, record: ConsumerRecord) -> None:
        row = decoded("Progress", record.value[5:])
        self.seen.progress[row["shard"]] = row

    def _take_balance(self, record: ConsumerRecord) -> None:
        row = decoded("Balance", record.value[5:])
        key = row["account"], row["currency"]
        self.seen.last[key] = row
        known = self.seen.newest.get(key)
        if known is None or row["version"] >= known["version"]:
            self.seen.newest[key] = row
        self.seen.statuses[row["status"]] += 1
        self.seen.history.append(row | {"at": time.monotonic()})
        if len(self.seen.history) > 400_000:
            del self.seen.history[:200_000]

    def _take_break(self, record: ConsumerRecord) -> None:
        row = decoded("Break", record.value[5:])
        key = row["shard"], row["account"], row["currency"]
        self.seen.breaks[key] = row
        self.seen.breaks_ever += row["state"] == "open"

"""Reading many partitions with one consumer: placed by hand, no group, nothing committed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from ledger.client.shards import policy_shards, require_set_right
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import batches as _batches  # noqa: F401 - reads what aiokafka cannot
from ledger.streaming import connection
from ledger.streaming.log import LOOKUP_SECONDS, missing_of, not_there, out_of_reach
from ledger.streaming.topic_look import Broker
from ledger.streaming.topic_rules import PAGE
from ledger.streaming.topics import topics

FETCH_BYTES = 4 * 1024 * 1024
FETCH_WAIT_MS = 50
"""aiokafka has one fetch in flight for each broker; a partition just read waits for its return."""
POLL_SECONDS = 0.5

Ends = Mapping[TopicPartition, int]


async def partition_counts(settings: Settings, *names: str) -> dict[str, int]:
    """How many partitions each topic has.

    Raises LedgerError for a topic that is not there, Unavailable when Kafka does not answer.
    """
    return _asked(settings, names, *await _counted(settings, names))


async def ledger_partitions(settings: Settings, *names: str) -> dict[str, int]:
    """The same, of topics whose number is the ledger's shards, or its partitions of balances.

    How many shards that is the ledger's policy says, where it has one. Raises LedgerError as well
    where it is not: keys would go to other partitions than the ledger's.
    """
    known = topics(settings)
    families = (
        ("shards", (known.transactions, known.decisions, known.progress)),
        ("balance_partitions", (known.stripes, known.balances)),
    )
    among = {topic.name for _, family in families for topic in family}
    counts, hidden = await _counted(settings, among | {known.reference.name, *names})
    found = _asked(settings, names, counts, hidden)
    policy = await policy_shards(settings) if known.reference.name in counts else None
    if policy is not None:
        require_set_right(settings, policy)
    for setting, family in families:
        there = {topic.name: counts[topic.name] for topic in family if topic.name in counts}
        for name in found.keys() & there.keys():
            fixed = policy if setting == "shards" else None
            found[name] = _of_ledger(settings, setting, name, there, fixed)
    return found


def _of_ledger(
    settings: Settings,
    setting: str,
    name: str,
    there: Mapping[str, int],
    policy: int | None = None,
) -> int:
    """How many partitions of `name` are the ledger's; `there` has those that must be as many.

    `policy`: how many the ledger's policy says, which is not to be guessed from the topics then.
    """
    count, least = there[name], min(there.values())
    given = int(getattr(settings, setting)) if setting in settings.model_fields_set else None
    wanted = policy or given or least
    if count == wanted or (count > wanted and settings.added_partitions == "ignore"):
        return wanted
    others = ", ".join(f"{each} has {number}" for each, number in there.items() if each != name)
    said = f" and the setting {setting} says {given}" if given is not None else ""
    if policy is not None:
        said = f" and the ledger's policy says {policy} shards"
    raise LedgerError(
        f"{name} has {count} partitions{said}; {others}. Nothing was sent or read: keys belong to "
        "other partitions where their number changes. A partition was added to a topic, or the "
        f"setting {setting} is another ledger's. What to do: {PAGE}"
    )


async def _counted(settings: Settings, names: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    try:
        async with Broker(settings) as broker:
            return await broker.partitions(names)
    except Unavailable as error:
        raise await _away(settings) from error


def _asked(
    settings: Settings, names: Iterable[str], counts: Mapping[str, int], hidden: Iterable[str]
) -> dict[str, int]:
    for topic in names:
        if topic in hidden:
            raise LedgerError(
                f"Kafka at {settings.bootstrap_servers} does not let user {settings.kafka_user} "
                f"look at {topic}: the role has no right to it, see docs/security.md."
            )
        if topic not in counts:
            raise LedgerError(
                f"Kafka at {settings.bootstrap_servers} has no topic {topic}. `faust-ledger up` "
                "makes the topics; the settings bootstrap_servers and prefix say where to look."
            )
    return {topic: counts[topic] for topic in names}


async def _away(settings: Settings) -> Unavailable:
    return Unavailable(
        f"Kafka at {settings.bootstrap_servers} does not answer: "
        f"{await connection.why_away(settings)}. Is it up (`faust-ledger status`), and are the "
        "settings bootstrap_servers and kafka_... right?"
    )


class Reader:
    """A consumer over partitions of any topics; an async context manager."""

    def __init__(self, settings: Settings, *, fetch_wait_ms: int = FETCH_WAIT_MS) -> None:
        self._settings = settings
        self._fetch_wait_ms = fetch_wait_ms

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            **connection.kafka(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=self._fetch_wait_ms,
        )
        try:
            await self._consumer.start()
        except (KafkaError, OSError) as error:
            await self._consumer.stop()
            raise await _away(self._settings) from error
        # Stopped before its own task had a first turn, aiokafka raises CancelledError.
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._consumer.stop()

    async def bounds(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, int]]:
        """For each partition the first offset held, and the next to be written."""
        wanted = list(partitions)
        async with self._asking(wanted):
            first = await self._consumer.beginning_offsets(wanted)
            last = await self._consumer.end_offsets(wanted)
        return {tp: (first[tp], last[tp]) for tp in wanted}

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """For each partition the next offset to be written."""
        wanted = list(partitions)
        async with self._asking(wanted):
            return dict(await self._consumer.end_offsets(wanted))

    @asynccontextmanager
    async def _asking(self, wanted: list[TopicPartition]) -> AsyncIterator[None]:
        """Raises LedgerError for partitions that are not there; aiokafka would wait for them."""
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                if missing := await missing_of(self._consumer, wanted):
                    raise LedgerError(not_there(missing))
                yield
        except (KafkaError, TimeoutError) as error:
            raise await _away(self._settings) from error

    def place(self, starts: Ends) -> None:
        """Read these partitions and no others, each from its offset."""
        self._consumer.assign(list(starts))
        for tp, offset in starts.items():
            self._consumer.seek(tp, offset)

    async def fetch(self, seconds: float = POLL_SECONDS) -> list[ConsumerRecord]:
        """What has come, in order within each partition; nothing after `seconds` without any."""
        try:
            fetched = await self._consumer.getmany(timeout_ms=round(seconds * 1000))
        except OffsetOutOfRangeError as error:
            tp, position = next(iter(error.args[0].items()))
            held = (await self.bounds([tp]))[tp]
            raise LedgerError(out_of_reach(tp.topic, tp.partition, position, held)) from error
        except KafkaError as error:
            raise LedgerError(
                f"Reading from Kafka at {self._settings.bootstrap_servers} failed: {error!r}"
            ) from error
        return [record for records in fetched.values() for record in records]

    async def positions(self) -> dict[TopicPartition, int]:
        """The next offset of each partition; it counts holes, as offsets seen would not."""
        return {tp: await self._consumer.position(tp) for tp in self._consumer.assignment()}

    async def until(self, ends: Ends) -> AsyncIterator[list[ConsumerRecord]]:
        """The records below `ends` of the partitions placed."""
        while True:
            positions = await self.positions()
            if all(positions[tp] >= end for tp, end in ends.items()):
                return
            records = await self.fetch()
            yield [each for each in records if each.offset < ends.get(_tp(each), each.offset)]


def _tp(record: ConsumerRecord) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


class Follower:
    """Reads on in the background and hands on what comes; `caught_up` says when it is current."""

    def __init__(
        self, reader: Reader, take: Callable[[list[ConsumerRecord]], Awaitable[None]]
    ) -> None:
        self._reader, self._take = reader, take
        self._moved = asyncio.Condition()
        self._taken: dict[TopicPartition, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self, starts: Ends) -> None:
        """Begin, from these offsets."""
        self._reader.place(starts)
        self._taken = dict(starts)
        self._task = asyncio.create_task(self._run(), name="follow")

    async def _run(self) -> None:
        try:
            while True:
                if records := await self._reader.fetch():
                    await self._take(records)
                self._taken = await self._reader.positions()
                await self._wake()
        finally:
            # Whoever waits must hear that this has ended.
            await self._wake()

    async def _wake(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def caught_up(self) -> None:
        """Return once everything that is there now was taken. Raises what stopped the reading."""
        self._require_reading()
        ends = await self._reader.ends(self._taken)
        await self.wait_until(lambda: all(self._taken[tp] >= end for tp, end in ends.items()))

    async def wait_until(self, reached: Callable[[], bool]) -> None:
        """Return once `reached()`, asked after each reading. Raises what stopped the reading."""
        async with self._moved:
            while not reached():
                self._require_reading()
                await self._moved.wait()

    def _require_reading(self) -> None:
        if self._task is None or self._task.cancelled():
            raise LedgerError("It is closed, or was never started: use it within `async with`.")
        if self._task.done():
            error = self._task.exception()
            assert error is not None, "it reads for ever"
            raise error

    async def close(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

"""Reading to an end by position, and what each failure of a broker means to the caller."""

import asyncio
from typing import NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaConnectionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from ledger.errors import InvariantBroken, Unavailable
from ledger.settings import Settings
from ledger.streaming import reader as module
from ledger.streaming.reader import PartitionMissing, Reader, ReadRefused

A, B = TopicPartition("t", 0), TopicPartition("t", 1)
SETTINGS = Settings(bootstrap_servers="nowhere:1")


class Record(NamedTuple):
    """What is used of a ConsumerRecord."""

    topic: str
    partition: int
    offset: int


class Client:
    """What a consumer knows of the cluster: topics become known when they are asked for."""

    def __init__(self, topics):
        self.topics, self.known = topics, {}

    async def add_topic(self, topic):
        self.known[topic] = self.topics.get(topic, set())

    async def force_metadata_update(self):
        self.known = {topic: self.topics.get(topic, set()) for topic in self.known}


class Consumer:
    """Gives one answer after another: records by partition, or an error; then nothing more."""

    def __init__(self, *answers, held=None):
        self.answers, self.at = list(answers), {}
        self.held = held or {A: (0, 10), B: (0, 10)}
        topics = {}
        for tp in self.held:
            topics.setdefault(tp.topic, set()).add(tp.partition)
        self._client = Client(topics)
        self.asked = 0

    def partitions_for_topic(self, topic):
        return self._client.known.get(topic)

    def assign(self, tps):
        self.at = dict.fromkeys(tps, 0)

    def seek(self, tp, offset):
        self.at[tp] = offset

    async def position(self, tp):
        return self.at[tp]

    async def getmany(self, timeout_ms, max_records=None):
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        for tp, (_, position) in answer.items():
            self.at[tp] = position
        return {tp: records for tp, (records, _) in answer.items() if records}

    async def beginning_offsets(self, tps):
        self.asked += 1
        if self.asked > 1:
            raise KafkaConnectionError("gone")
        return {tp: self.held[tp][0] for tp in tps}

    async def end_offsets(self, tps):
        return {tp: self.held[tp][1] for tp in tps}


def reader_of(*answers, **given):
    made = Reader(SETTINGS)
    made._consumer = Consumer(*answers, **given)
    return made


def fetched(tp, *offsets, then=None):
    """An answer for one partition, and the position after it."""
    records = [Record(*tp, each) for each in offsets]
    return records, offsets[-1] + 1 if then is None else then


def read(reader, starts, ends):
    async def story():
        reader.assign(starts)
        return [[each.offset for each in records] async for records in reader.until(ends)]

    return asyncio.run(story())


def test_it_reads_to_the_ends_whatever_is_beyond_them():
    reader = reader_of(
        {A: fetched(A, 3, 4), B: fetched(B, 0)}, {A: fetched(A, 5, 6, 7), B: fetched(B, 1, 2)}
    )
    assert read(reader, {A: 3, B: 0}, {A: 6, B: 2}) == [[3, 4], [0], [5], [1]]


def test_holes_at_the_end_are_passed_by_position():
    """Control records and what compaction took have offsets, and are no records."""
    assert read(reader_of({A: fetched(A, 1, then=4)}), {A: 0}, {A: 4}) == [[1]]
    assert read(reader_of({A: ([], 4)}), {A: 0}, {A: 4}) == []


def test_nothing_to_read_asks_for_nothing():
    assert read(reader_of(KafkaConnectionError("not asked")), {A: 4}, {A: 4}) == []


def test_between_leaves_out_partitions_that_have_nothing_to_read():
    """aiokafka's consumer may not stop after it was assigned such."""

    async def story(reader, starts, ends):
        found = reader.between(starts, ends)
        return [[each.offset for each in records] async for records in found]

    reader = reader_of({A: fetched(A, 3, 4)})
    assert asyncio.run(story(reader, {A: 3, B: 4}, {A: 5, B: 4})) == [[3, 4]]
    assert reader._consumer.at == {A: 5}
    reader = reader_of(KafkaConnectionError("not asked"))
    assert asyncio.run(story(reader, {A: 7, B: 4}, {A: 5, B: 4})) == []
    assert reader._consumer.at == {}


def test_partitions_without_an_end_are_not_handed_on():
    assert read(reader_of({A: fetched(A, 0), B: fetched(B, 0)}), {A: 0, B: 0}, {A: 1}) == [[0]]


def test_reading_ends_where_a_silent_broker_does_not_answer(monkeypatch):
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)
    reader = reader_of()
    with pytest.raises(Unavailable, match="gone"):
        read(reader, {A: 0}, {A: 10})
    assert reader._consumer.asked == 2, "while it answered, reading went on"


def test_each_failure_says_what_it_is():
    for failure, kind, match in (
        (OffsetOutOfRangeError({A: 12}), InvariantBroken, r"t\[0\] ends at 10, but 12 .*recreated"),
        (TopicAuthorizationFailedError("t"), ReadRefused, r"does not let user .* read .*t"),
        (KafkaConnectionError("gone"), Unavailable, "nowhere:1.*gone"),
    ):
        with pytest.raises(kind, match=match):
            read(reader_of(failure), {A: 0}, {A: 1})


def test_partitions_that_are_not_there_are_named_or_left_out():
    there, missing = TopicPartition("t", 0), TopicPartition("t", 7)

    async def story():
        reader = reader_of()
        assert await reader.bounds([there]) == {there: (0, 10)}
        for asked in (reader.bounds, reader.ends):
            with pytest.raises(PartitionMissing, match=r"no t\[7\]:"):
                await asked([there, missing])
        assert await reader.ends([there, missing], leave_out_missing=True) == {there: 10}
        assert await reader.ends([missing], leave_out_missing=True) == {}

    asyncio.run(story())


def test_a_partition_that_was_added_since_is_found():
    async def story():
        reader = reader_of()
        with pytest.raises(PartitionMissing):
            await reader.bounds([TopicPartition("t", 2)])
        consumer = reader._consumer
        consumer.held[TopicPartition("t", 2)] = (0, 0)
        consumer._client.topics["t"].add(2)
        assert await reader.ends([TopicPartition("t", 2)]) == {TopicPartition("t", 2): 0}

    asyncio.run(story())


def test_a_lookup_without_an_answer_ends(monkeypatch):
    monkeypatch.setattr(module, "LOOKUP_SECONDS", 0.01)

    async def story():
        reader = reader_of()

        async def never(tps):
            await asyncio.Event().wait()

        reader._consumer.end_offsets = never
        with pytest.raises(Unavailable, match=r"did not answer within .* the ends of t\[0\]"):
            await reader.ends([A])

    asyncio.run(story())


def test_a_broker_that_nobody_reaches_is_unavailable():
    async def story():
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"):
            async with Reader(Settings(bootstrap_servers="127.0.0.1:1")):
                pass

    asyncio.run(story())

"""A table beside its changelog, with others who write there too: the last of a key is the newest."""

import asyncio

import pytest

from ledger.streaming.table import ChangelogTable, Overtaken
from tests.unit.test_work import Kafka

TOPIC = "changelog"


def version(key, value):
    return int(value)


class Contended(Kafka):
    """Another worker appends `others`, one record before each append of this one."""

    def __init__(self, *others):
        super().__init__()
        self.others = list(others)

    async def append_absolute(self, topic, partition, records):
        if self.others:
            self.of(topic, partition).append([self.others.pop(0)])
        return await super().append_absolute(topic, partition, records)

    def last(self):
        return dict(self.of(TOPIC).records())


@pytest.fixture
def table_on(tmp_path):
    def made(kafka, name="disk"):
        return ChangelogTable(tmp_path / name, kafka, TOPIC, 0, version)

    return made


def test_older_rows_in_between_are_set_right_until_none_is(table_on):
    async def story():
        kafka = Contended((b"a", b"1"), (b"b", b"1"))
        table = table_on(kafka)
        await table.open()
        await table.write({b"a": b"5", b"b": b"5"})
        assert kafka.last() == {b"a": b"5", b"b": b"5"}
        assert not kafka.others
        written = len(kafka.of(TOPIC).records())
        await table.write({b"a": b"6"})
        assert len(kafka.of(TOPIC).records()) == written + 1, "what was looked through is not again"

    asyncio.run(story())


@pytest.mark.parametrize("others", [[(b"a", b"9")], [(b"a", b"1"), (b"c", b"1")]])
def test_a_newer_or_an_unknown_row_in_between_ends_this_writer(table_on, others):
    """Whether before the first append or before the one that sets right."""

    async def story():
        table = table_on(Contended(*others))
        await table.open()
        with pytest.raises(Overtaken):
            await table.write({b"a": b"5"})

    asyncio.run(story())


def test_an_older_row_left_last_is_set_right_on_opening(table_on):
    async def story():
        kafka = Contended()
        kafka.of(TOPIC).append([(b"a", b"5"), (b"b", b"5"), (b"a", b"4")])
        table = table_on(kafka)
        await table.open()
        assert (table.get(b"a"), kafka.last()) == (b"5", {b"a": b"5", b"b": b"5"})
        again = table_on(kafka, "another disk")
        await again.open()
        assert len(kafka.of(TOPIC).records()) == 4
        assert again.get(b"a") == b"5"

    asyncio.run(story())


def test_what_is_no_row_is_left_out_and_ours_said_again(table_on):
    async def story():
        kafka = Contended((b"a", b"garbage"), (None, None), (b"new", b"?"))
        kafka.of(TOPIC).append([(b"a", b"5"), (b"a", b"none"), (b"b", b""), (None, b"7"[:0])])
        table = table_on(kafka)
        await table.open()
        assert (table.get(b"a"), table.get(b"b")) == (b"5", None)
        assert kafka.last()[b"a"] == b"5"
        for number in (b"6", b"7", b"8"):
            await table.write({b"a": number})
            assert kafka.last()[b"a"] == number
        again = table_on(kafka, "another disk")
        await again.open()
        assert (again.get(b"a"), again.get(b"new")) == (b"8", None)

    asyncio.run(story())

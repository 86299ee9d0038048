"""Bearer tokens as their topic has them: the newest counts, foreign records do not."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from ledger.domain.access import BearerToken
from ledger.errors import InvariantBroken, Unavailable
from ledger.settings import Settings
from ledger.streaming import tokens
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec
from ledger.streaming.tokens import TokenReader

CODEC = Codec({tokens.SCHEMA: 7})
TOPIC = "ledger.access"
ONE = BearerToken("0000000001", b"h" * 32, ("read",), ("assets:cash",), "", 5, "command:ann", 9)
TWO = replace(ONE, id="0000000002", scopes=("admin",), accounts=(), expires_at=None)


class Written(Log):
    """A log of one partition in memory; `first` is what compaction or deletion has left."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.records: list[tuple[bytes | None, bytes | None]] = []
        self.first = 0

    def put(self, *some: BearerToken) -> None:
        self.records += [tokens.message(CODEC, each) for each in some]

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        assert (topic, partition) == (TOPIC, 0)
        return self.first, len(self.records)

    async def read(
        self, topic: str, partition: int, start: int, until: int | None = None
    ) -> AsyncIterator[list[ConsumerRecord]]:
        for offset, (key, value) in list(enumerate(self.records))[start:until]:
            yield [record(offset, key, value)]

    async def follow(
        self, topic: str, partition: int, start: int
    ) -> AsyncIterator[list[ConsumerRecord]]:
        if start > len(self.records):
            raise InvariantBroken("it ends before that")
        async for records in self.read(topic, partition, start):
            yield records


def record(offset: int, key: bytes | None, value: bytes | None) -> Any:
    return ConsumerRecord(TOPIC, 0, offset, 0, 0, key, value, None, None, None, ())


def read(log: Written, reader: TokenReader | None = None) -> TokenReader:
    found = reader or TokenReader(log, CODEC, TOPIC)
    asyncio.run(found.read_on())
    return found


def test_the_newest_record_of_a_token_counts() -> None:
    log = Written()
    log.put(ONE, TWO, replace(ONE, revoked_at=7, revoked_by="command:bob"))
    found = read(log)
    assert found.known == {
        ONE.id: replace(ONE, revoked_at=7, revoked_by="command:bob"),
        TWO.id: TWO,
    }


def test_it_goes_on_where_it_was() -> None:
    log = Written()
    log.put(ONE)
    found = read(log)
    log.put(TWO)
    log.records[0] = (None, None)
    assert read(log, found).known == {ONE.id: ONE, TWO.id: TWO}
    log.records.append((ONE.id.encode(), None))
    asyncio.run(found.follow_on())
    assert found.known == {TWO.id: TWO}


def test_what_nobody_of_ours_wrote_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    log = Written()
    key, value = tokens.message(CODEC, ONE)
    log.records += [
        (b"another", value), (None, value), (key, b"?"), (key, value[:-1]), (None, None),
        (b"\xff", None), (key, value),
    ]  # fmt: skip
    assert read(log).known == {ONE.id: ONE}
    assert caplog.text.count("Dropped a foreign record") == 4


def test_of_a_topic_that_was_made_anew_the_old_tokens_do_not_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = Written()
    log.put(ONE, TWO, TWO)
    found = read(log)
    log.records.clear()
    log.put(TWO)
    assert read(log, found).known == {TWO.id: TWO}
    assert "read again" in caplog.text

    log.put(ONE, ONE)
    read(log, found)

    async def recreated_while_followed() -> None:
        async def follow(*_: object) -> AsyncIterator[list[ConsumerRecord]]:
            log.records.clear()
            raise InvariantBroken("it was recreated")
            yield []

        log.follow = follow  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await found.follow_on()

    asyncio.run(recreated_while_followed())
    assert found.known == {}


def test_what_compaction_removed_is_not_needed() -> None:
    log = Written()
    log.put(ONE, TWO)
    log.first = 1
    assert read(log).known == {TWO.id: TWO}

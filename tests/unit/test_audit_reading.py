"""LogDecoder: what the audit decodes of the log, refused records included."""

import asyncio
from collections.abc import Iterable

from aiokafka import ConsumerRecord

from ledger.audit.reading import LogDecoder
from ledger.settings import Settings
from tests.builders import NOW, KnownReader, draft, wire

MADE = draft("t-1")


class AskedReader(KnownReader):
    """Keeps what it was asked to prepare."""

    asked: list[bytes | None]

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        self.asked = list(values)


def record(offset: int, value: bytes | None) -> ConsumerRecord:
    """One of the log."""
    return ConsumerRecord(
        "transactions", 0, offset, NOW // 1_000, 1, b"t-1", value, None, 0, len(value or b""), ()
    )  # type: ignore[call-arg]


def test_refused_records_are_decoded() -> None:
    reader = AskedReader.of(Settings())
    originals = LogDecoder(reader)
    values = [wire(MADE), wire(MADE), b"?", None, wire(MADE, schema_id=9), bytes(500)]
    records = [record(offset, value) for offset, value in enumerate(values)]
    found = asyncio.run(originals.of(records, {1, 2, 3, 4, 5}, largest=400))
    assert [each.draft for each in found[:2]] == [MADE, MADE]
    assert [each.code for each in found] == [
        "", "", "UNREADABLE", "UNREADABLE", "UNKNOWN_SCHEMA", "TOO_LARGE",
    ]  # fmt: skip
    assert found[5].draft is None
    assert all(isinstance(each.draft, str) for each in found[2:5])


def test_accepted_records_are_decoded_beyond_the_size_limit() -> None:
    originals = LogDecoder(AskedReader.of(Settings()))
    [found] = asyncio.run(originals.of([record(0, wire(MADE))], set(), largest=1))
    assert found.draft == MADE


def test_a_schema_of_refused_records_is_looked_up_once() -> None:
    reader = AskedReader.of(Settings())
    originals = LogDecoder(reader)
    made_up = wire(MADE, schema_id=9)
    records = [record(0, made_up), record(1, made_up), record(2, wire(MADE))]
    for asked in ([made_up, wire(MADE)], [wire(MADE)]):
        asyncio.run(originals.of(records, {0, 1}, largest=1_000))
        assert reader.asked == asked

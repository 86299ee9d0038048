"""Reference data that count for nothing: told of once, where somebody can do something about it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from ledger.client.imports import Importer
from ledger.client.records import Records
from ledger.client.reference import ClientReference
from ledger.domain import avro
from ledger.domain.reference import Asset, Reference
from ledger.settings import Settings
from ledger.streaming.reference import key_and_row
from ledger.streaming.registry import HEADER, Codec


class Record(NamedTuple):
    """What is used of a ConsumerRecord."""

    offset: int
    value: bytes
    key: bytes = b"k"
    topic: str = "ledger.reference"
    partition: int = 0
    timestamp: int = 5


RECORDS: Any = Records(None, Codec({"Reference": 5}))  # type: ignore[arg-type]


def encoded(asset: Asset) -> bytes:
    row = dict.fromkeys(
        ("currency", "opened_at", "closed_at", "follows", "window_days", "early_minutes",
         "unknown_accounts", "max_transaction_bytes", "shards", "shard", "until_offset", "at_most")
    )  # fmt: skip
    return avro.encode("Reference", row | key_and_row(asset)[1], HEADER.pack(0, 5))


TOPIC = [
    Record(0, encoded(Asset("BTC", 8))),
    Record(1, encoded(Asset("BTC", 9))),
    Record(2, b"text"),
    Record(3, encoded(Asset("B T C", 8))),
    Record(4, encoded(Asset("ETH", 8))),
]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if each.levelno >= logging.INFO]


def test_a_command_that_only_reads_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reference = ClientReference(Settings(), RECORDS)
    reference._reader._add(TOPIC)  # type: ignore[arg-type]
    assert said(caplog) == []
    assert reference.known.scales["BTC"] == 8
    assert reference.known.scales["ETH"] == 8
    assert reference.known.offset == 5
    caplog.set_level(logging.DEBUG)
    ClientReference(Settings(), RECORDS)._reader._add(TOPIC)  # type: ignore[arg-type]
    ignored = [each.message for each in caplog.records if "ignored" in each.message]
    assert [each.split(" is ")[0] for each in ignored] == [
        "Reference data at 1", "Reference data at 2", "Reference data at 3",
    ]  # fmt: skip


def test_an_import_says_what_it_finds_beside_its_own(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def bounds(partitions: list[Any]) -> dict[Any, tuple[int, int]]:
        return dict.fromkeys(partitions, (0, 5))

    async def between(starts: Any, ends: Any) -> AsyncIterator[list[Record]]:
        [start], [end] = starts.values(), ends.values()
        yield [each for each in TOPIC if start <= each.offset < end]

    made: Any = Importer(Settings())
    made._known, made._records = Reference(offset=2), RECORDS
    made._reader = SimpleNamespace(bounds=bounds, between=between)
    found = asyncio.run(made._read_back(5))
    assert [(each.offset, each.item.code) for each in found] == [(4, "ETH")]
    foreign, ignored = said(caplog)
    assert "ledger.reference[0] at 2" in foreign
    assert "Reference data at 3 is ignored: 'B T C' with 8 decimals" in ignored

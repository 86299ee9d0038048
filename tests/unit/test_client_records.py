"""Records of our topics are read whatever registered version wrote them; foreign ones left out."""

import asyncio
import copy
import json
from typing import NamedTuple

import fastavro

import schemas
from ledger.client.records import Records
from ledger.domain import avro
from ledger.settings import Settings
from ledger.streaming.registry import HEADER, Codec, Registry

ROW = {
    "account": "assets:cash", "currency": "CAD", "scale": 2, "posted": "1.00", "pending": "0.00",
    "debits": "1.00", "credits": "0.00", "entries": 1, "status": "reconciled", "version": 7,
}  # fmt: skip


class Record(NamedTuple):
    """What is used of a ConsumerRecord."""

    value: bytes | None
    topic: str = "ledger.balances"
    partition: int = 0
    offset: int = 0


class Asked(Registry):
    """Knows schema 99: ours with a field more."""

    def __init__(self):
        super().__init__(Settings())
        self.schema = copy.deepcopy(schemas.load("Balance"))
        self.schema["fields"].insert(0, {"name": "branch", "type": "string", "default": ""})
        self.asked = []

    async def get(self, path):
        self.asked.append(path)
        return {"schema": json.dumps(self.schema)} if path == "schemas/ids/99" else None

    def newer(self):
        import io

        out = io.BytesIO()
        out.write(HEADER.pack(0, 99))
        fastavro.schemaless_writer(out, fastavro.parse_schema(self.schema), {**ROW, "branch": "7"})
        return out.getvalue()


def decode(registry, *values):
    records = Records(registry, Codec({"Balance": 5}, registry.writer))
    return asyncio.run(records.decode("Balance", [Record(value) for value in values]))


def test_reads_its_own_and_a_newer_version():
    registry = Asked()
    own = avro.encode("Balance", ROW, HEADER.pack(0, 5))
    found = decode(registry, own, registry.newer(), registry.newer(), own)
    assert [row for _, row in found] == [ROW] * 4
    assert registry.asked == ["schemas/ids/99"], "looked up once"


def test_leaves_out_what_is_not_ours():
    own = avro.encode("Balance", ROW, HEADER.pack(0, 5))
    unknown = HEADER.pack(0, 98) + own[5:]
    found = decode(Asked(), None, b"", b"text!", own[:-1], unknown, b"\x01" + own[1:], own)
    assert len(found) == 1

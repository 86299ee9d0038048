"""The codec of our own records, whatever version of ours wrote them."""

import io
from typing import Any

import fastavro
import pytest

import schemas
from ledger.domain import avro
from ledger.domain.refusal import Refused
from ledger.domain.run import Content, Decision
from ledger.streaming.registry import HEADER, Codec
from ledger.streaming.writers import readable
from tests.builders import run_of


def test_a_codec_reads_what_another_version_wrote() -> None:
    """An id that is not this version's is looked up once."""
    asked = []

    def look_up(schema_id: int) -> Any:
        asked.append(schema_id)
        found = readable(schemas.load("Progress"), schema_id)
        assert not isinstance(found, Refused)
        return found

    row = {
        "shard": 3,
        "end": 9,
        "decisions_offset": 4,
        "digest": bytes(32),
        "recorded_until": 5,
        "open_breaks": 0,
    }
    value = Codec({"Progress": 1}).encode("Progress", row)
    newer = Codec({"Progress": 2}, look_up)
    assert newer.decode("Progress", value) == newer.decode("Progress", value) == row
    assert asked == [1]
    with pytest.raises(ValueError, match="not this version's"):
        Codec({"Progress": 2}).decode("Progress", value)


def test_a_decision_of_a_version_before_has_no_digest_of_its_reference_data() -> None:
    """Bytes, as everywhere: the chain is made of them."""
    schema = schemas.load("Decision")
    before = {**schema, "fields": [f for f in schema["fields"] if f["name"] != "reference_digest"]}
    writer = fastavro.parse_schema(avro.without_logical_types(before))
    decision = run_of(Content())
    row = {name: value for name, value in decision.row().items() if name != "reference_digest"}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, writer, row)
    codec = Codec({"Decision": 2}, lambda schema_id: writer)
    read = Decision(**codec.decode("Decision", HEADER.pack(0, 1) + out.getvalue()))
    assert read == decision
    assert read.digest == decision.digest

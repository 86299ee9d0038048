"""The codec of our own records, whatever version of ours wrote them."""

from typing import Any

import pytest

import schemas
from ledger.domain.refusal import Refused
from ledger.streaming.registry import Codec
from ledger.streaming.writers import readable


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

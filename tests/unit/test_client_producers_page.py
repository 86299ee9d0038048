"""docs/producers.md agrees with the code: every refusal, in order, and every test vector."""

import json
import re
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2

from ledger.client import lines
from ledger.domain.partition import partition_of
from ledger.domain.refusal import Reason

PAGE = (Path(__file__).parents[2] / "docs" / "producers.md").read_text()
VECTORS = re.findall(r"^\| `([^`]+)` \| `([0-9a-f]+)` \| (\d+) \| (\d) \|$", PAGE, re.MULTILINE)


def test_lists_exactly_the_refusals_in_order_of_precedence():
    listed = re.findall(r"^- `([A-Z_]+)`: ", PAGE, re.MULTILINE)
    assert listed == [reason.value for reason in Reason]


def test_there_are_vectors():
    assert len(VECTORS) == 8


@pytest.mark.parametrize(("key", "octets", "hash_", "partition"), VECTORS)
def test_vector_agrees_with_ours_and_with_aiokafka(key, octets, hash_, partition):
    name = key.encode()
    assert name.hex() == octets
    assert murmur2(name) & 0xFFFFFFFF == int(hash_)
    assert (murmur2(name) & 0x7FFFFFFF) % 8 == int(partition)
    assert partition_of(name, 8) == int(partition)


def test_the_line_shown_is_one_that_is_taken():
    [line] = re.findall(r"^```json\n(.+)\n```$", PAGE, re.MULTILINE)
    assert json.loads(line)["transaction_id"] == "dep-2024-000001"
    draft = lines.read(line, created_at=5)
    assert isinstance(draft, dict)
    assert draft["created_at"] == 5


def test_the_python_shown_compiles():
    blocks = re.findall(r"^```python\n(.+?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "producers.md", "exec")

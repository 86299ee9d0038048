"""docs/producers.md agrees with the code: every refusal, in order, and every test vector."""

import asyncio
import io
import json
import re
from pathlib import Path

import pytest
from aiokafka.partitioner import murmur2

from ledger.client import lines
from ledger.client.checking import OfflineChecker
from ledger.client.csv_lines import csv_lines_of
from ledger.client.csv_mapping import read_mapping
from ledger.domain.partition import partition_of
from ledger.domain.policy import Policy
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


def test_the_csv_shown_is_taken_with_the_mappings_shown(tmp_path):
    mappings = re.findall(r"^```toml\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    texts = re.findall(r"^```csv\n(.+?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    drafts = []
    for mapping, text in zip(mappings, texts, strict=True):
        file = tmp_path / "mapping.toml"
        file.write_text(mapping)
        by = read_mapping(file)
        drafts.append(asyncio.run(csv_drafts(io.BytesIO(text.encode(by.encoding)), by)))
    [[entry], [deposit, fee]] = drafts
    assert [(each["account"], each["side"], each["amount"]) for each in entry["entries"]] == [
        ("assets:cash", "debit", "1234.50"), ("liabilities:deposits:2378", "credit", "1234.50")
    ]  # fmt: skip
    assert (entry["metadata"], entry["effective_at"]) == (
        {"branch": "Genève"}, 1_714_514_400_000_000
    )  # fmt: skip
    assert (deposit["transaction_id"], fee["entries"][1]["account"]) == ("dep-1", "income:fees")
    assert fee["created_at"] == 1_714_575_609_000_000


async def csv_drafts(stream, mapping):
    checker, drafts = OfflineChecker(Policy(), clock=lambda: 1_714_600_000_000_000), []
    async for found in csv_lines_of(stream, mapping):
        for _, row in found:
            draft = lines.draft_of(row.fields, created_at=1_714_575_600_000_000)
            assert await checker.check(draft) is None
            drafts.append(draft)
    return drafts


def test_the_python_shown_compiles():
    blocks = re.findall(r"^```python\n(.+?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "producers.md", "exec")

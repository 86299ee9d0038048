"""Copies of reference data: damaged ones are refused, and runs must agree with them."""

import json
from pathlib import Path

import pytest

from ledger.client.copy_file import CopiedRecord, digests_of, read_copy, write_copy
from ledger.client.reference_copy import Named, contradicting_shards, hole_in
from ledger.domain.reference import NO_RECORDS, Reference
from ledger.errors import LedgerError

TOPIC = "ledger.reference"
RECORDS = [
    CopiedRecord(0, 1_700_000_000_000, b"policy", b"\x00\xff\n"),
    CopiedRecord(1, 1_700_000_000_001, None, b""),
    CopiedRecord(2, -1, b"asset:BTC", None),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    file = tmp_path / "copy.jsonl"
    write_copy(file, TOPIC, RECORDS)
    return file


def test_a_copy_has_every_record_with_offset_and_time(copy: Path) -> None:
    assert read_copy(copy, TOPIC) == RECORDS
    assert [each.name for each in copy.parent.iterdir()] == [copy.name], "nothing beside it"


def test_the_digest_is_that_of_the_ledger() -> None:
    reference = Reference()
    for each in RECORDS:
        reference.note(each.offset, each.key, each.value)
    assert digests_of(RECORDS)[-1] == reference.digest
    assert digests_of([])[-1] == NO_RECORDS


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:-1], "is damaged: it has 2 records of 3"),
        (lambda lines: [*lines, lines[-1]], "is damaged: it has 4 records of 3"),
        (lambda lines: [lines[0].replace('"end"', '"start"'), *lines[1:3], lines[3][:-9]], "or is damaged"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], "their content was changed"),
        (lambda lines: [each.replace("cG9saWN5", "cG9saWN6") for each in lines], "was changed"),
        (lambda lines: [each.replace("cG9saWN5", "cG9s*WN6") for each in lines], "is not a copy of"),
        (lambda lines: lines[1:], "is not a copy of reference data"),
        (lambda lines: [], "is not a copy of reference data"),
        (lambda lines: ["[]", *lines[1:]], "is not a copy of reference data"),
    ],
)  # fmt: skip
def test_a_damaged_copy_is_refused(copy: Path, damage, said: str) -> None:  # type: ignore[no-untyped-def]
    copy.write_text("\n".join(damage(copy.read_text().splitlines())))
    with pytest.raises(LedgerError, match=said):
        read_copy(copy, TOPIC)


def test_the_copy_of_another_ledger_is_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"copy of ledger\.reference, and this .* other\.ref"):
        read_copy(copy, "other.reference")
    with pytest.raises(LedgerError, match="cannot be read: No such file"):
        read_copy(tmp_path / "nowhere", TOPIC)
    with pytest.raises(LedgerError, match="cannot be written: No such file"):
        write_copy(tmp_path / "nowhere" / "copy", TOPIC, RECORDS)


def test_the_head_describes_the_records(copy: Path) -> None:
    assert json.loads(copy.read_text().splitlines()[0]) == {
        "topic": TOPIC, "records": 3, "end": 3, "digest": digests_of(RECORDS)[-1].hex(),
    }  # fmt: skip


def test_a_hole_is_found() -> None:
    assert hole_in(RECORDS) is None
    assert hole_in([RECORDS[0], RECORDS[2]]) == 1
    assert hole_in(RECORDS[1:]) == 0
    assert hole_in([]) is None


def test_shards_that_were_decided_with_other_records_are_named() -> None:
    right = {
        0: Named(3, digests_of(RECORDS)[-1]),
        1: Named(2, digests_of(RECORDS)[2]),
        2: Named(0, NO_RECORDS),
        # Of a version that named no digest.
        3: Named(1, b""),
    }
    assert contradicting_shards(RECORDS, right) == []
    assert contradicting_shards([], {2: right[2]}) == []
    (late,) = contradicting_shards(RECORDS[:2], right)
    assert late == "shard 0 was decided with the records before 3, and it ends at 2."
    (old,) = contradicting_shards([], {3: right[3]})
    assert "before 1, and it ends at 0" in old
    other = [RECORDS[0]._replace(value=b"other"), *RECORDS[1:]]
    assert [each.split(" other ")[0] for each in contradicting_shards(other, right)] == [
        "shard 0 was decided with", "shard 1 was decided with",
    ]  # fmt: skip
    # A hole before it is other records, too.
    assert contradicting_shards([RECORDS[0], RECORDS[2]], {1: right[1]}) != []

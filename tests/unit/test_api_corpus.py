"""One corpus of bad input for both: what the API answers is what the log's reader decides.

The cases are those of tests/integration/bad_input.py, which that reader gets on a running ledger.
Here each goes to the API, as JSON, and its record to `decide`, and both must say the same.
"""

import asyncio
import re

import pytest

from ledger.api.flow.fate import Level
from ledger.api.problems import Problem
from ledger.api.services.requests import Wait
from ledger.client.rejects import line_of
from ledger.domain import avro
from ledger.domain.transaction import Draft, ordering_key
from ledger.settings import Settings
from ledger.streaming.registry import HEADER
from tests import builders
from tests.integration.bad_input import (
    ACCEPTED,
    ACCOUNTS,
    AMOUNTS,
    DUPLICATE,
    ENTRIES,
    FIELDS,
    SIZES,
    STATEFUL,
    TIMES,
    YEAR_0,
    Case,
    Maker,
)
from tests.unit.api_ledger import ApiLedger
from tests.wire import Record

NO_JSON = {
    *(f"{field} of the {size}" for field in ("effective_at", "created_at")
      for size in ("smallest number", "biggest")),
    "the topic's own limit", "half the topic's limit",
}  # fmt: skip
"""Numbers that no RFC 3339 time says, and records that are no transactions."""
CASES = [
    each
    for each in (*SIZES, *FIELDS, *TIMES, *ENTRIES, *AMOUNTS, *ACCOUNTS, *STATEFUL)
    if each.name not in NO_JSON
]
DECIDED = Wait(Level.DECIDED, 10)
SECONDS = re.compile(r"-?\d+ seconds ahead")


class MemoryWire:
    """Makes records as tests.wire does, of a ledger of one shard."""

    def __init__(self) -> None:
        self.settings = Settings(shards=1)

    def encode(self, draft: Draft) -> bytes:
        return builders.wire(draft)

    def record(self, draft: Draft) -> Record:
        return Record(builders.wire(draft), ordering_key(draft).encode())

    def shard_of(self, key: bytes | str) -> int:
        """There is one."""
        return 0


def records_of(case: Case) -> list[Record]:
    counter = iter(range(1_000_000))
    new_id = lambda prefix="t": f"{prefix}-{next(counter):012}"  # noqa: E731
    return case.make(Maker(MemoryWire(), new_id, {}))  # type: ignore[arg-type]


def usual_draft(record: Record) -> Draft:
    found: Draft = avro.decode("Transaction", record.value or b"", HEADER.size)
    return found


async def by_api(records: list[Record]) -> tuple[str, str, str]:
    """Code, field and sentence of the last one, or its outcome and nothing else."""
    ledger = ApiLedger()
    found = ("", "", "")
    try:
        for record in records:
            draft = usual_draft(record)
            # What is empty is sent empty.
            body = line_of(draft) | ({"ordering_key": ""} if draft["ordering_key"] == "" else {})
            # Python's times have no year 0, and RFC 3339 has.
            body = {name: "0000-01-01T00:00:00Z" if each == YEAR_0 else each
                    for name, each in body.items()}  # fmt: skip
            try:
                written = await ledger.services.writes.publish(ledger.caller(), body, wait=DECIDED)
                found = (DUPLICATE if written.status == DUPLICATE else ACCEPTED, "", "")
            except Problem as problem:
                found = (problem.code, problem.field, problem.detail)
    finally:
        ledger.close()
    return found


async def by_log(records: list[Record]) -> tuple[str, str, str]:
    """The same of the records as they are decided."""
    ledger = ApiLedger()
    ledger.close()
    for record in records:
        assert record.key is not None
        assert record.value is not None
        last = ledger.shard.append(record.key, record.value)
    refusal = ledger.shard.refused.get(last)
    if refusal is not None:
        return refusal.code, refusal.field, refusal.reason
    return ledger.shard.verdicts[last], "", ""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_api_says_what_the_log_says(case: Case) -> None:
    records = records_of(case)
    api, log = asyncio.run(by_api(records)), asyncio.run(by_log(records))
    assert api[0] == case.expected
    assert api[:2] == log[:2]
    assert SECONDS.sub("", api[2]) == SECONDS.sub("", log[2])
    assert re.search(case.advice, api[2])


def test_every_case_that_json_can_say_is_among_them() -> None:
    assert len(CASES) > 100
    assert {each.expected for each in CASES} >= {"ID_REUSED", "REVERSED_ALREADY", "TOO_LARGE"}

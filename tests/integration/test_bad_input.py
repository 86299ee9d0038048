"""What bad input gets, on a running ledger: an answer each, and nothing around it disturbed.

Everything is published once, each record between two good transactions of the same shard; the
tests then look at what became of it.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ledger.domain.transaction import MINUTE
from tests import builders
from tests.conftest import Stack
from tests.integration.bad_input import (
    ACCEPTED,
    CASES,
    DUPLICATE,
    FOREIGN,
    VERSIONS,
    Case,
    Maker,
)
from tests.registry import Registry
from tests.wire import Outcome, Place, Record, Wire, present

SECONDS = 30.0
SENTENCE = re.compile(r"[^\n]{20,600}\.")


@dataclass(frozen=True)
class Sent:
    """Where a case's records went, and the good ones around them."""

    record: Record
    place: Place
    earlier: Sequence[Place]
    around: Sequence[Place]


@dataclass(frozen=True)
class Published:
    """All cases, and what had become of each by the time that all should have been decided."""

    sent: dict[str, Sent]
    outcomes: dict[Place, Outcome]
    agents_before: dict[str, Any]
    seconds: float
    trouble: str


@pytest.fixture(scope="module")
def schema_ids(stack: Stack, new_id: Callable[..., str]) -> Iterator[dict[str, int]]:
    """Ids of schemas that are registered: versions of ours, and others'."""
    subject = f"{stack.settings.prefix}.transactions-value"
    foreign = {name: f"{new_id(name)}-value" for name in FOREIGN}
    with Registry(stack.settings.registry_url) as registry:
        ids = {
            name: registry.register(
                foreign[name], schema if kind == "PROTOBUF" else json.dumps(schema), kind
            )
            for name, (kind, schema) in FOREIGN.items()
        }
        _, before = registry.get(f"/subjects/{subject}/versions")
        ids |= {
            name: registry.register(subject, json.dumps(schema))
            for name, schema in VERSIONS.items()
        }
        yield ids
        _, after = registry.get(f"/subjects/{subject}/versions")
        for version in set(after) - set(before):
            registry.delete(f"/subjects/{subject}/versions/{version}")
        for name in foreign.values():
            registry.delete(f"/subjects/{name}")


@pytest.fixture(scope="module")
def published(
    stack: Stack, wire: Wire, new_id: Callable[..., str], schema_ids: dict[str, int]
) -> Published:
    """Every case between two good ones, published in one go; what was decided within a limit."""
    maker = Maker(wire, new_id, schema_ids)
    before = stack.agents()
    records: list[Record] = []
    spans: dict[str, tuple[int, int]] = {}
    for case in CASES:
        made = case.make(maker)
        shard = made[-1].shard if made[-1].shard is not None else wire.shard_of(made[-1].key or b"")
        codec = made[-1].codec
        start = len(records)
        records += [
            neighbour(wire, maker, shard, codec),
            *made,
            neighbour(wire, maker, shard, codec),
        ]
        spans[case.name] = (start, len(records))
    began = time.monotonic()
    places = wire.send(records)
    decided = lambda: all(place in wire.known.outcomes for place in places)  # noqa: E731
    compared = lambda: all(map(wire.compared, places))  # noqa: E731
    trouble = ""
    try:
        wire.until(lambda: decided() and compared(), "all cases decided and compared", SECONDS)
    except AssertionError as error:
        trouble = str(error)
    sent = {
        name: Sent(
            records[end - 2], places[end - 2], places[start + 1 : end - 2],
            (places[start], places[end - 1]),
        )
        for name, (start, end) in spans.items()
    }  # fmt: skip
    return Published(sent, dict(wire.known.outcomes), before, time.monotonic() - began, trouble)


def neighbour(wire: Wire, maker: Maker, shard: int, codec: str) -> Record:
    name = builders.id_in_shard(shard, wire.settings.shards, maker.new_id("good"))
    return wire.record(maker.draft(transaction_id=name), codec=codec)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_gets_its_answer(published: Published, wire: Wire, case: Case) -> None:
    sent = published.sent[case.name]
    outcome = published.outcomes.get(sent.place)
    assert outcome is not None, f"never decided: {sent.place}\n{published.trouble}"
    if case.expected in (ACCEPTED, DUPLICATE):
        assert outcome.verdict == case.expected, outcome
    else:
        check_refusal(wire, case, sent, outcome)


def check_refusal(wire: Wire, case: Case, sent: Sent, outcome: Outcome) -> None:
    """Code, field, a sentence to act on; and a public record with the bytes as they came."""
    assert (outcome.verdict, outcome.code, outcome.field) == ("refused", case.expected, case.field)
    assert re.search(case.advice, outcome.reason), outcome.reason
    assert SENTENCE.fullmatch(outcome.reason), outcome.reason
    reject = wire.reject_of(sent.place)
    assert (reject["key"], reject["value"]) == (sent.record.key, sent.record.value)
    assert (reject["code"], reject["field"], reject["reason"]) == (
        outcome.code, outcome.field, outcome.reason,
    )  # fmt: skip
    assert reject["transaction_id"] == outcome.transaction_id
    assert abs(reject["recorded_at"] - present()) < 10 * MINUTE


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_around_it_is_accepted_and_reconciled(
    published: Published, wire: Wire, case: Case
) -> None:
    sent = published.sent[case.name]
    for place in (*sent.around, *sent.earlier):
        outcome = published.outcomes.get(place)
        assert outcome is not None, f"never decided: {place}\n{published.trouble}"
        assert outcome.accepted, outcome
        assert wire.compared(place)


def test_no_process_was_restarted_and_nothing_broke(
    published: Published, stack: Stack, wire: Wire
) -> None:
    assert stack.agents() == published.agents_before
    assert wire.known.twice == []
    assert all(row["open_breaks"] == 0 for row in wire.known.progress.values())
    assert wire.known.breaks == []

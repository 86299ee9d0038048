"""What bad input gets, on a running ledger: an answer each, and nothing around it disturbed.

Everything is published once, each record between two good transactions of the same shard; the
tests then look at what became of it.
"""

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from ledger.domain.policy import MINUTE
from ledger.domain.refusal import Reason
from ledger.domain.transaction import Draft
from ledger.gl.postgresql import PostgresJournal
from ledger.streaming.topics import MIB
from tests import builders
from tests.conftest import Stack
from tests.integration.bad_input import (
    ACCEPTED,
    BIGGEST,
    CASES,
    DUPLICATE,
    FOREIGN,
    UNFIT,
    VERSIONS,
    Case,
    Maker,
)
from tests.registry import Registry
from tests.wire import Outcome, Place, Record, Wire, present

pytestmark = pytest.mark.traces
"""Registers schemas that publishers with the latest one would write with, and be refused."""

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
        ids |= {
            name: registry.register(subject, json.dumps(schema))
            for name, schema in (VERSIONS | UNFIT).items()
        }
        yield ids
        # Versions of ours stay: the log now has transactions that were written with them.
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
        wire.until(lambda: decided() and compared(), "all cases decided and compared")
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
        assert wire.compared(sent.place)
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


NOISE = random.Random(7).randbytes(700_000)
"""Which zstd finds again and packs, and lz4 does not."""


@pytest.mark.parametrize(
    "record",
    [
        Record(bytes(MIB), b"k"),
        Record(NOISE * 30, b"k", codec="zstd"),
        Record(b"v", NOISE * 30, codec="zstd"),
    ],
    ids=["plain", "noise by zstd", "a key by zstd"],
)
def test_the_broker_refuses_what_is_past_the_topics_limit(wire: Wire, record: Record) -> None:
    """However small it is packed: a worker would have to hold it unpacked.

    Zeros by every codec are in tests/hostile, with damage of any kind.
    """
    with pytest.raises(MessageSizeTooLargeError):
        wire.send([record])


def test_a_refusal_keeps_no_more_than_the_log_can_take() -> None:
    """Should a topic of another make let such a record through."""
    big = NOISE * 30
    refused = builders.unreadable(Reason.TOO_LARGE)
    decided = builders.settle([builders.received(refused, key=big, value=big)])
    [refusal] = builders.outcomes_of(decided).refused
    assert (refusal.key, refusal.value) == (big[:MIB], big[:MIB])


def test_a_transaction_cut_anywhere_is_unreadable(wire: Wire, new_id: Callable[..., str]) -> None:
    good = Maker(wire, new_id, {}).good()
    assert good.value is not None
    places = wire.send([Record(good.value[:end], good.key) for end in range(len(good.value))])
    outcomes = wire.outcomes_of([*places, *wire.send([good])])
    assert {outcome.code for outcome in outcomes[:-1]} == {"UNREADABLE"}
    assert outcomes[-1].accepted


def test_bad_reference_data_is_passed_over(
    stack: Stack, wire: Wire, new_id: Callable[..., str]
) -> None:
    """From whoever writes past the command that checks; what comes after it counts.

    Every client says on stderr, from then on, that it passes this over too.
    """
    before = stack.agents()
    good = new_id("A").upper()
    codes = {
        "too long": ("L" * 33, 2), "with a blank": (f"A {good}", 2), "not ASCII": (f"É{good}", 2),
        "nothing": ("", 2), "too fine": (f"{good}F", 19), "below none": (f"{good}N", -1),
        "no scale": (f"{good}S", None),
    }  # fmt: skip
    rows: list[Any] = [asset(code, scale) for code, scale in codes.values()]
    rows += [asset("assets:x", None) | {"type": "account", "closed_at": -(2**63)}]
    rows += [asset("not an account", None) | {"type": "account"}, asset("?", 2) | {"type": "?"}]
    values = [wire.codec.encode("Reference", row) for row in rows]
    transaction = Maker(wire, new_id, {}).good().value
    garbage = [b"", b"\xff", bytes(5), values[0][:-1], values[0] + b"\0", transaction, None]
    wire.say_reference([*values, *garbage, wire.codec.encode("Reference", asset(good, 6))])

    def bought(code: str, amount: str = "1") -> Draft:
        return Maker(wire, new_id, {}).draft(currency=code, amount=amount)

    assert wire.outcome_of(*wire.publish(bought(good, "0.000001"))).accepted
    places = [wire.publish(bought(code)) for code, _ in codes.values()]
    assert {outcome.code for outcome in wire.outcomes_of(places)} == {"UNKNOWN_CURRENCY"}
    wire.await_reconciled(*places, wire.publish(bought(good)))
    assert stack.agents() == before


def asset(code: str, scale: int | None) -> dict[str, Any]:
    named = {"type": "asset", "code": code, "name": "", "scale": scale}
    return {**named, "currency": None, "opened_at": None, "closed_at": None}


def test_sums_past_64_bits_stay_exact(
    wire: Wire, journal: PostgresJournal, new_id: Callable[..., str]
) -> None:
    """On one stripe, by one ordering key; and then over stripes."""
    account, other = f"assets:{new_id()}", f"equity:{new_id()}"
    key = new_id()
    biggest = [
        builders.draft(new_id(), amount=BIGGEST, debit=account, credit=other, at=present(),
                       ordering_key=key if index < 5 else None)
        for index in range(9)
    ]  # fmt: skip
    back = builders.draft(new_id(), amount="0.01", debit=other, credit=account, at=present())
    places = wire.send([*map(wire.record, biggest), wire.record(back)])
    assert all(outcome.accepted for outcome in wire.outcomes_of(places))
    wire.await_reconciled(*places)

    debits, credits = 9 * (2**63 - 1), 1
    assert debits > 2**66
    told = wire.balance(account, when=lambda balance: balance.entries == 10)
    assert (told.debits, told.credits) == (cents(debits), cents(credits))
    assert (told.posted, told.pending, told.status) == (cents(debits - 1), "0.00", "reconciled")
    mirrored = wire.balance(other, when=lambda balance: balance.entries == 10)
    assert mirrored.posted == told.posted
    rows = journal.balances(accounts=[account, other])
    assert [(row.debits, row.credits, row.entries) for row in rows] == [
        (debits, credits, 10), (credits, debits, 10),
    ]  # fmt: skip
    as_of = journal.balances(accounts=[account], as_of=present(), by="effective")
    assert [(row.debits, row.credits) for row in as_of] == [(debits, credits)]


def cents(amount: int) -> str:
    return f"{amount // 100}.{amount % 100:02}"

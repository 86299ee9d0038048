"""Every decoder on hostile bytes: a result or its own refusal, soon, and without much memory.

HYPOTHESIS_PROFILE=fuzz runs this for as long as FAUST_LEDGER_FUZZ_EXAMPLES says: `make fuzz`.
"""

import json
import logging
import resource
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import fastavro
import pytest
import typer
from aiokafka import ConsumerRecord
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from ledger.cli.output import time_option
from ledger.client.imports import read_items
from ledger.client.lines import parse_time, read
from ledger.domain import account, avro, money
from ledger.domain.balance import AccountStripes, Balance, Totals
from ledger.domain.compare import Difference, Mark
from ledger.domain.fold import Row
from ledger.domain.reference import Reference
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Content, Outcomes, Refusal, Stripe, Watermark
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.settings import load as load_settings
from ledger.stack import identity, record
from ledger.stack.files import layout
from ledger.streaming.batches import FetchedBatches, read_again
from ledger.streaming.decisions import valid_runs
from ledger.streaming.messages import Messages, balance
from ledger.streaming.reference import item_of
from ledger.streaming.registry import Codec
from ledger.streaming.stripe_rows import RowCodec, decode_mark, encode_mark, key_of, stripe_of
from ledger.streaming.writers import readable, schema_in
from tests.builders import (
    CASH,
    NOW,
    KnownReader,
    draft,
    entry,
    numbered,
    outcomes_of,
    received,
    reversal,
    settle,
    stripe,
    totals,
    unreadable,
    verdicts,
    wire,
)  # fmt: skip
from tests.hostile.damage import NUMBERS, damaged, varint

SECONDS = 2.0
"""That one small value may take; a thousand times what it does."""
MEBIBYTES = 64
"""By which one call may grow the process."""
MORE = settings(max_examples=max(250, settings.default.max_examples if settings.default else 0))
NAMES = ("Decision", "Posted", "Progress", "Reference", "Balance", "Break", "Reject", "Stripe",
         "Transaction", "Content", "Outcomes")  # fmt: skip
CODEC = Codec({name: index for index, name in enumerate(NAMES, 1)})
MADE = [
    draft("t-1"),
    draft("t-2", description="é" * 40, ordering_key="k", metadata={"a": "b", "ключ": "🐎"}),
    draft("t-3", entries=[entry(f"assets:{each}", "debit") for each in range(30)]),
    reversal(draft("t-1")),
    draft("t-4", entries=[]),
]
DECIDED = settle(numbered([*MADE, unreadable(), draft("t-1")]))
SIDES = Difference(stripe(), totals(1, 2, 3, 4), None)
ROWS: dict[str, list[bytes]] = {
    "Decision": [CODEC.encode("Decision", DECIDED.row())],
    "Posted": [CODEC.encode("Posted", {
        "shard": 1, "after": 2, "decisions_offset": 3, "end": 4, "digest": bytes(32),
        "accounts": [CASH] * 3, "currencies": ["CAD"] * 3, "debits": ["1"] * 3,
        "credits": ["0"] * 3, "entries": [1] * 3, "offsets": [9] * 3})],
    "Progress": [Messages(CODEC, 3).progress(Watermark(1, 2, bytes(32), NOW), 0)[1]],
    "Reference": [CODEC.encode("Reference", {"type": "asset", "code": "BTC", "scale": 8}),
                  CODEC.encode("Reference", {"type": "account", "code": CASH, "opened_at": NOW})],
    "Balance": [balance(CODEC.head("Balance"), Balance(
        CASH, "CAD", 2, "1.00", "0.00", "1.00", "0.00", 1, "pending", 7))[1]],
    "Break": [Messages(CODEC, 3).break_(SIDES, (1, 2), state="open", detected_at=NOW)[1]],
    "Reject": [Messages(CODEC, 3).reject(
        Refusal(1, NOW, "t", "UNREADABLE", "", "why", b"k", b"v" * 40))[1]],
    "Stripe": [RowCodec(CODEC).encode(Row(2, totals(1), totals(1), broken=False))],
    "Transaction": [wire(each, CODEC.ids["Transaction"]) for each in MADE],
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def silence() -> Iterator[None]:
    """What is dropped is said in the log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def most() -> int:
    """MiB that this process has ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def soon(decode: Callable[..., Any], *arguments: Any) -> Any:
    """What it returns or raises, within the time and the memory.

    Looked at around each call: Hypothesis itself keeps 114 MiB of 20,000 examples.
    """
    began, held = time.process_time(), most()
    try:
        return decode(*arguments)
    finally:
        took, grown = time.process_time() - began, most() - held
        assert took < SECONDS, f"{decode} took {took:.1f} s for {arguments!r:.400}"
        assert grown < MEBIBYTES, f"{decode} took {grown} MiB for {arguments!r:.400}"


def refused_or(decode: Callable[..., Any], own: Any, *arguments: Any) -> Any:
    """Its result; None where it raised what is its own to raise."""
    try:
        return soon(decode, *arguments)
    except own:
        return None


def known_by_reference(row: dict[str, Any]) -> Reference:
    known = Reference()
    known.add([item_of(row)])
    return known


CHANCE = st.randoms(use_true_random=False)


@pytest.mark.parametrize("name", [name for name in NAMES if name in ROWS])
@MORE
@given(CHANCE)
def test_records_of_every_topic(name: str, chance: Random) -> None:
    value = damaged(chance, chance.choice(ROWS[name]))
    row = refused_or(CODEC.decode, ValueError, name, value)
    if row is None:
        return
    if name == "Reference" and refused_or(known_by_reference, ValueError, row) is None:
        # fastavro reads an int of 64 bits, as this scale may be.
        return
    # What was read can be written again.
    CODEC.encode(name, row)
    if name == "Stripe":
        refused_or(RowCodec(CODEC).decode, ValueError, value)


@pytest.mark.parametrize(
    ("decode", "good"), [(Content.decode, DECIDED.content), (Outcomes.decode, DECIDED.outcomes)]
)
@MORE
@given(CHANCE)
def test_what_a_decision_holds(decode: Any, good: bytes, chance: Random) -> None:
    refused_or(decode, ValueError, damaged(chance, good))


@MORE
@given(CHANCE)
def test_a_reader_of_decisions_drops_what_it_cannot_read(chance: Random) -> None:
    good = ROWS["Decision"][0]
    values = [damaged(chance, good), None, good, damaged(chance, good)]
    records: list[ConsumerRecord] = [
        ConsumerRecord("ledger.decisions", 0, at, 0, 0, None, value, None, 0, 0, ())
        for at, value in enumerate(values)
    ]
    runs = soon(lambda: list(valid_runs(CODEC, records, Watermark())))
    assert len(runs) == 1


READER = KnownReader.of(Settings())
READER.subject.known[CODEC.ids["Transaction"]] = avro.parsed("Transaction")


@MORE
@given(CHANCE)
def test_transactions_get_one_outcome_each(chance: Random) -> None:
    """From any bytes to the decision log, and what of it is said."""
    records = []
    for offset in range(4):
        made = chance.choice(MADE)
        value = damaged(chance, wire(made, CODEC.ids["Transaction"]))
        key = chance.choice([made["transaction_id"].encode(), None, value])
        found = soon(READER.decode, value)
        records.append(received(found, offset, key=key, value=value))
    decided = soon(lambda: settle(records))
    assert verdicts(decided).keys() == {0, 1, 2, 3}
    for refusal in outcomes_of(decided).refused:
        assert refusal.code in set(Reason)
        assert refusal.value == records[refusal.offset].value
        _, said = Messages(CODEC, 0).reject(refusal)
        assert CODEC.decode("Reject", said)["value"] == refusal.value


PRIMITIVES = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"]


def hostile_type(chance: Random, depth: int = 0) -> Any:
    """Of a schema, right or not."""
    kinds = [
        *PRIMITIVES, "Entry", "ledger.Entry", "Transaction", "ledger.Transaction", "E", "nobody",
        None, 7, {}, {"type": "fixed", "name": f"F{depth}", "size": chance.choice([0, 1, 9, -1])},
        {"type": "enum", "name": f"N{depth}", "symbols": chance.choice([[], ["debit"], ["a", "b"]])},
        {"type": "long", "logicalType": chance.choice(["timestamp-micros", "timestamp-millis"])},
    ]  # fmt: skip
    if depth < 4 and chance.random() < 0.5:
        inner = hostile_type(chance, depth + 1)
        name = chance.choice(["E", f"R{depth}", "x.E", "Transaction"])
        fields = [{"name": f"f{each}", "type": inner} for each in range(chance.randrange(3))]
        return chance.choice([
            {"type": "array", "items": inner}, {"type": "map", "values": inner}, ["null", inner],
            [inner, "string"], {"type": "record", "name": name, "fields": fields},
            {"type": "error", "name": name, "fields": fields},
        ])  # fmt: skip
    return chance.choice(kinds)


def conforms(made: Any) -> bool:
    """Whether it has the types of a Draft."""
    kinds = {"transaction_id": str, "kind": str, "description": str, "effective_at": int,
             "created_at": int, "ordering_key": (str, type(None)), "reverses": (str, type(None)),
             "entries": list, "metadata": dict}  # fmt: skip
    return (
        made.keys() == kinds.keys()
        and all(isinstance(made[name], kind) for name, kind in kinds.items())
        and all(isinstance(text, str) for pair in made["metadata"].items() for text in pair)
        and all(
            each.keys() == {"account", "side", "amount", "currency"}
            and all(isinstance(text, str) for text in each.values())
            and each["side"] in ("debit", "credit")
            for each in made["entries"]
        )
    )


@MORE
@given(CHANCE)
def test_a_schema_of_any_producer_harms_nobody(chance: Random) -> None:
    """Refused, or what is read with it is refused or a transaction, whatever the bytes."""
    ours = schemas.load("Transaction")
    fields = [
        each | {"type": hostile_type(chance)} if chance.random() < 0.15 else each
        for each in ours["fields"]
    ]
    fields += [
        {"name": f"x{each}", "type": hostile_type(chance)} for each in range(chance.randrange(3))
    ]
    schema = ours | {"fields": fields, "name": chance.choice(["Transaction", "ledger.Transaction"])}
    found = soon(lambda: readable(schema, 7, read_as="Transaction"))
    if isinstance(found, Refused):
        return
    tail = b"".join(varint(chance.choice(NUMBERS)) for _ in range(chance.randrange(9)))
    good = ROWS["Transaction"][chance.randrange(len(MADE))][5:]
    for value in (good, good + tail, damaged(chance, good + tail)):
        made = refused_or(avro.decode_as, ValueError, found, value, 0, avro.parsed("Transaction"))
        assert made is None or conforms(made), made


@MORE
@given(CHANCE, st.recursive(st.none() | st.booleans() | st.text(max_size=9), lambda inner:
       st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)))  # fmt: skip
def test_whatever_a_registry_answers(chance: Random, answer: Any) -> None:
    refused_or(schema_in, ValueError, answer)
    text = damaged(chance, json.dumps(schemas.load("Transaction")).encode()).decode(
        errors="replace"
    )
    for schema in (answer, schema_in({"schema": text})):
        soon(lambda schema=schema: readable(schema, 7, read_as="Transaction"))


def batch(chance: Random) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for offset in range(chance.randrange(1, 4)):
        headers = [("name", b"value"), ("other", None)][: chance.randrange(3)]
        value = chance.choice([b"value" * 9, None])
        builder.append(offset, NOW // 1000, chance.choice([b"key", None]), value, headers)
    return bytes(builder.build())


@MORE
@given(CHANCE)
def test_batches_of_records(chance: Random) -> None:
    whole = batch(chance)
    frame, body = whole[:61], whole[61:]
    spoilt = frame + damaged(chance, body)
    spoilt = spoilt[:8] + struct.pack(">i", len(spoilt) - 12) + spoilt[12:]
    own = CorruptRecordException
    refused_or(read_again, own, spoilt)
    records = refused_or(lambda: list(FetchedBatches(spoilt).next_batch() or ()), own)
    if records is not None:
        offsets = [each.offset for each in records]
        assert offsets == sorted(set(offsets))
        assert all(0 <= offset < 4 for offset in offsets)


HELD = AccountStripes(2)
HELD.reconcile(3, Totals(5, 0, 1, 9))


@MORE
@given(CHANCE)
def test_rows_of_tables(chance: Random) -> None:
    """Of a disk that lost its mind; RocksDB's own sums find nearly all of that first."""
    refused_or(stripe_of, ValueError, damaged(chance, key_of(Stripe(CASH, "CAD"))))
    refused_or(decode_mark, ValueError, damaged(chance, encode_mark(Mark())))
    held = refused_or(AccountStripes.decode, ValueError, damaged(chance, HELD.encode()))
    if held is not None:
        refused_or(held.latest, ValueError, 3)
    refused_or(Totals.read, ValueError, damaged(chance, b"5 0 1 9").decode(errors="replace"))


LINE = json.dumps({
    "transaction_id": "dep-1", "kind": "deposit", "effective_at": "2024-05-01T14:00:00.5+02:00",
    "created_at": "2024-05-01T14:00:00Z", "metadata": {"a": "b"}, "entries": [
        {"account": "assets:cash", "side": "debit", "amount": "12.34", "currency": "CAD"},
        {"account": "liabilities:2378", "side": "credit", "amount": "12.34", "currency": "CAD"}]})  # fmt: skip
ITEMS = (
    b'{"code": "BTC", "scale": 8}\n{"account": "assets:cash", "closed_at": "2024-05-01T14:00:00Z"}'
)


@MORE
@given(CHANCE)
def test_lines_of_json(chance: Random) -> None:
    found = soon(lambda line: read(line, created_at=NOW), damaged(chance, LINE.encode()))
    assert isinstance(found, Refused) or conforms(found)
    for kind in ("asset", "account"):
        soon(read_items, damaged(chance, ITEMS), kind)


@MORE
@given(CHANCE, st.text(max_size=80))
def test_texts_that_people_type(chance: Random, anything: str) -> None:
    for good in ("2024-05-01T14:00:00.123456+02:00", "2024-05-01", anything):
        text = damaged(chance, good.encode()).decode(errors="surrogateescape")
        assert isinstance(soon(parse_time, text), int | str)
        refused_or(time_option, typer.BadParameter, text, "--as-of")
    for good in ("12.34", "0.000000000000000001", anything):
        text = damaged(chance, good.encode()).decode(errors="surrogateescape")
        for scale in (0, 2, 18):
            amount = soon(money.parse, text, scale)
            if not isinstance(amount, Reason):
                assert 0 < amount <= money.MAX_AMOUNT
                assert soon(money.parse, money.show(amount, scale), scale) == amount
    text = damaged(chance, CASH.encode()).decode(errors="surrogateescape")
    assert soon(account.well_formed, text) in (True, False)


STORED = json.dumps({
    "bootstrap_servers": "127.0.0.1:9092", "registry_url": "http://127.0.0.1:8081", "shards": 8,
    "database_url": "postgresql://x", "service_database_url": "postgresql://y", "data_dir": "/d",
    "parts": {"kafka": {"pid": 1, "started": 2.5, "port": 3, "log": "/l"}},
    "workers": [{"name": "worker-1", "pid": 1, "started": 2.5, "port": None, "log": "/l"}]})  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("stored")
    layout(made).stack_file.parent.mkdir(parents=True, exist_ok=True)
    return made


@MORE
@given(CHANCE)
def test_stored_addresses(place: Path, chance: Random) -> None:
    """stack.json, by whatever ended while it was being written, or by hand."""
    at = layout(place)
    changed = json.loads(STORED)
    changed[chance.choice(list(changed))] = chance.choice([None, 7, "x", [], {}, [1], {"a": "b"}])
    spoilt = chance.choice(
        [b"[" * 5_000, b"[]", b"7", damaged(chance, STORED.encode()), json.dumps(changed).encode()]
    )
    for file in (at.stack_file, at.identity_file):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(spoilt)
    found = soon(record.load_record, at)
    assert found is None or isinstance(found, record.Record)
    refused_or(identity.load_identity, LedgerError, at)
    refused_or(load_settings, LedgerError, place)


def test_what_is_good_is_read() -> None:
    """Or the tests above would hold for decoders that read nothing."""
    for name, values in ROWS.items():
        for value in values:
            assert CODEC.decode(name, value)
    assert Content.decode(DECIDED.content).offsets == [0, 1, 3]
    assert isinstance(read(LINE, created_at=NOW), dict)
    assert [len(read_items(ITEMS, kind)[0]) for kind in ("asset", "account")] == [1, 1]
    chance = Random(1)
    assert len(list(FetchedBatches(batch(chance)).next_batch() or ())) > 0
    assert fastavro.parse_schema(schemas.load("Transaction"))

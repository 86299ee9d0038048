"""Refusals: which are selected, their transactions as JSON, and whether they were accepted since."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from ledger.cli import rejects
from ledger.cli.main import app
from ledger.client import lines
from ledger.client.accepted import AcceptedSince, ShardRuns, accepted_since
from ledger.client.records import Records
from ledger.client.rejects import RejectReader, Selection, line_of
from ledger.domain.policy import LONG_AGO
from ledger.domain.run import Watermark
from ledger.errors import LedgerError
from ledger.gl.books import Accepted
from ledger.settings import Settings
from ledger.streaming.registry import Codec
from tests.builders import DEPOSIT, draft, numbered, settle

CODEC = Codec({"Decision": 2, "Transaction": 1})
AT = 1_700_000_000_000_000


def row(**changes):
    found = {
        "shard": 0, "offset": 5, "transaction_id": "t-1", "code": "NOT_BALANCED", "field": "",
        "reason": "No.", "recorded_at": AT, "key": b"t-1", "value": b"",
    }  # fmt: skip
    return found | changes


def has(found, reader_draft=None, **wanted):
    selection = Selection(**{
        name: frozenset(value) if isinstance(value, set) else value
        for name, value in wanted.items()
    })  # fmt: skip
    return selection.has(found) and selection.has_content(reader_draft)


def test_a_selection_takes_what_matches_all_of_it():
    assert has(row())
    assert has(row(), codes={"NOT_BALANCED"}, ids={"t-1", "t-2"}, start=AT, end=AT + 1)
    assert not has(row(), codes={"TOO_LATE"})
    assert not has(row(), ids={"t-2"})
    assert not has(row(), start=AT + 1)
    assert not has(row(), end=AT)


def test_a_selection_by_what_only_the_transaction_has():
    found = draft(metadata={"producer": "cards"})
    assert has(row(), found, producers={"cards", "loans"})
    assert not has(row(), draft(), producers={"cards"})
    assert not has(row(), None, producers={"cards"}), "what cannot be decoded is nobody's"
    assert has(row(), found, accounts={DEPOSIT})
    assert has(row(), found, accounts={DEPOSIT.rpartition(":")[0]}), "and what is below it"
    assert not has(row(), found, accounts={DEPOSIT[:-1]}), "whole segments"
    assert not has(row(), found, accounts={"income:fees"}, producers={"cards"})


@pytest.mark.parametrize(
    "found",
    [
        draft(),
        draft(ordering_key="k", reverses="r", description="für", metadata={"a": "b"}),
        draft(effective_at=-1, created_at=1_700_000_000_123_456),
    ],
)
def test_a_transaction_is_the_line_that_publish_takes(found):
    assert lines.read(json.dumps(line_of(found)), created_at=None) == found


def test_a_time_that_rfc_3339_has_not_is_a_number():
    assert line_of(draft(effective_at=2**62))["effective_at"] == 2**62


def reader(*known):
    """A reader whose registry knows these schemas, and counts what it is asked."""
    made, asked = RejectReader(Settings()), []

    async def learn(schema_id):
        asked.append(schema_id)
        if schema_id not in known:
            raise ValueError("the registry knows no such schema")

    made._transactions = Records(SimpleNamespace(learn=learn), CODEC)
    return made, asked


def test_a_value_is_decoded_where_it_can_be_and_the_registry_asked_once():
    made, asked = reader()

    def decoded(value):
        return asyncio.run(made.draft_of(row(value=value)))

    assert decoded(CODEC.encode("Transaction", draft())) == draft()
    assert decoded(None) is None
    assert decoded(b"nope") is None
    assert decoded(CODEC.encode("Transaction", draft())[:-3]) is None
    assert asked == []
    foreign = b"\0\0\0\0\x09rest"
    assert [decoded(foreign), decoded(foreign)] == [None, None]
    assert asked == [9]


def record(run, offset):
    return SimpleNamespace(
        topic="ledger.decisions", partition=0, offset=offset,
        value=CODEC.encode("Decision", run.row()),
    )  # fmt: skip


def chain():
    """Three runs, and one that an owner appended that no longer was one."""
    first = settle(numbered([draft("a")]))
    mark = first.after(Watermark(), decisions_offset=0)
    zombie = settle(numbered([draft("z")], start=1), watermark=mark)
    second = settle(numbered([draft("b")], start=1), watermark=mark)
    after = second.after(mark, decisions_offset=1)
    third = settle(numbered([draft("c")], start=2), watermark=after)
    return [record(first, 0), record(second, 1), record(zombie, 2), record(third, 3)], after


def known_of(records, mark):
    made = ShardRuns({"a", "b", "c", "z"}, mark)
    for each in records:
        made.take(CODEC, each)
    found, since = made.accepted()
    return {name: each.offset for name, each in found.items()}, since


def test_only_runs_of_the_chain_accept():
    records, mark = chain()
    assert known_of(records, mark) == ({"a": 0, "b": 1, "c": 2}, LONG_AGO)
    found, since = known_of(records[1:], mark)
    assert found == {"b": 1, "c": 2}
    assert since > LONG_AGO, "what came before the second run is not known"
    assert known_of(records[2:], mark)[0] == {"c": 2}
    assert known_of(records, Watermark()) == ({"a": 0, "b": 1, "c": 2}, LONG_AGO)


def test_accepted_since_is_later_in_the_log():
    known = AcceptedSince({"t-1": Accepted(0, 6, AT + 5)}, LONG_AGO)
    assert known.of(row()).offset == 6
    assert known.of(row(offset=7)) is None, "accepted before: this one was a reuse of the id"
    assert known.knows(row(offset=7))
    assert known.of(row(shard=1, offset=70)).offset == 6, "another shard has another order"
    assert known.of(row(shard=1, recorded_at=AT + 6)) is None
    assert not known.knows(row(transaction_id=None))
    assert not AcceptedSince().knows(row())
    assert AcceptedSince(known_from=AT).knows(row())
    assert not AcceptedSince(known_from=AT + 1).knows(row())


def test_where_nobody_can_be_asked_it_is_not_known():
    def away():
        raise LedgerError("It is away.")

    nowhere = Settings(bootstrap_servers="127.0.0.1:1")
    found = asyncio.run(accepted_since(nowhere, ["t-1"], away))
    assert found.known_from is None
    assert found.why.startswith("It is away.; Kafka at 127.0.0.1:1")


def test_a_record_without_an_id_is_named_by_its_key():
    def name(**changes):
        return rejects._name(rejects.as_json_row(row(transaction_id=None, **changes)))

    assert name(key=b"order-1") == "key: order-1"
    assert name(key=b"\xff\x00") == "key in base64: /wA="
    assert name(key=None) == "no key"
    assert name(key=b"x" * 10_000) == f"key: {'x' * 128}..."
    assert rejects._name(rejects.as_json_row(row())) == "t-1"


def test_unknown_codes_and_formats_are_wrong_usage(tmp_path):
    env = {"FAUST_LEDGER_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    for words, says in (
        (["--code", "NOT_BALNCED"], "NOT_BALANCED"),
        (["--code", "TOO_LATE", "--code", "NO"], "'NO' is no refusal code"),
        (["--json", "--format", "csv"], "not both"),
        (["--from", "2024-01-02", "--to", "2024-01-01"], "not after --from"),
    ):
        found = CliRunner().invoke(app, ["rejects", "list", *words], env=env)
        assert found.exit_code == 2
        assert says in found.stderr

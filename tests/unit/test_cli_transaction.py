"""What `transaction show` prints of what was found, and of what was not."""

import json

from ledger.cli.transaction import print_transaction
from ledger.client.log_search import Decided, LogFindings, LoggedRecord, Looked, RefusedRecord
from ledger.client.whereabouts import Whereabouts
from ledger.gl.lookups import LookupResult
from ledger.gl.memory import MemoryJournal
from ledger.gl.rows import PostedTransaction
from tests.integration.gl_runs import NOW, Chain, Leg, made, moved

AT = "2026-01-01T00:00:00Z"


def journal():
    books, chain = MemoryJournal(), Chain(3)
    run = chain.run(
        made(
            5, Leg("assets:cash", 123_400), Leg("income:fees", -123_400), description="Fee",
            metadata='{"batch":"7"}', ordering_key="client-1", recorded_at=NOW,
        ),
        moved(6, 1, reverses="t-5", recorded_at=NOW),
    )  # fmt: skip
    books.post(3, books.watermark(3), [run])
    return books


def shown(capsys, name, books, **log):
    unknown = log.pop("unknown", [])
    found = Whereabouts(name, books and books.find(name), LogFindings(**log), unknown).as_json()
    json.dumps(found)
    print_transaction(found)
    return found, capsys.readouterr().out


def test_a_posted_transaction_from_end_to_end(capsys):
    books = journal()
    found, out = shown(
        capsys, "t-5", books, compared_to={3: 7}, decided_to={3: 8}, decided_at={(3, 0): NOW},
        records=[LoggedRecord(3, 5, NOW), LoggedRecord(3, 7, NOW), LoggedRecord(3, 8, NOW)],
    )  # fmt: skip
    [row] = found["transactions"]
    assert (found["state"], row["state"], found["complete"]) == ("compared", "compared", True)
    assert row["entries"][0] == {
        "account": "assets:cash", "side": "debit", "amount": "1234.00", "currency": "CAD",
    }  # fmt: skip
    assert row["decided"] == {"done": True, "decisions_offset": 0, "at": AT}
    assert row["posted"]["done"] is True
    assert row["compared"] == {"done": True, "to_position": 7}
    assert [each["transaction_id"] for each in row["reversed_by"]] == ["t-6"]
    assert [each["offset"] for each in found["repetitions"]] == [7]
    assert [each["offset"] for each in found["waiting"]] == [8]
    for text in (
        "t-5: compared", "assets:cash", "1234.00", "description Fee", "batch: 7",
        "ordered by  client-1", "at offset 5 of shard 3", "decision offset 0",
        "yes; shard 3 is compared up to 7", "reversed by t-6", "at offset 7: changed nothing",
        "at offset 8 of shard 3: not decided yet",
    ):  # fmt: skip
        assert text in out


def test_what_is_not_compared_yet_is_posted(capsys):
    found, out = shown(capsys, "t-5", journal(), compared_to={3: 5}, decided_to={3: 7})
    assert found["state"] == "posted"
    assert "not yet; shard 3 is compared up to 5" in out


def test_what_is_decided_waits_for_the_database(capsys):
    waiting = PostedTransaction(
        1, 9, "new", "deposit", "", NOW, NOW, NOW, "", "", "", [("assets:cash", "CAD", 2, 5)]
    )
    log = {"decided": [Decided(waiting, 4, NOW)], "compared_to": {1: 9}, "decided_to": {1: 10}}
    found, out = shown(capsys, "new", MemoryJournal(), **log)
    assert found["state"] == "decided"
    assert "posted      not yet" in out
    found, out = shown(capsys, "new", None, **log, unknown=["no database"])
    assert (found["transactions"][0]["posted"]["done"], found["complete"]) == (None, False)
    assert "posted      not known" in out


def test_a_refused_record_has_its_code_field_and_sentence(capsys):
    refused = {
        (1, 4): RefusedRecord(1, 4, NOW, "NOT_BALANCED", "entries", "Debits and credits differ."),
        (1, 9): RefusedRecord(1, 9, NOW, "UNREADABLE", "", "The value is no Avro.", by_key=True),
    }
    found, out = shown(capsys, "bad", MemoryJournal(), refused=refused, decided_to={1: 20},
                       records=[LoggedRecord(1, 4, NOW)])  # fmt: skip
    assert found["state"] == "refused"
    assert found["repetitions"] == found["waiting"] == []
    assert [each["code"] for each in found["refusals"]] == ["NOT_BALANCED", "UNREADABLE"]
    assert "NOT_BALANCED: entries: Debits and credits differ." in out
    assert "whose id could not be read and whose key is this" in out


def test_what_waits_in_the_log_is_waiting(capsys):
    found, out = shown(capsys, "new", MemoryJournal(), records=[LoggedRecord(2, 7, NOW)])
    assert found["state"] == "waiting"
    assert "at offset 7 of shard 2: not decided yet" in out


def test_where_nothing_is_found_it_says_where_was_looked(capsys):
    looked = [Looked("ledger.rejects", 0, 0, 7, 0), Looked("ledger.rejects", 1, 90, 100, 5)]
    found, out = shown(capsys, "nobody", journal(), looked=looked)
    assert found["state"] == "not found"
    assert [each["whole"] for each in found["looked_at"]] == [True, False]
    assert found["posted_to"] == {"3": 7}
    assert "Looked at: everything that is posted" in out
    assert "the newest refused records (17 in 2 shards)" in out
    assert "What to do" in out


def test_an_empty_ledger_has_nothing(capsys):
    found = Whereabouts("x", LookupResult({}, []), LogFindings(), []).as_json()
    assert (found["state"], found["transactions"]) == ("not found", [])

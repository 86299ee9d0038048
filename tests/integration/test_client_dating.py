"""A line without created_at never becomes new money when its id was accepted, however long ago."""

import asyncio
import json
import os
import shutil
import time
from pathlib import Path

import psycopg
import pytest

from ledger.client.ends import nothing_before
from ledger.client.past import Past
from ledger.domain.partition import partition_of
from ledger.gl.books import Accepted
from ledger.gl.journal import JournalUnavailable
from ledger.gl.postgresql import PostgresJournal
from tests.waiting import PATIENCE

DAY = 86_400_000_000
CASH = "assets:cash:dating-tests"
NO_DATABASE = "postgresql+psycopg://nobody@127.0.0.1:1/ledger"
LATER = str(Path(__file__).parent / "later")


def line(name, account, amount="12.34", **more):
    legs = [(CASH, "debit"), (account, "credit")]
    return {
        "transaction_id": name, "effective_at": "2024-05-01T14:00:00Z", "kind": "deposit",
        "entries": [{"account": code, "side": side, "amount": amount, "currency": "CAD"}
                    for code, side in legs],
        **more,
    }  # fmt: skip


@pytest.fixture
def long_ago(stack):
    """Puts ids into the journal as accepted 40 days ago, which no window remembers; takes them out.

    The log knows nothing of them: their ids are gone as they would be from the accepted ids.
    """
    address = stack.settings.database_url.replace("+psycopg", "")
    put = []

    def accepted(name, shard=None, days=40):
        shard = partition_of(name.encode(), stack.settings.shards) if shard is None else shard
        put.append(name)
        with psycopg.connect(address) as connection:
            connection.execute(
                "INSERT INTO transactions (shard, log_offset, transaction_id, kind, effective_at,"
                " recorded_at, created_at)"
                " SELECT %s, 4611686018427387904 - %s, %s, 'deposit', moment, moment, moment FROM (SELECT now() - make_interval(days => %s)) AS t (moment)",
                (shard, len(put), name, days),
            )
        return name

    yield accepted
    with psycopg.connect(address) as connection:
        connection.execute("DELETE FROM transactions WHERE transaction_id = ANY (%s)", (put,))


@pytest.fixture
def publish(cli):
    def run(file, *words, code=0, **extra):
        return cli(
            "publish", file, "--wait", "--timeout", PATIENCE, "--json", *words, code=code, **extra
        )

    return run


@pytest.fixture
def posted(cli):
    def of(account):
        return [row["posted"] for row in cli("balances", account, "--json").rows]

    return of


def test_a_line_appended_to_a_file_of_long_ago(publish, posted, long_ago, new_id, jsonl, tmp_path):
    account, old = f"liabilities:{new_id('append')}", [long_ago(new_id()) for _ in range(3)]
    file = tmp_path / "day.jsonl"
    file.write_text(jsonl(line(name, account) for name in old))
    made = time.time() - 40 * 86_400
    os.utime(file, (made, made))
    with file.open("a") as opened:
        opened.write(jsonl([line(new_id(), account, "1.00")]))
    found = publish(file, code=1)
    assert (found.json["published"], found.json["rejected"], found.json["accepted"]) == (1, 3, 1)
    for number, name in enumerate(old, 1):
        assert f"line {number}: TOO_LATE: transaction_id: Id '{name}' was accepted at" in found.err
    assert posted(account) == ["1.00"]


def test_a_copy_of_a_file_of_long_ago(publish, posted, long_ago, new_id, jsonl, tmp_path):
    account, old = f"liabilities:{new_id('copy')}", long_ago(new_id())
    file, copy = tmp_path / "day.jsonl", tmp_path / "copy.jsonl"
    file.write_text(jsonl([line(old, account)]))
    made = time.time() - 40 * 86_400
    os.utime(file, (made, made))
    shutil.copy(file, copy)
    for words in ((copy,), (copy, "--created-at", "now"), (file, "--created-at", "now")):
        found = publish(*words, code=1)
        assert (found.json["published"], found.json["rejected"]) == (0, 1), words
        assert "It is in the ledger and was not sent again." in found.err
    assert publish(copy, "--strict", code=1).json["published"] == 0
    unchecked = publish(copy, "--no-check", code=1)
    assert (unchecked.json["accepted"], unchecked.json["rejected"]) == (0, 1)
    assert "TOO_LATE" in unchecked.err, "the service says so"
    assert posted(account) == []


def test_standard_input_is_looked_up_too(cli, posted, long_ago, new_id, jsonl):
    account, old = f"liabilities:{new_id('pipe')}", long_ago(new_id())
    rows = [line(old, account), line(new_id(), account, "2.00")]
    words = ("publish", "-", "--wait", "--timeout", PATIENCE, "--json")
    found = cli(*words, stdin=jsonl(rows), code=1)
    assert (found.json["accepted"], found.json["rejected"]) == (1, 1)
    assert posted(account) == ["2.00"]


def test_within_the_window_it_stays_a_repetition(publish, posted, new_id, jsonl, tmp_path):
    account, file = f"liabilities:{new_id('again')}", tmp_path / "day.jsonl"
    rows = [line(new_id(), account)]
    file.write_text(jsonl(rows))
    assert publish(file).json["accepted"] == 1
    assert publish(file, "--created-at", "now").json["duplicates"] == 1
    file.write_text(jsonl([line(rows[0]["transaction_id"], account, "9.99")]))
    assert "ID_REUSED" in publish(file, code=1).err
    assert posted(account) == ["12.34"]


def test_an_id_of_another_shard_is_not_new_either(
    publish, long_ago, new_id, stack, jsonl, tmp_path
):
    name = new_id()
    shard = (partition_of(name.encode(), stack.settings.shards) + 1) % stack.settings.shards
    file = tmp_path / "day.jsonl"
    file.write_text(jsonl([line(long_ago(name, shard, days=1), "liabilities:elsewhere")]))
    found = publish(file, code=1)
    assert (found.json["published"], found.json["rejected"]) == (0, 1)
    assert "ID_REUSED" in found.err
    assert "with another ordering key" in found.err


def test_ids_that_no_database_takes_are_refused_as_ever(publish, new_id, jsonl, tmp_path):
    file = tmp_path / "day.jsonl"
    bad = ("a\0b", "\ud800", "x" * 200)
    text = "".join(json.dumps(line(name, "liabilities:odd")) + "\n" for name in bad)
    file.write_text(text + jsonl([line(new_id(), "liabilities:odd")]))
    found = publish(file, "--allow-rejects")
    assert (found.json["published"], found.json["rejected"]) == (1, 3)


def test_without_the_general_ledger_a_young_log_remembers_all(publish, new_id, jsonl, tmp_path):
    file = tmp_path / "day.jsonl"
    file.write_text(jsonl([line(new_id(), "liabilities:young")]))
    assert publish(file, FAUST_LEDGER_DATABASE_URL=NO_DATABASE).json["accepted"] == 1


def test_without_it_an_older_ledger_asks_for_created_at(cli, publish, new_id, jsonl, tmp_path):
    """Forty days from now, by the command's clock."""
    later = {
        "FAUST_LEDGER_DATABASE_URL": NO_DATABASE, "PYTHONPATH": LATER,
        "FAUST_LEDGER_TEST_LATER": "40",
    }  # fmt: skip
    name, file = new_id(), tmp_path / "day.jsonl"
    file.write_text(jsonl([line(name, "liabilities:older")]))
    written = time.time() + 40 * 86_400
    os.utime(file, (written, written))
    for words in ((), ("--no-check",), ("--strict",)):
        found = publish(file, *words, code=1, **later)
        assert found.json["published"] == 0
        assert "Line 1 has no created_at." in found.err
        assert "--created-at" in found.err
        assert "Nothing was sent." in found.err
    piped = cli("publish", "-", "--json", stdin=file.read_text(), code=1, **later)
    assert (piped.json["published"], piped.json["rejected"]) == (0, 1)
    assert "line 1: FIELD_MISSING" in piped.err
    # A promise is taken; the service's clock is where it was.
    sent = publish(file, "--created-at", "now", "--no-check", code=1, **later)
    assert (sent.json["published"], sent.json["rejected"]) == (1, 1)
    assert "TOO_EARLY" in sent.err
    own = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(written))
    file.write_text(jsonl([line(name, "liabilities:older", created_at=own)]))
    assert publish(file, "--no-check", code=1, **later).json["published"] == 1


def test_forty_days_later_what_was_published_is_found(publish, posted, new_id, jsonl, tmp_path):
    account, file = f"liabilities:{new_id('later')}", tmp_path / "day.jsonl"
    file.write_text(jsonl([line(new_id(), account)]))
    assert publish(file).json["accepted"] == 1
    written = time.time() + 40 * 86_400
    os.utime(file, (written, written))
    found = publish(file, code=1, PYTHONPATH=LATER, FAUST_LEDGER_TEST_LATER="40")
    assert (found.json["published"], found.json["rejected"]) == (0, 1)
    assert "It is in the ledger and was not sent again." in found.err
    assert posted(account) == ["12.34"]


def test_by_what_the_past_is_known(stack, publish, new_id, jsonl, tmp_path):
    """The journal, as long as it has what is past the window; else a log that is younger."""
    settings, name, file = stack.settings, new_id(), tmp_path / "day.jsonl"
    file.write_text(jsonl([line(name, "liabilities:past")]))
    publish(file)
    now = time.time_ns() // 1_000
    journal = PostgresJournal(settings.database_url)

    def find(days, opened=lambda: journal):
        return asyncio.run(
            Past(settings, opened, clock=lambda: now + days * DAY).find([name, "no"])
        )

    def away():
        raise JournalUnavailable("It is away.")

    shard = partition_of(name.encode(), settings.shards)
    for days in (0, 29):
        found = find(days)
        assert list(found) == [name]
        assert isinstance(found[name], Accepted)
        assert found[name].shard == shard
    # A clock so far ahead that the journal is not known to be complete to within the window.
    assert find(40) is None
    assert find(0, away) == {}
    assert find(29, away) == {}
    assert find(40, away) is None
    assert asyncio.run(nothing_before(settings, now - DAY))
    assert not asyncio.run(nothing_before(settings, now + DAY))
    journal.close()


def test_what_was_refused_too_early_is_not_new_when_its_time_has_come(
    cli, publish, posted, long_ago, new_id, jsonl, tmp_path
):
    """Its created_at was ahead of the clock, so its age says nothing of when it was accepted."""
    account, file = f"liabilities:{new_id('early')}", tmp_path / "day.jsonl"
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 900))
    names = [new_id(), new_id()]
    file.write_text(jsonl(line(name, account, created_at=soon) for name in names))
    assert publish(file, "--no-check", code=1).json["rejected"] == 2
    selected = [word for name in names for word in ("--id", name)]
    long_ago(names[0])
    found = cli("rejects", "replay", *selected, "--json", code=1)
    assert (found.json["matching"], found.json["sent"]) == (2, 1)
    assert f"{names[0]}: accepted before the window, and in the ledger" in found.err
    unknown = cli(
        "rejects", "replay", *selected, "--json",
        FAUST_LEDGER_DATABASE_URL=NO_DATABASE, PYTHONPATH=LATER, FAUST_LEDGER_TEST_LATER="40",
    )  # fmt: skip
    assert (unknown.json["matching"], unknown.json["sent"]) == (3, 0)
    assert f"{names[1]}: refused TOO_EARLY, and the general ledger" in unknown.err
    assert posted(account) == []

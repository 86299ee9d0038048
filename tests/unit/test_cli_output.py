"""Commands: their output, the usage errors that they find without connecting, and their help."""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
import tracemalloc

import pytest
import typer
from typer.testing import CliRunner

from ledger.cli import rejects, settings_command
from ledger.cli.completeness import CompletenessReport
from ledger.cli.main import app
from ledger.cli.output import print_note, time_option
from ledger.cli.publish_report import print_summary, summary_of
from ledger.cli.read import is_under
from ledger.cli.trial_balance import by_currency
from ledger.client.bulk import LineCounts
from ledger.client.outcomes import Tally
from ledger.client.rejects import Rejected
from ledger.domain.completeness import Asked, Completeness, Position
from ledger.domain.transaction import EARLIEST, LATEST
from ledger.gl.account_rows import of_row, totals
from ledger.gl.books import BalanceRow
from ledger.terminal import plain, print_table

BALANCE = ["account", "currency", "posted", "pending", "debits", "credits", "entries", "status"]


def run(*words, **env):
    return CliRunner().invoke(app, list(words), env=env)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["publish"], "Exit codes"),
        (["balances"], "normal side"),
        (["balances"], "4 the balances are printed, and something is missing"),
        (["trial-balance"], "4 they do, and something is missing"),
        (["assets", "import"], "Exit codes"),
        (["accounts", "import"], "Exit codes"),
        (["rejects", "list"], "key_base64"),
        (["verify"], "Exit codes"),
        (["settings"], "environment"),
    ],
)
def test_help_has_what_a_reader_looks_for(words, says):
    found = run(*words, "--help")
    assert found.exit_code == 0
    assert says in " ".join(found.output.split())


@pytest.mark.parametrize(
    "words",
    [
        ["publish", "/nowhere/at/all.jsonl"],
        ["publish", "-", "--created-at", "yesterday"],
        ["balances", "--as-of", "soon"],
        ["balances", "--as-of", "1899-12-31T23:59:59Z", "--by", "recorded"],
        ["trial-balance", "--as-of", "0000-01-01"],
        ["trial-balance", "--as-of", "0000-01-01T00:00:00+23:59"],
        ["trial-balance", "--as-of", "9999-12-31"],
        ["replay", "--from", "0000-01-01"],
        ["rejects", "list", "--limit", "0"],
        ["rejects", "replay", "--from", "9999-12-31"],
        ["publish", "-", "--created-at", "0000-01-01"],
        ["balances", "--as-of", "2024-01-01", "--source", "stream"],
        ["balances", "--by", "created"],
        ["assets", "import", "/nowhere/at/all.jsonl"],
    ],
)
def test_wrong_usage(words, tmp_path):
    place = {
        "FAUST_LEDGER_DATA_DIR": str(tmp_path),
        "FAUST_LEDGER_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    }
    assert run(*words, **place).exit_code == 2


def test_time_options_are_rfc_3339_or_a_date():
    assert time_option("1970-01-02", "--as-of") == 86_400_000_000
    assert time_option("1970-01-01T00:00:01+00:00", "--as-of") == 1_000_000
    with pytest.raises(typer.BadParameter):
        time_option("1970-01-01T00:00:01", "--as-of")
    assert time_option("1900-01-01", "--as-of") == EARLIEST
    assert time_option("2200-01-01", "--as-of") == LATEST
    with pytest.raises(typer.BadParameter, match="out of range"):
        time_option("1899-12-31T23:59:59.999999Z", "--as-of")
    with pytest.raises(typer.BadParameter, match="out of range"):
        time_option("2200-01-01T00:00:00.000001Z", "--as-of")


def test_a_prefix_is_whole_segments():
    assert is_under("assets:cash:1", "assets")
    assert is_under("assets:cash:1", "assets:cash")
    assert is_under("assets:cash:1", "assets:cash:")
    assert is_under("assets:cash:1", "assets:cash:1")
    assert not is_under("assets:cash:1", "assets:c")
    assert not is_under("assets:cash:1", "assets:cash:1:2")


def test_a_balance_of_the_general_ledger_as_a_row():
    found = BalanceRow("liabilities:d:1", "CAD", 2, debits=250, credits=1_250, entries=3)
    row = of_row(found).fields()
    assert list(row) == BALANCE
    assert row == {
        "account": "liabilities:d:1",
        "currency": "CAD",
        "posted": "10.00",
        "pending": "0.00",
        "debits": "2.50",
        "credits": "12.50",
        "entries": 3,
        "status": "posted",
    }


def test_sums_by_currency():
    rows = [
        BalanceRow("assets:a", "CAD", 2, debits=10**20, credits=0, entries=1),
        BalanceRow("equity:b", "CAD", 2, debits=0, credits=10**20, entries=1),
        BalanceRow("assets:a", "BTC", 8, debits=1, credits=0, entries=1),
    ]
    assert by_currency(totals(map(of_row, rows))) == {
        "BTC": {"debits": "0.00000001", "credits": "0.00000000"},
        "CAD": {"debits": "1000000000000000000.00", "credits": "1000000000000000000.00"},
    }


def report(*positions, as_of=None, by="effective", why=()):
    return CompletenessReport(Completeness(Asked(as_of, by), 10**15, positions), list(why))


def test_without_kafka_one_sentence_counts_the_shards():
    unread = [Position(shard, 9, (shard + 1) * 10**14, None) for shard in range(3)]
    assert report(*unread, why=["Kafka is away."]).sentences() == [
        "Whether this is complete is not known: Kafka is away.",
        (
            "NOT COMPLETE: the ends of the log could not be read for 3 shards; everything recorded "
            "before 1973-03-03T09:46:40Z is counted."
        ),
    ]
    assert "shard 0 is counted up to position 9" in report(unread[0]).sentences()[0]


def test_the_report_names_the_shards_that_lack_something():
    level, behind = Position(0, 9, 5, 9), Position(1, 40, 10**14, 57, True, 2 * 10**14)
    assert report(level).sentences() == [
        "Complete: everything that was in the log at 2001-09-09T01:46:40Z, all 1 shards."
    ]
    found = report(level, behind)
    [sentence] = found.sentences()
    assert sentence.startswith("NOT COMPLETE: shard 1 is counted up to position 40 of 57 (recorded")
    assert "17 records wait" in sentence
    assert found.fields() == {
        "complete": False, "as_of": None, "missing": [
            {"shard": 1, "position": 40, "log_end": 57, "waiting": 17,
             "recorded_through": "1976-05-03T19:33:20Z"},
        ],
    }  # fmt: skip
    assert list(found.whole()["through"]) == ["0", "1"]


def test_an_unknown_end_of_the_log_is_not_complete():
    unread = Position(0, 9, 10**14, None)
    found = report(unread, why=["Kafka is away."])
    assert not found.complete
    assert found.whole()["unknown"] == ["Kafka is away."]
    assert found.sentences()[0] == "Whether this is complete is not known: Kafka is away."
    proved = report(unread, as_of=10**14, by="recorded", why=["Kafka is away."])
    assert proved.complete
    assert proved.whole()["unknown"] == []


def test_the_publish_report_has_nulls_without_wait():
    counts = LineCounts(lines=8, published=6, refused=2)
    names = ["lines", "published", "accepted", "rejected", "duplicates", "reconciled", "seconds"]
    names += ["voided", "not_sent", "refused_by_ledger", "undecided"]
    unknown = summary_of(counts, None, 1.23456)
    assert list(unknown) == names
    assert list(unknown.values()) == [8, 6, None, 2, None, None, 1.235, None, 2, None, None]
    tally = Tally(accepted=1, duplicates=1, rejected=1, reconciled=1, voided=2)
    known = summary_of(counts, tally, 1)
    assert list(known.values()) == [8, 6, 1, 3, 1, 1, 1, 2, 2, 1, 1]
    once = ("not_sent", "accepted", "duplicates", "refused_by_ledger", "voided", "undecided")
    assert sum(known[name] for name in once) == known["lines"]


def test_each_line_is_counted_once_in_what_people_read(capsys):
    tally = Tally(accepted=1_200, duplicates=1, rejected=3, reconciled=1_000, voided=2)
    counts = LineCounts(lines=1_210, published=1_208, refused=2)
    print_summary(summary_of(counts, tally, 1.5), tally, done=False, quiet=False)
    assert capsys.readouterr().out.splitlines() == [
        "1,208 of 1,210 lines published in 1.5 s, 2 refused and not sent",
        (
            "1,200 accepted (1,000 reconciled), 1 duplicates, 3 refused by the ledger, "
            "2 not decided yet"
        ),
        (
            "2 of them could not be posted and were voided: they do not count "
            "(`faust-ledger void list`)"
        ),
        "The time is up; not all of them are reconciled yet (`faust-ledger status`).",
    ]
    print_summary(summary_of(counts, None, 1.5), None, done=True, quiet=True)
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)


def test_rejects_have_bytes_as_text_or_base64():
    row = {
        "code": "UNREADABLE", "reason": "No.", "field": "", "shard": 1, "offset": 2,
        "transaction_id": None, "recorded_at": 0, "key": "clé".encode(), "value": b"\x00\xff",
    }  # fmt: skip
    found = rejects.as_json_row(row)
    assert found["recorded_at"] == "1970-01-01T00:00:00Z"
    assert (found["key"], found["key_base64"]) == ("clé", None)
    assert (found["value"], found["value_base64"]) == (None, "AP8=")
    nothing = rejects.as_json_row(row | {"key": None, "value": b""})
    assert (nothing["key"], nothing["key_base64"]) == (None, None)
    assert (nothing["value"], nothing["value_base64"]) == ("", None)


PRINTING = """
import os, signal
from ledger.cli.output import print_json
from ledger.cli.streams import open_streams
signal.signal(signal.SIGUSR1, lambda signum, frame: os.write(2, b"!"))
open_streams()
print_json({"reason": "x" * 1_000_000})
print_json({})
"""


def waiting_in(pipe):
    """Unread bytes in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_signal_does_not_cut_a_long_line(unbuffered):
    child = subprocess.Popen(
        [sys.executable, "-c", PRINTING], env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with child:
        full = fcntl.fcntl(child.stdout, fcntl.F_GETPIPE_SZ) - 8_192
        while waiting_in(child.stdout) < full:
            assert child.poll() is None
            time.sleep(0.01)
        child.send_signal(signal.SIGUSR1)
        assert child.stderr.read(1) == b"!"  # its write returned with a part
        long, short, end = child.stdout.read().split(b"\n")
    assert (len(json.loads(long)["reason"]), short, end) == (1_000_000, b"{}", b"")


def test_settings_name_their_source(tmp_path, monkeypatch):
    stack = {
        "bootstrap_servers": "127.0.0.1:1234",
        "database_url": "postgresql+psycopg://ledger_owner:secret@127.0.0.1:1/ledger",
    }
    (tmp_path / "stack.json").write_text(json.dumps(stack))
    (tmp_path / "config.toml").write_text("window_days = 7\n")
    found = run(
        "settings", "--json", "--data-dir", str(tmp_path),
        FAUST_LEDGER_CONFIG=str(tmp_path / "config.toml"), FAUST_LEDGER_PREFIX="books",
    )  # fmt: skip
    assert found.exit_code == 0
    rows = json.loads(found.output)
    sources = {name: (row["value"], row["source"]) for name, row in rows.items()}
    assert sources["bootstrap_servers"] == ("127.0.0.1:1234", "stack")
    assert sources["window_days"] == (7, "file")
    assert sources["prefix"] == ("books", "environment")
    assert sources["early_minutes"] == (5, "default")
    assert sources["database_url"][0].endswith("ledger_owner:***@127.0.0.1:1/ledger")
    assert "secret" not in found.output
    assert all(row["description"] for row in rows.values())


def test_every_setting_is_listed():
    from ledger.settings import Settings

    names = [row["name"] for row in settings_command.setting_rows(None)]
    assert names == list(Settings.model_fields)


HOSTILE = "a\x1b[2Jb\x9b31mc\u202ed\u2028e\rf\x07g\ud800h\ufeffi"


def test_control_characters_of_producers_are_spelt_out(capsys):
    """ESC and the control characters above 127, marks of direction, ends of lines of any kind."""
    plainly = r"a\x1b[2Jb\x9b31mc\u202ed\u2028e\rf\x07g\ud800h\ufeffi"
    assert plain(HOSTILE) == plainly
    assert plain("Žluťoučký 馬 🐎 [bold]") == "Žluťoučký 馬 🐎 [bold]"
    print_table({"transaction_id": "left"}, [[HOSTILE], ["[red]x"]])
    print_note(f"one\n{HOSTILE}")
    printed = capsys.readouterr()
    assert plainly in printed.out
    assert "[red]x" in printed.out
    assert printed.err == f"one\n{plainly}\n"


def test_listing_the_newest_rejects_takes_little_memory():
    """After a flood all of them may not fit in memory."""

    async def found():
        for offset in range(100_000):
            row = {"recorded_at": offset // 7, "shard": 0, "offset": offset, "code": "X",
                   "reason": "", "field": "", "transaction_id": None, "key": None,
                   "value": bytes(1_000)}  # fmt: skip
            yield Rejected(row, None)

    tracemalloc.start()
    newest = asyncio.run(rejects.newest(found(), 3))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [each.row["offset"] for each in newest] == [99_997, 99_998, 99_999]
    assert most < 4_000_000

"""The lists that commands print: tables, CSV, JSON."""

import csv
import io
import json
import os
import pty
import subprocess
import sys

import pytest
import typer
from rich.console import Console

from ledger import terminal
from ledger.cli import audit_log, explain, rejects
from ledger.cli.output import print_sentence
from ledger.cli.tables import (
    Column,
    Format,
    format_of,
    grouped,
    print_table_of,
    safe_for_spreadsheets,
    time_in,
)

COLUMNS = [
    Column("account", "account", "account"),
    Column("currency", "currency", "code"),
    Column("posted", "posted", "amount"),
    Column("pending", "pending", "amount", drop=1, if_zero=True),
    Column("debits", "debits", "amount", drop=3),
    Column("credits", "credits", "amount", drop=3),
    Column("entries", "entries", "count", drop=2),
    Column("status", "status", "text"),
]
LONG = "liabilities:deposits:a-client-with-a-name-of-some-length:cash"
LARGE = {"account": LONG, "currency": "CAD", "posted": "-1234567.80", "pending": "0.00",
         "debits": "2234567.80", "credits": "1000000.00", "entries": 12345,
         "status": "reconciled"}  # fmt: skip
SMALL = LARGE | {"account": "assets:bank", "posted": "12.00", "debits": "12.00", "credits": "0.00",
                 "entries": 1, "status": None}  # fmt: skip


def shown(rows, width, columns=COLUMNS, *, on_terminal=True):
    """The lines of a table, as on a terminal of this width or in a pipe."""
    file = io.StringIO()
    on = Console(file=file, width=width, force_terminal=on_terminal, color_system=None,
                 emoji=False, highlight=False)  # fmt: skip
    print_table_of(columns, rows, Format.TABLE, nothing="none", on=on)
    return file.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (144, []),
        (143, ["pending"]),
        (134, ["pending", "entries"]),
        (120, ["pending", "debits", "credits", "entries"]),
        (80, ["pending", "debits", "credits", "entries"]),
        (60, ["pending", "debits", "credits", "entries"]),
    ],
)
def test_a_narrow_terminal_leaves_columns_out_in_order(width, left_out, capsys):
    title, *rows = shown([LARGE, SMALL], width)
    assert title.split() == [each.title for each in COLUMNS if each.title not in left_out]
    assert len(rows) == 2, "nothing folds"
    assert rows[0].split()[:3] == [LONG, "CAD", "-1,234,567.80"]
    said = capsys.readouterr().err
    assert (f": {', '.join(left_out)}." in said) if left_out else not said


def test_what_is_pending_is_never_left_out():
    title, *rows = shown([LARGE, SMALL | {"pending": "-0.01"}], 60)
    assert title.split() == ["account", "currency", "posted", "pending", "status"]
    assert rows[1].split() == ["assets:bank", "CAD", "12.00", "-0.01"]


def test_numbers_are_aligned_and_texts_begin_at_the_left():
    title, *rows = shown([LARGE, SMALL], 150)
    assert [each.index("CAD") for each in rows] == [title.index("currency")] * 2
    ends = {each.index(number) + len(number)
            for each, number in zip(rows, ["-1,234,567.80", "12.00"], strict=True)}  # fmt: skip
    assert ends == {title.index("posted") + len("posted")}


def test_in_a_pipe_nothing_is_left_out_folded_or_grouped(capsys):
    reason = "a sentence " * 40
    columns = [*COLUMNS, Column("reason", "reason", "prose")]
    title, row = shown([LARGE | {"reason": reason}], terminal.UNLIMITED, columns, on_terminal=False)
    assert title.split() == [each.title for each in columns]
    assert row.split() == [LONG, "CAD", "-1234567.80", "0.00", "2234567.80", "1000000.00", "12345",
                           "reconciled", *reason.split()]  # fmt: skip
    assert row == row.rstrip()
    assert not capsys.readouterr().err


@pytest.mark.parametrize("width", [60, 80, 120])
def test_only_sentences_fold_and_only_between_words(width):
    columns = [Column("path", "path", "path"), Column("offset", "offset", "number"),
               Column("at", "at", "time"), Column("why", "why", "prose")]  # fmt: skip
    why = "It is not balanced: debits 12.00, credits 11.00, so CAD differs by 1.00. " * 3
    row = {"path": "/a/path of/words", "offset": 1234567, "at": "2026-11-30 10:00:00 UTC",
           "why": why}  # fmt: skip
    _, first, *others = shown([row], width, columns)
    assert first.startswith("/a/path of/words  1234567  2026-11-30 10:00:00 UTC")
    # Where there is no room beside the rest, the whole sentence is below it.
    assert bool(first[52:].strip()) == (width >= 52 + terminal.LEAST_PROSE)
    assert " ".join(" ".join([first[52:], *others]).split()) == " ".join(why.split())
    assert max(map(len, [first, *others])) <= width


def test_wide_characters_count_for_two():
    columns = [Column("name", "name", "code"), Column("count", "count", "count")]
    rows = shown([{"name": "馬", "count": 1}, {"name": "horse", "count": 2}], 60, columns)
    assert rows[1:] == ["馬         1", "horse      2"]


def test_a_table_of_nothing_is_a_sentence_and_for_programs_an_empty_list(capsys):
    for fmt, out in [(Format.TABLE, ""), (Format.CSV, "a\r\n"), (Format.JSON, "[]\n"),
                     (Format.JSONL, "")]:  # fmt: skip
        print_table_of([Column("a", "A")], [], fmt, nothing="There is none.")
        printed = capsys.readouterr()
        assert printed.out == out
        assert printed.err == ("There is none.\n" if fmt is Format.TABLE else "")


def read_csv(rows, columns, capsys):
    print_table_of(columns, rows, Format.CSV, nothing="none")
    text = capsys.readouterr().out
    assert text.endswith("\r\n")
    return text, list(csv.reader(io.StringIO(text, newline="")))


def test_csv_has_keys_plain_amounts_and_every_column(capsys):
    _, found = read_csv([LARGE, SMALL], COLUMNS, capsys)
    assert found == [
        [each.key for each in COLUMNS],
        [LONG, "CAD", "-1234567.80", "0.00", "2234567.80", "1000000.00", "12345", "reconciled"],
        ["assets:bank", "CAD", "12.00", "0.00", "12.00", "0.00", "1", ""],
    ]


@pytest.mark.parametrize(
    "text", ['a "b", c', "two\nlines", "two\r\nlines", "", "Žluťoučký 馬", "'"]
)
def test_csv_gives_texts_back(text, capsys):
    _, found = read_csv([{"a": text, "b": "x"}], [Column("a", "A"), Column("b", "B")], capsys)
    assert found == [["a", "b"], [text, "x"]]


@pytest.mark.parametrize(
    "text", ["=1+1", "+x", "-x", "@SUM(A1)", "\t=1", "\r=1", "-", "-1;=2", "+1 2"]
)
def test_csv_holds_no_formulas(text, capsys):
    assert safe_for_spreadsheets(text) == f"'{text}"
    _, found = read_csv([{"a": text}], [Column("a", "A")], capsys)
    assert found[1] == [f"'{text}"]


@pytest.mark.parametrize("text", ["-12.50", "+1", "0", "1234567890123456789012.12", "a=b", " =1"])
def test_csv_leaves_numbers_and_texts_alone(text):
    assert safe_for_spreadsheets(text) == text


def test_json_has_every_field_of_the_rows(capsys):
    rows = [LARGE | {"more": ["x", 1]}, SMALL | {"more": None, "account": "a\u2028b\x1b"}]
    print_table_of(COLUMNS, rows, Format.JSON, nothing="none")
    array = capsys.readouterr().out
    assert json.loads(array) == rows
    print_table_of(COLUMNS, rows, Format.JSONL, nothing="none")
    lines = capsys.readouterr().out
    assert [json.loads(each) for each in lines.splitlines()] == rows
    assert (array + lines).isascii()


@pytest.mark.parametrize(
    ("number", "text"),
    [("1234567.891", "1,234,567.891"), ("-1234", "-1,234"), ("-123.45", "-123.45"), ("0", "0"),
     ("+1000", "+1,000"), ("1000 or more", "1000 or more"), ("", "")],
)  # fmt: skip
def test_thousands(number, text):
    assert grouped(number) == text


def test_one_format_at_a_time():
    assert format_of(None, as_json=False) is Format.TABLE
    assert format_of(None, as_json=True) is Format.JSONL
    assert format_of(None, as_json=True, whole=True) is None
    assert format_of(Format.CSV, as_json=False, whole=True) is Format.CSV
    with pytest.raises(typer.BadParameter, match="not both"):
        format_of(Format.JSON, as_json=True)


def test_csv_on_a_terminal_has_no_control_characters():
    ours, theirs = pty.openpty()
    command = (
        "from ledger.cli.tables import Column, Format, print_table_of\n"
        "print_table_of([Column('a', 'A')], [{'a': 'x\\x1b[2Jy'}], Format.CSV, nothing='')"
    )
    with subprocess.Popen([sys.executable, "-c", command], stdout=theirs) as child:
        os.close(theirs)
        assert child.wait(timeout=60) == 0
    found = os.read(ours, 4_096)
    os.close(ours)
    assert found.split() == [b"a", rb"x\x1b[2Jy"]


def test_many_rows_take_no_time_to_speak_of():
    """Counted in calls: for 20,000 accounts rich took five seconds."""
    rows = [LARGE | {"account": f"liabilities:deposits:{number}"} for number in range(20_000)]
    counted = [0]

    def count(frame, event, arg):
        counted[0] += event == "call"

    sys.setprofile(count)
    try:
        lines = shown(rows, 120)
    finally:
        sys.setprofile(None)
    assert len(lines) == 20_001
    assert counted[0] / len(rows) < 150


def test_a_sentence_folds_between_words_on_a_terminal_and_not_in_a_pipe(capsys, monkeypatch):
    text = "As of 2026-11-30 00:00:00 UTC: everything before; --through 2026-11-30 counts that day."
    print_sentence(text)
    assert capsys.readouterr().out == f"{text}\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_sentence(text)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(lines) == text


ROW_AT = "2026-11-30T15:00:00.123456Z"
AUDITED = {
    "at": "2026-11-30T15:00:00Z", "who": "token:3kTMd7Qz0a", "action": "transactions.publish",
    "targets": "topup-2026-11-30-1, topup-2026-11-30-2, topup-2026-11-30-3 and 7 more",
    "outcome": "published", "source": "203.0.113.117", "request": "0c8e1f6a-7b0d-4f0e",
    "detail": "shard 3 offset 123456",
}  # fmt: skip
REJECTED = {
    "recorded_at": "2026-11-30T15:00:00Z", "shard": 3, "offset": 1_234_567,
    "name": "payments/2026-11-30/0123456789", "code": "REVERSAL_BEFORE_ORIGINAL",
    "field": "entries[12].currency", "since": "not known", "reason": "It is too early.",
}  # fmt: skip
CHECKED = {
    "shard": 11, "posted": "123456789.01", "entries": 12_345_678, "position": 123_456_789,
    "compared_to": 123_456_789, "compared_at": ROW_AT, "posted_at": ROW_AT,
}  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "row", "kept"),
    [
        (audit_log.COLUMNS, AUDITED, ["at", "who", "on", "outcome"]),
        (rejects.TABLE, REJECTED, ["transaction or key", "code"]),
        (explain.SHARDS, CHECKED, ["shard", "balance", "position", "compared at"]),
    ],
)
def test_lists_with_many_columns_fit_into_eighty(columns, row, kept, capsys):
    lines = shown([row], 80, columns)
    assert max(map(len, lines)) <= 80
    assert all(title in lines[0] for title in kept)
    assert "Left out because the terminal is narrow" in capsys.readouterr().err


def test_times_of_a_wide_table_are_to_the_second():
    assert time_in(Format.TABLE, ROW_AT) == "2026-11-30T15:00:00Z"
    assert time_in(Format.CSV, ROW_AT) == ROW_AT

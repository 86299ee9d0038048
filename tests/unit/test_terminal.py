"""Tables: numbers, accounts, codes and paths whole, wherever they are printed."""

import os
import pty
import subprocess
import sys
import termios
import threading

import pytest

from ledger import terminal
from ledger.cli import stack
from ledger.health import status
from ledger.health.findings import Finding

ACCOUNT = "assets:custody:" + "very-long-name-of-a-client-with-accounts:" * 3 + "1"
AMOUNTS = ("11111111.10", "123456789012345678901234567890.123456789012345678")
REASON = "CAD: debits 12.00, credits 11.00; make them the same " * 4
PRINTING = f"""
from ledger.cli import main, output
def work():
    output.print_table(
        {{"account": "left", "posted": "right", "code": "left", "debits": "right", "reason": "prose"}},
        [[{ACCOUNT!r}, {AMOUNTS[0]!r}, "NOT_BALANCED", {AMOUNTS[1]!r}, {REASON!r}]])
main.app = work
main.main()
"""
COLOURS = [{}, {"FORCE_COLOR": "1"}, {"COLUMNS": "20"}, {"FORCE_COLOR": "1", "COLUMNS": "20"},
           {"TTY_COMPATIBLE": "1"}]  # fmt: skip


def without_colours(text):
    return terminal.plain_lines(text).replace(r"\x1b[1m", "").replace(r"\x1b[0m", "")


@pytest.mark.parametrize("environment", COLOURS, ids=str)
def test_in_a_pipe_a_row_is_a_line(environment):
    found = subprocess.run(
        [sys.executable, "-c", PRINTING], capture_output=True, text=True, timeout=60, check=True,
        env=os.environ | environment,
    )  # fmt: skip
    title, row = without_colours(found.stdout).splitlines()
    assert title.split() == ["account", "posted", "code", "debits", "reason"]
    assert row.split() == [ACCOUNT, AMOUNTS[0], "NOT_BALANCED", AMOUNTS[1], *REASON.split()]


def on_terminal(words, columns):
    """What a command prints to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    found = []

    def read():
        try:
            while data := os.read(ours, 65_536):
                found.append(data)
        except OSError:  # Linux says so when nobody has the other side
            pass

    reader = threading.Thread(target=read)
    reader.start()
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen(words, stdout=theirs, env=environment | {"TERM": "xterm"}) as child:
        os.close(theirs)
        assert child.wait(timeout=60) == 0
    reader.join(30)
    os.close(ours)
    return without_colours(b"".join(found).decode().replace("\r\n", "\n"))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="termios.tcsetwinsize is of Python 3.11")
@pytest.mark.parametrize("columns", [20, 80, 300, 400])
def test_on_a_terminal_only_sentences_fold(columns):
    printed = on_terminal([sys.executable, "-c", PRINTING], columns)
    _, *rows = printed.splitlines()
    assert rows[0].split()[:4] == [ACCOUNT, AMOUNTS[0], "NOT_BALANCED", AMOUNTS[1]]
    said = [word for row in rows for word in row.split()][4:]
    assert said == REASON.split(), "between words alone"
    assert len(rows) > 1
    assert len({len(row) for row in rows}) == 1
    if columns == 400:
        assert len(rows[0]) <= columns, "as wide as the terminal where there is room"


PATH = "/a/path/that/is/longer/than/any/terminal" * 10


def test_what_is_said_of_the_stack_is_whole_and_holds_no_markup(capsys):
    hostile = f"it hangs [red]{PATH}[/] \x1b[2J"
    plainly = f"it hangs [red]{PATH}[/] \\x1b[2J"
    for well in (True, False):
        stack.print_findings([Finding(f"[bold]{PATH}", well, hostile, f"read {PATH}")])
        assert f"{f'[bold]{PATH}'}{'  ' if well else ': '}{plainly}" in capsys.readouterr().out
    seen = status.PartStatus("postgres", True, 1, 2, 3_000_000, 4.0, hostile, PATH)
    stack.print_status(status.StackStatus("/d", (seen,)))
    lines = capsys.readouterr().out.splitlines()
    assert f"postgres: {plainly}" in lines
    assert f"  its log: {PATH}" in lines


@pytest.mark.parametrize(
    "text", ["[red]x", "[/]", "[/nothing]", "[link=http://x]y", ":bank:", "a\\", "[b"]
)
def test_texts_of_producers_are_no_markup(text, capsys):
    terminal.print_table({"description": "left", "what": "prose"}, [[text, text]])
    assert capsys.readouterr().out.splitlines()[1].split() == [text, text]


@pytest.mark.parametrize("rows", [[], [["", ""]], [["x", ""]]])
def test_a_table_may_have_no_rows_or_empty_cells(rows, capsys):
    terminal.print_table({"a": "left", "b": "prose"}, rows)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(rows)

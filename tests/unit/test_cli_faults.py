"""A command that raises an unexpected exception: status 3, a sentence, and a trace in a file."""

import asyncio
import errno
import os
import subprocess
import sys

import pytest
import typer

from ledger.cli.faults import MAX_TRACES
from ledger.cli.main import app
from ledger.errors import LedgerError, Unavailable

NEEDED = {
    "publish": ["x.jsonl"], "check": ["x.jsonl"], "replay": ["--from", "2024-01-01", "--into", "x"],
    "assets import": ["x.jsonl"], "accounts import": ["x.jsonl"], "shadows drop": ["x"],
    "rebuild ledger": ["--into", "x"], "policy set": ["--reason", "x", "--window-days", "9"],
    "clock limit": ["0", "--reason", "x"], "void add": ["0", "5", "--reason", "x"],
    "reference save": ["x.jsonl"], "reference restore": ["x.jsonl"], "register": ["assets:x"],
    "transaction show": ["x"], "reverse": ["x"], "accounts show": ["assets:x"],
    "dump": ["x"], "tokens create": ["--scope", "read"], "tokens revoke": ["x"], "explain": ["assets:x"],
    "restore": ["x"], "clients export": ["finance", "--to", "x"],
    "report": ["trial-balance"], "export": ["journal", "--output", "x"], "statements import": ["x.xml"],
    "statements show": ["x"], "statements save-mapping": ["x", "x.json"],
}  # fmt: skip
PASSWORD = "postgresql://u:sEcrEt@h/d"


def leaves(group, words=()):
    """Every command there is: (the group's path, itself)."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*words, name))
        else:
            yield (*words, name)


COMMANDS = list(leaves(typer.main.get_command(app)))


@pytest.fixture
def planted(tmp_path, monkeypatch, capsys):
    """Runs a command that raises as soon as it does anything: (status, stderr)."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    def run(words, error):
        command = root = typer.main.get_command(app)
        for each in words:
            command = command.commands[each]

        def work(**given):
            raise error

        command.callback = work
        with pytest.raises(SystemExit) as ending:
            root([*words, *NEEDED.get(" ".join(words), [])], prog_name="faust-ledger")
        printed = capsys.readouterr()
        assert printed.out == ""
        return ending.value.code, printed.err

    return run


def kept(home):
    return sorted(home.rglob("fault-*.txt"))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_exits_with_3_and_names_the_trace(words, planted, tmp_path):
    status, said = planted(words, KeyError(f"no {PASSWORD}"))
    assert status == 3
    [file] = kept(tmp_path)
    assert said.startswith(
        "This is a fault of faust-ledger, and no finding about the ledger: KeyError"
    )
    assert said.endswith(f"Please report it with the trace in {file}.\n")
    assert said.count("\n") == 1
    trace = file.read_text()
    assert "Traceback" in trace
    assert "sEcrEt" not in trace + said
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "error",
    [
        # These typer ends with 1: a socket's, and the end of an answer that was cut short.
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        asyncio.IncompleteReadError(b"", 4),
        EOFError(),
        OSError(errno.EIO, "Input/output error"),
        RecursionError("maximum recursion depth exceeded"),
        ExceptionGroup("some", [LedgerError("known"), ValueError("unknown")]),
        UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range(128)"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_kind_of_exception_exits_with_3(error, planted, tmp_path):
    status, said = planted(("reconcile",), error)
    assert (status, said.count("\n")) == (3, 1)
    assert type(error).__name__ in said
    assert len(kept(tmp_path)) == 1


def test_a_fault_of_ours_prints_its_message_and_no_trace(planted, tmp_path):
    assert planted(("verify",), Unavailable(f"{PASSWORD} is away.")) == (
        3, "postgresql://u:***@h/d is away.\n",
    )  # fmt: skip
    both = ExceptionGroup("both", [LedgerError("One."), ExceptionGroup("", [LedgerError("Two.")])])
    assert planted(("verify",), both) == (3, "One.\nTwo.\n")
    assert kept(tmp_path) == []


def test_the_message_names_a_place_in_our_own_code(planted):
    def fail(**given):
        from ledger.domain.account import normal_side

        normal_side("x:y")

    try:
        fail()
    except KeyError as error:
        _, said = planted(("verify",), error)
    assert "KeyError in ledger/domain/account.py, line " in said


def test_the_trace_is_printed_on_request_or_if_no_file_can_be_written(
    planted, tmp_path, monkeypatch
):
    monkeypatch.setenv("FAUST_LEDGER_DEBUG", "1")
    status, said = planted(("verify",), ValueError(PASSWORD))
    assert (status, kept(tmp_path)) == (3, [])
    assert said.startswith("Traceback")
    assert said.endswith("Please report it with the trace above.\n")
    assert "sEcrEt" not in said
    monkeypatch.delenv("FAUST_LEDGER_DEBUG")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    status, said = planted(("verify",), ValueError("x"))
    assert (status, said.startswith("Traceback")) == (3, True)


def test_old_traces_are_removed(planted, tmp_path):
    folder = tmp_path / ".local/state/faust-ledger/log"
    folder.mkdir(parents=True)
    for each in range(2 * MAX_TRACES):
        (folder / f"fault-2000{each:02}.txt").touch()
    planted(("verify",), ValueError("x"))
    assert len(kept(tmp_path)) == MAX_TRACES
    assert kept(tmp_path)[-1].read_text()


def test_an_exception_outside_of_a_command_exits_with_3(tmp_path):
    """Outside of any command, as in reading the options."""
    script = (
        "from ledger.cli import main\n"
        "def work(): raise ValueError('x')\n"
        "main.app = work\nmain.main()"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"HOME": str(tmp_path)},
    )  # fmt: skip
    assert (found.returncode, found.stdout) == (3, "")
    assert found.stderr.startswith("This is a fault of faust-ledger")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("publish", "/a/path" * 30), "Invalid value for FILE"),
        (("nope",), "No such command 'nope'."),
        (("reconcil",), "Did you mean 'reconcile'?"),
        (("breaks",), "No such command 'breaks'. Give: faust-ledger reconcile"),
        (("verify", "--jsn"), "No such option: --jsn"),
        (("verify", "\x1b[2J"), r"Got unexpected extra argument(s) (\x1b[2J)"),
        (("rejects", "list", "--limit", "x"), "Invalid value for '--limit'"),
        (("balances", "--format", "xml"), "Invalid value for '--format': 'xml' is not one of"),
        (("replay",), "Missing option"),
    ],
)
def test_wrong_usage_prints_plain_lines(words, error, capsys, monkeypatch):
    """Without a frame, which would cut paths."""
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(SystemExit) as ending:
        typer.main.get_command(app)(list(words), prog_name="faust-ledger")
    said = capsys.readouterr().err
    assert ending.value.code == 2
    assert said.startswith("Usage: faust-ledger")
    assert error in said.splitlines()[-1]
    if words[0] == "publish":
        assert "/a/path" * 30 in said

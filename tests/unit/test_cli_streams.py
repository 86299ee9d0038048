"""Standard streams that are closed, full, unread or of another encoding."""

import itertools
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "ledger.cli.main"]
CLOSED = [each for count in (1, 2, 3) for each in itertools.combinations((0, 1, 2), count)]
COMMANDS = {
    ("--help",): 0,
    ("settings",): 0,
    ("settings", "--json"): 0,
    ("rejects", "list", "--code", "NOT_BALENCED"): 2,
    ("publish", "/nowhere/at/all.jsonl"): 2,
    # The database is asked, and does not answer.
    ("trial-balance",): 3,
}
AWAY = {
    "FAUST_LEDGER_BOOTSTRAP_SERVERS": "127.0.0.1:1",
    "FAUST_LEDGER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
}


def closing(which, words, **options):
    """The finished command, with these standard streams closed."""
    # By a shell, as people do it: subprocess opens what it passes on.
    closed = " ".join(f"{each}<&-" if each == 0 else f"{each}>&-" for each in which)
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *words], check=False, timeout=60,
        capture_output=True, **options,
    )  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_does_the_same_with_closed_streams(words, tmp_path):
    """In an empty home and working directory."""
    options = {"env": os.environ | AWAY | {"HOME": str(tmp_path)}, "cwd": tmp_path}
    open_, status = closing((), [*PROGRAM, *words], **options), COMMANDS[words]
    for which in CLOSED:
        found = closing(which, [*PROGRAM, *words], **options)
        assert (open_.returncode, found.returncode) == (status, status), (which, found)
        assert found.stdout == (b"" if 1 in which else open_.stdout)
        assert found.stderr == (b"" if 2 in which else open_.stderr)


OPENED = """
import os, socket, subprocess, sys
kept = 9
def is_open(number):
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
import ledger.cli.main
taken = [number for number in (0, 1, 2) if is_open(number)]
from ledger.cli import streams
streams.open_streams()
one = socket.socket()
print("nowhere")
sys.stdout.flush()
read = sys.stdin.read()
child = subprocess.run(["/bin/sh", "-c", "echo nowhere; read x; echo $? >&$1", "sh", str(kept)],
                       pass_fds=[kept])
os.write(kept, repr((taken, one.fileno() > 2, read, child.returncode)).encode())
"""


def test_nothing_else_gets_the_number_of_a_closed_stream(tmp_path):
    """Not while modules are imported, no socket after, and processes that are started have them."""
    file = tmp_path / "found"
    words = [sys.executable, "-c", OPENED]
    subprocess.run(
        ["/bin/sh", "-c", 'file=$1; shift; exec "$@" 9>"$file" 0<&- 1>&- 2>&-', "sh", str(file),
         *words],
        check=True, timeout=60,
    )  # fmt: skip
    # The child reads an end: status 1 of read.
    assert file.read_text() == "1\n([], True, '', 0)"


def test_a_reader_that_goes_ends_the_command_quietly(tmp_path):
    """As `| head` does."""
    command = "import sys; from ledger.cli import main; main.app = lambda: print('x' * 10_000_000)"
    with subprocess.Popen(
        [sys.executable, "-c", f"{command}; main.main()"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout.read(10) == b"x" * 10
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(timeout=30) == 141


def test_a_reader_gone_before_the_end_of_a_table(tmp_path):
    """rich would exit with 1, which means that something was found."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as gone:
        found = subprocess.run(
            [*PROGRAM, "settings"], stdout=gone, stderr=subprocess.PIPE, check=False,
            timeout=60, cwd=tmp_path,
        )  # fmt: skip
    assert (found.returncode, found.stderr) == (141, b"")


@pytest.mark.parametrize("words", [["settings"], ["settings", "--json"], ["--help"]])
def test_output_that_cannot_be_written_is_a_fault(words, tmp_path):
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run(
            [*PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, check=False, timeout=60,
            cwd=tmp_path,
        )  # fmt: skip
    assert found.returncode == 3
    assert found.stderr.decode().startswith("Part of the output is missing")
    assert found.stderr.count(b"\n") == 1


def test_a_full_stderr_does_not_end_a_command(tmp_path):
    """stderr is full from the first message on, and the command finishes."""
    command = (
        "from ledger.cli import main, output\n"
        "def work():\n    output.print_note('one')\n    output.print_note('two')\n    print('done')\n"
        "main.app = work\nmain.main()"
    )
    with Path("/dev/full").open("wb") as full:
        found = subprocess.run(
            [sys.executable, "-c", command], stdout=subprocess.PIPE, stderr=full, check=False,
            timeout=60,
        )  # fmt: skip
    assert (found.returncode, found.stdout) == (0, b"done\n")


PRINTING = r"""
from ledger.cli import main, output
NAME = "\u017dlu\u0165ou\u010dk\xfd"
def work():
    output.print_table({"transaction_id": "left"}, [[NAME], ["\ud800"]])
    output.print_json({"transaction_id": NAME + " \ud800"})
    output.print_plain("\u99ac")
    output.print_note(NAME + " \ud800")
main.app = work
main.main()
"""


@pytest.mark.parametrize(
    ("environment", "ascii_"),
    [
        ({"PYTHONIOENCODING": "ascii"}, True),
        ({"PYTHONIOENCODING": "ascii:strict"}, True),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, True),
        ({"LC_ALL": "C"}, False),
        ({"PYTHONIOENCODING": "utf-8:strict"}, False),
    ],
)
def test_characters_that_cannot_be_encoded_are_spelt_out(environment, ascii_):
    found = subprocess.run(
        [sys.executable, "-c", PRINTING], capture_output=True, check=False, timeout=60,
        env=os.environ | environment,
    )  # fmt: skip
    assert found.returncode == 0, found
    title, name, surrogate, row, horse = found.stdout.decode().splitlines()
    spelt = r"\u017dlu\u0165ou\u010dk\xfd" if ascii_ else "Žluťoučký"
    assert (title.strip(), name.strip(), surrogate.strip()) == ("transaction_id", spelt, r"\ud800")
    assert json.loads(row) == {"transaction_id": "Žluťoučký \ud800"}
    assert horse == (r"\u99ac" if ascii_ else "馬")
    assert found.stderr.decode() == rf"{spelt} \ud800" + "\n"


def test_output_that_does_not_wait_is_whole():
    """A pipe that another program, which has it too, has set not to block."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    command = "from ledger.cli import main; main.app = lambda: print('x' * 1_000_000); main.main()"
    with subprocess.Popen([sys.executable, "-c", command], stdout=write) as child:
        os.close(write)
        with os.fdopen(read, "rb") as whole:
            assert len(whole.read()) == 1_000_001
        assert child.wait(timeout=30) == 0


def test_on_a_terminal_lines_come_as_they_are_printed():
    ours, theirs = pty.openpty()
    command = (
        "from ledger.cli import main\n"
        "def work():\n    print('one'); input(); print('two')\nmain.app = work\nmain.main()"
    )
    with subprocess.Popen([sys.executable, "-c", command], stdin=theirs, stdout=theirs) as child:
        os.close(theirs)
        assert os.read(ours, 100).startswith(b"one")
        os.write(ours, b"\n")
        assert child.wait(timeout=30) == 0
    os.close(ours)

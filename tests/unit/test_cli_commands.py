"""`--help`: every command is in a panel, and its help is its docstring."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import typer

from ledger.cli import commands
from ledger.cli import help as help_texts
from ledger.cli.main import app


def helps(group: Any, *before: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The words of each command and group, and its help."""
    for name, command in group.commands.items():
        yield (*before, name), command.help
        if hasattr(command, "commands"):
            yield from helps(command, *before, name)


HELPS = list(helps(typer.main.get_command(app)))


def test_every_command_is_in_one_panel() -> None:
    placed = [name for names in commands.PANELS.values() for name in names]
    assert len(placed) == len(set(placed))
    assert placed == list(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_a_command_imports_its_own_module_alone() -> None:
    script = (
        "import sys, typer; from ledger.cli.main import app\n"
        "typer.main.get_command(app).commands['balances']\n"
        "print(*(each for each in sys.modules if each.startswith('ledger.cli.')))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "ledger.cli.read" in printed
    assert not {"ledger.cli.publish", "ledger.cli.bench", "ledger.cli.stack"} & set(printed)


@pytest.mark.parametrize(("words", "text"), HELPS, ids=lambda each: " ".join(each)[:24])
def test_help_begins_with_a_sentence(words: tuple[str, ...], text: str) -> None:
    first, *others = text.split("\n\n")
    assert first.endswith("."), words
    assert first[0].isupper()
    assert not any("\n" in each for each in (first, *others)), (
        "paragraphs have no line breaks of their own"
    )


def test_nothing_is_taken_for_markup() -> None:
    text = commands.reflowed("""Prints {"hidden": [topic], "mended": [{"a"}]}.

        And [/this],
        on one line.
    """)
    assert text == 'Prints {"hidden": [topic], "mended": [{"a"}]}.\n\nAnd [/this], on one line.'


def shown_help(*words: str, columns: int | None = None) -> str:
    """The help as in a pipe, or on a terminal of so many columns."""
    program = [sys.executable, "-m", "ledger.cli.main", *words, "--help"]
    if columns is None:
        return subprocess.run(program, capture_output=True, text=True, check=True).stdout
    ours, theirs = pty.openpty()
    with subprocess.Popen(program, stdout=theirs, env={**os.environ, "COLUMNS": str(columns)}):
        os.close(theirs)
        found = b""
        with suppress(OSError):  # Linux says so when nobody has the other side
            while data := os.read(ours, 65_536):
                found += data
    os.close(ours)
    return re.sub(r"\x1b\[[0-9]*m", "", found.decode().replace("\r\n", "\n"))


def test_help_keeps_brackets_and_the_order_of_panels() -> None:
    assert '"hidden": [topic]}' in shown_help("topics", "check", columns=80).replace("\n", " ")
    assert "[OPTIONS] [ACCOUNT]...\n" in shown_help("balances", columns=80)
    said = shown_help(columns=80)
    places = [said.index(f"\n{panel}:\n") for panel in ("Options", *commands.PANELS)]
    assert places == sorted(places)
    assert list(commands.PANELS) == ["Run", "Publish", "Read", "Check", "Repair"]
    assert said.index("  demo ") < said.index("  up ") < said.index("  publish ")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_on_a_terminal_help_folds_between_words(columns: int) -> None:
    for words in ([], ["policy", "set"]):
        said = shown_help(*words, columns=columns)
        assert max(map(len, said.splitlines())) <= columns
        assert said.split() == shown_help(*words).split()


def options() -> Iterator[tuple[str, Any, Any]]:
    """Every option of every command, with a context for it."""

    def within(group: Any, ctx: Any) -> Iterator[tuple[str, Any, Any]]:
        for name, command in group.commands.items():
            inner = typer.Context(command, info_name=name, parent=ctx)
            for param in command.params:
                yield f"{inner.command_path} {param.name}", param, inner
            if hasattr(command, "commands"):
                yield from within(command, inner)

    root = typer.main.get_command(app)
    yield from within(root, typer.Context(root, info_name="faust-ledger"))


def test_help_has_names_for_values_and_not_pythons_types() -> None:
    for where, param, ctx in options():
        names, text = help_texts._described(param, ctx)
        assert not re.search(r"[<>]", names), where
        assert not re.search(r"\(all\)|x[<>]=|<\w+>", text), where
        assert param.metavar or " TEXT" not in names or param.type_descriptor.annotation in {
            str, list[str]
        }, where  # fmt: skip


def test_in_a_pipe_a_sentence_of_help_is_a_line() -> None:
    said = shown_help("balances").splitlines()
    [line] = [each for each in said if each.startswith("The command also reports")]
    assert line.endswith("--json prints an object a line.")
    assert [each for each in said if each.strip().startswith("--json")] == [
        "  --json                         Print JSON on stdout, for programs."
    ]
    assert not any("\x1b" in each for each in said)


def test_a_group_without_a_command_shows_its_help() -> None:
    for words in ([], ["rejects"]):
        done = subprocess.run(
            [sys.executable, "-m", "ledger.cli.main", *words],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert (done.stdout + done.stderr).startswith("Usage: ")
        assert "  --help " in done.stderr


FOR_PEOPLE = {"api", "demo", "worker", "psql"}
"""Commands whose output is a show, a log, or another program's, as the README says."""


def without_json(group: Any, *before: str) -> Iterator[str]:
    """The commands of a group that have no --json, each with its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from without_json(command, *before, name)
        elif not any("--json" in each.opts for each in command.params):
            yield " ".join((*before, name))


def test_every_command_prints_json_but_those_for_people() -> None:
    assert set(without_json(typer.main.get_command(app))) == FOR_PEOPLE

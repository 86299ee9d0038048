"""`--help`: every command is in a panel, and its help is its docstring."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from rich.text import Text

from ledger.cli import commands
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
    assert Text.from_markup(text).plain == (
        'Prints {"hidden": [topic], "mended": [{"a"}]}.\n\nAnd [/this], on one line.'
    )


def shown_help(*words: str, columns: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ledger.cli.main", *words, "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": str(columns)},
    )  # fmt: skip
    return done.stdout


def test_help_keeps_brackets_and_the_order_of_panels() -> None:
    assert '"hidden": [topic]}' in shown_help("topics", "check", columns=80).replace("\n ", " ")
    assert "[OPTIONS] [ACCOUNT]...  " in shown_help("balances", columns=80)
    said = shown_help(columns=80)
    places = [said.index(f"─ {panel} ─") for panel in ("Options", "Begin", "Publish and read")]
    assert places == sorted(places)
    assert said.index("│ demo ") < said.index("│ up ") < said.index("│ publish ")


FOR_PEOPLE = {"demo", "worker", "psql"}
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

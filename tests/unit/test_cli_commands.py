"""`--help`: every command has its place, and says all that its docstring says."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from rich.text import Text

from ledger.cli import commands as helping
from ledger.cli.main import app


def commands(group: typer.Typer, *before: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each command's words and its help, as it was arranged."""
    for command in group.registered_commands:
        yield (*before, helping.name_of(command)), command.help or ""
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, *before, helping.name_of(inner))


def test_every_command_is_in_one_panel() -> None:
    placed = [name for names in helping.PANELS.values() for name in names]
    assert len(placed) == len(set(placed))
    assert set(placed) == {words[0] for words, _ in commands(app)}


@pytest.mark.parametrize(
    ("words", "text"), list(commands(app)), ids=lambda each: " ".join(each)[:24]
)
def test_every_command_says_what_it_does(words: tuple[str, ...], text: str) -> None:
    first, *others = text.split("\n\n")
    assert first.endswith("."), words
    assert first[0].isupper()
    assert not any("\n" in each for each in (first, *others)), "lines that a terminal breaks again"


def test_nothing_is_taken_for_markup() -> None:
    text = helping.flowing("""Prints {"hidden": [topic], "mended": [{"a"}]}.

        And [/this],
        on one line.
    """)
    assert Text.from_markup(text).plain == (
        'Prints {"hidden": [topic], "mended": [{"a"}]}.\n\nAnd [/this], on one line.'
    )


def shown(*words: str, columns: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ledger.cli.main", *words, "--help"],
        capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": str(columns)},
    )  # fmt: skip
    return done.stdout


def test_what_a_person_sees() -> None:
    assert '"hidden": [topic]}' in shown("topics", "check", columns=80).replace("\n ", " ")
    assert "[OPTIONS] [ACCOUNT]...  " in shown("balances", columns=80)
    said = shown(columns=80)
    places = [said.index(f"─ {panel} ─") for panel in ("Options", "Begin", "Publish and read")]
    assert places == sorted(places)
    assert said.index("│ demo ") < said.index("│ up ") < said.index("│ publish ")

"""What a command imports before it does anything, and what a shell completes."""

import os
import subprocess
import sys
from typing import Any

import pytest

HEAVY = {
    "aiohttp", "aiokafka", "alembic", "asyncio", "confluent_kafka", "cryptography", "fastavro",
    "faust", "httpx", "iso4217", "matplotlib", "psycopg", "pydantic", "pydantic_settings", "rich",
    "rocksdict", "sqlalchemy", "tenacity", "uvloop",
}  # fmt: skip
"""What takes tens of milliseconds to import, and is for commands that use it."""
IN_TYPER = {"pydantic"}
"""typer converts the words of a command line with it."""
SETTINGS = {"asyncio", "pydantic", "pydantic_settings"}
"""What the settings need, asyncio through pydantic_settings."""

RUN = """
import sys
from ledger.cli import main
sys.argv[0] = "faust-ledger"
try:
    main.main()
finally:
    found = sorted({each.partition(".")[0] for each in sys.modules})
    print("imported", *found, file=sys.stderr)
"""


def imported(*words: str, **environment: str) -> tuple[set[str], str]:
    """The packages that `faust-ledger` with these words imports, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], capture_output=True, text=True, check=False,
        env={**os.environ, **environment}, timeout=60,
    )  # fmt: skip
    *_, last = done.stderr.splitlines()
    assert last.startswith("imported "), done
    return set(last.split()[1:]), done.stdout


def completed(line: str, **environment: str) -> tuple[set[str], list[str]]:
    """What is imported when a shell completes the last word of `line`, and the completions."""
    found, out = imported(
        _FAUST_LEDGER_COMPLETE="complete_bash", COMP_WORDS=line,
        COMP_CWORD=str(len(line.split(" ")) - 1), **environment,
    )  # fmt: skip
    return found, out.split()


@pytest.fixture
def nowhere(tmp_path: Any) -> dict[str, str]:
    """The environment of a command that has no ledger."""
    return {"FAUST_LEDGER_DATA_DIR": str(tmp_path), "HOME": str(tmp_path)}


@pytest.mark.parametrize("words", [["--help"], ["rejects", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words: list[str], nowhere: dict[str, str]) -> None:
    found, out = imported(*words, **nowhere)
    assert out
    # Beyond the first word, typer has converted the line.
    assert not found & (HEAVY - (IN_TYPER if words[1:] else set()))


def test_the_help_of_each_command_imports_no_client(nowhere: dict[str, str]) -> None:
    from ledger.cli.commands import PANELS

    for panel in PANELS.values():
        for name in panel:
            found, out = imported(name, "--help", **nowhere)
            assert out.startswith("Usage: ")
            assert not found & (HEAVY - IN_TYPER), name


def test_completion_imports_nothing_heavy(nowhere: dict[str, str]) -> None:
    for line, words in {
        "faust-ledger trial": ["trial-balance"],
        "faust-ledger balances --cur": ["--currency"],
        "faust-ledger rejects list --code NOT_B": ["NOT_BALANCED"],
        "faust-ledger balances --format js": ["json", "jsonl"],
        "faust-ledger trial-balance --timezone Europe/Pr": ["Europe/Prague"],
    }.items():
        found, out = completed(line, **nowhere)
        assert out == words
        assert not found & (HEAVY - IN_TYPER), line


def test_balances_imports_settings_alone_until_it_knows_where_the_ledger_is(
    nowhere: dict[str, str],
) -> None:
    for words in (["balances"], ["trial-balance"], ["balances", "--format", "csv"]):
        found, _ = imported(*words, **nowhere)
        assert not found & (HEAVY - SETTINGS), words


def test_workers_are_completed(nowhere: dict[str, str], tmp_path: Any) -> None:
    for name in ("worker-1", "worker-2", "other"):
        (tmp_path / "workers" / name).mkdir(parents=True)
    _, out = completed("faust-ledger rebuild tables --worker wor", **nowhere)
    assert out == ["worker-1", "worker-2"]
    elsewhere = str(tmp_path / "elsewhere")
    line = f"faust-ledger rebuild tables --data-dir {elsewhere} --worker wor"
    assert completed(line, **nowhere)[1] == []


def test_what_cannot_be_read_completes_nothing(nowhere: dict[str, str]) -> None:
    bad = nowhere | {"FAUST_LEDGER_SHARDS": "many"}
    assert completed("faust-ledger shadows drop x", **bad)[1] == []
    away = nowhere | {"FAUST_LEDGER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    assert completed("faust-ledger shadows drop x", **away)[1] == []
